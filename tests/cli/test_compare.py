"""`interp-xfer compare` as a user types it: plan, run, resume, one failing cell."""

import pytest


@pytest.fixture
def run(run):
    """The same, with lines joined: they break where a path ends."""

    def call(*arguments):
        code, *texts = run(*arguments)
        return code, *(" ".join(text.split()) for text in texts)

    return call


def test_plan_run_resume_and_failure(folders, run, tmp_path, monkeypatch):
    study = tmp_path / "small.yaml"
    study.write_text(
        f"parent: {folders / 'parent'}\nchild: {folders / 'child'}\ndataset: sums\nn_pairs: 12\nn_fit_texts: 10\n"
        "n_calibration: 3\nn_validation: 2\nn_test: 3\nn_shots: 0\nmax_new_tokens: 3\nstrengths: [0.1, 0.5]\n"
        "layer_maps: [greedy, proportional]\nprojection: identity\nunits: [relative]\n"
    )
    out = tmp_path / "run"
    code, text, _ = run("compare", study, "--out", out, "--dry-run")
    assert code == 0 and "3 cells" in text and "greedy, identity, relative" in text and "native" in text
    assert not out.exists()

    from interp_xfer.errors import SteeringError
    from interp_xfer.studies import runner

    real = runner.run_cell

    def broken(study, *args, **options):
        if study.layer_map == "greedy":
            raise SteeringError("a hook did not fire")
        return real(study, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_cell", broken)
        code, text, err = run("compare", study, "--out", out)
    assert code == 1 and "1 of 3 cells failed; the same command tries them again" in err
    assert "greedy, identity, relative: FAILED, SteeringError: a hook did not fire" in text
    assert "a hook did not fire" in (out / "report.html").read_text(encoding="utf-8")

    code, text, err = run("compare", study, "--out", out)
    assert code == 0, err
    assert text.count("(was there)") == 2 and (out / "figures" / "mapping-comparison.html").exists()
    # The kept comparison is the same comparison.
    code, text, _ = run("compare", out / "comparison.yaml", "--out", out, "--dry-run")
    assert code == 0 and text.count("finished") == 3
    # A list on the command line replaces the single setting of the file.
    code, text, _ = run("compare", study, "--out", out, "--dry-run", "--projections", "ridge,identity", "--no-native")
    assert code == 0 and "4 cells" in text
    code, _, err = run("compare", study, "--out", out, "--layer-maps", "nearest")
    assert code == 1 and "layer_maps.0" in err
