"""`interp-xfer`: where the program starts. Nothing is imported outside the `try`: an early Ctrl-C is one line, too."""


def main() -> None:
    """Run the command line and exit."""
    try:
        from interp_xfer_cli.ending import run

        run()
    except KeyboardInterrupt:  # before signals are handled
        import os

        os.write(2, b"interrupted; finished artifacts are kept, the same command goes on from there\n")
        os._exit(130)
