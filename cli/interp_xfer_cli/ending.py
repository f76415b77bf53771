"""How the command line ends. What a user can cause is one line and an exit code.

    0  done    1  an error    2  wrong usage    129  SIGHUP    130  Ctrl-C    143  SIGTERM

Errors of the program itself keep their traceback. Nothing large is imported before signals are handled.
"""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import TextIOWrapper

from interp_xfer_cli import stopping


def run() -> None:
    """Run the application and exit."""
    stopping.listen()
    _prepare_streams()
    try:
        from interp_xfer_cli.app import app
        from interp_xfer_cli.options import require_usable

        require_usable(sys.argv[1:])
        app()
        stopping.finish()
        code = 0
    except BaseException as error:
        stopping.finish()
        if (code := _ending(error)) is None:
            raise
    if (failure := _print_failure()) and code == 0:
        stopping.say(f"error: {failure}")
        code = 1
    if stopping.received() is not None:
        # Not sys.exit, which waits for threads in the middle of a download, and is open to a second Ctrl-C.
        os._exit(code)
    sys.exit(code)


def _ending(error: BaseException) -> int | None:
    """Says in one line how the application ended; the exit code, or None for an error of the program."""
    from interp_xfer.errors import InterpXferError

    code = error.code if isinstance(error, SystemExit) else None
    if code in (None, 0) and isinstance(error, SystemExit):
        return 0
    if (number := stopping.received()) is not None:  # some libraries make another error of it
        return stopping.tell(number)
    if isinstance(error, KeyboardInterrupt) or code == 130:  # how Typer ends on Ctrl-C
        return stopping.tell(signal.SIGINT)
    line = str(error) if isinstance(error, InterpXferError) else _machine_error(error)
    if line is None and isinstance(error, SystemExit):
        if isinstance(code, int):
            return code  # Typer said why
        line = str(code)
    if line is None:
        return None
    stopping.say(f"error: {line}")
    return 1


def _machine_error(error: BaseException) -> str | None:
    """What the machine lacks, if that is the cause."""
    ended = isinstance(error, OSError | SystemExit)  # as Typer and rich make of it
    if ended and any(getattr(cause, "errno", None) == errno.EPIPE for cause in _causes(error)):
        return "standard output was closed before everything was printed; what was made is in its files."
    if isinstance(error, OSError):
        return _print_failure() or _system_error(error)
    text = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text:
        return (
            f"the memory is full ({' '.join(text.split())[:200] or 'no details'}). Take a smaller model, fewer "
            "questions, or less with --max-memory."
        )
    return None


def _system_error(error: OSError) -> str:
    from interp_xfer.files.writing import why_not_written

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO):
        reason, remedy = why_not_written(error)
        return f"{error.filename or 'standard output or a file'}: {reason}; {remedy}."
    text = error.strerror or " ".join(str(error).split())
    return f"{error.filename}: {text}." if error.filename else text


def _print_failure() -> str | None:
    """Why standard output does not take what was printed; None if it does."""
    if sys.stdout is None:
        return "standard output is closed, nothing could be printed; what was made is in its files."
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):  # or Python complains a second time
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reason = getattr(error, "strerror", None) or error
        return f"standard output cannot be written ({reason}); what was made is in its files."
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _prepare_streams() -> None:
    """Closed standard streams stay free: the next file opened would take their number, and get what is printed.
    Characters that the terminal does not know are escaped.
    """
    with suppress(OSError):
        while (handle := os.open(os.devnull, os.O_RDWR)) < 3:
            pass
        os.close(handle)
    if sys.stderr is None:  # libraries write to it unasked
        sys.stderr = open(os.devnull, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
