"""No token and no password of this machine is written or printed: not by a finished run, not by one that fails."""

import pytest

TOKEN, OTHER, PASSWORD = "planted-token-4711", "hf_PlantedAbCdEfGhIjKl", "planted-password"
SETTINGS = (
    "n_pairs: 8\nn_fit_texts: 10\nn_calibration: 3\nn_validation: 2\nn_test: 3\nn_shots: 0\nmax_new_tokens: 3\n"
    "strengths: [0.1, 0.5]\n"
)


@pytest.fixture
def planted(monkeypatch):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "SOME_API_KEY"):
        monkeypatch.setenv(name, TOKEN)
    return [text.encode() for text in (TOKEN, OTHER, PASSWORD)]


def written(folder):
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_a_finished_run(folders, run, tmp_path, planted):
    study = tmp_path / "study.yaml"
    study.write_text(f"parent: {folders / 'parent'}\nchild: {folders / 'child'}\ndataset: sums\n{SETTINGS}")
    code, out, err = run("run", study, "--out", tmp_path / "run")
    assert code == 0, err
    found = written(tmp_path / "run") + out.encode() + err.encode()
    assert b"</html>" in found and not any(secret in found for secret in planted)


def test_a_run_that_the_hub_refuses(folders, run, tmp_path, planted, monkeypatch):
    import datasets

    def load_dataset(*_, **__):
        try:
            raise OSError(f"401: bearer {TOKEN}")
        except OSError as error:
            raise ConnectionError(
                f"401 for https://me:{PASSWORD}@host/x with {TOKEN} or {OTHER}\nAuthorization: Bearer {TOKEN}"
            ) from error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.delenv("INTERP_XFER_DATA", raising=False)
    study = tmp_path / "study.yaml"
    study.write_text(f"parent: {folders / 'parent'}\nchild: {folders / 'child'}\ndataset: gsm8k\n{SETTINGS}")
    shown = []
    for command in ("run", "compare"):
        code, out, err = run(command, study, "--out", tmp_path / command)
        assert code == 1
        shown.append(out + err)
    assert all("401 for https://***@host/x with *** or ***" in " ".join(text.split()) for text in shown)
    found = written(tmp_path / "run") + written(tmp_path / "compare") + "".join(shown).encode()
    assert b'"traceback"' in found and not any(secret in found for secret in planted)


def test_an_address_with_a_password_is_no_setting(folders, run, tmp_path, planted):
    study = tmp_path / "study.yaml"
    study.write_text(f"parent: https://me:{PASSWORD}@host/model\nchild: {folders / 'child'}\ndataset: sums\n")
    code, out, err = run("run", study, "--out", tmp_path / "run")
    assert code == 1 and "it is an address of the web" in err and not (tmp_path / "run").exists()
    assert PASSWORD not in out + err
