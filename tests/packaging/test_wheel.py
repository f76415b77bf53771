"""The wheel: what lies in it, and that it works like the checkout, away from it and among folders of the same names."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from tiny_files import save
from tiny_models import OTHER_CORPUS, make_tokenizer

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "interp_xfer", ROOT / "analyses" / "interp_xfer_analyses", ROOT / "cli" / "interp_xfer_cli")
SMALL = (
    "n_pairs=6", "n_fit_texts=10", "n_calibration=4", "n_aligned=4", "n_validation=3", "n_test=4", "n_shots=1",
    "max_new_tokens=4", "strengths=[0.5,2.0]", "dtype=float32",
)  # fmt: skip


def done(*command, **options):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    [path] = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """Paths of `interp-xfer`: of this environment, and of one that holds the wheel.

    The second borrows all packages of the first; the line that leads from there to the checkout is not followed.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    scripts = folder / Path(sys.executable).parent.name
    done(sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--no-index", "--no-deps", wheel)
    [site] = folder.rglob("site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return {"checkout": Path(sys.executable).with_name("interp-xfer"), "wheel": scripts / "interp-xfer"}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A working directory with two models, and the user's own `cli` and `analyses`, which are not for us."""
    folder = tmp_path_factory.mktemp("elsewhere")
    save("qwen2", folder / "parent", make_tokenizer(corpus=OTHER_CORPUS))
    save("llama", folder / "child")
    for name in ("analyses", "cli"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('the package of a user was imported')")
    return folder


def environment(kind):
    """Without the folders that lead to the checkout, for the wheel."""
    return {key: value for key, value in os.environ.items() if kind == "checkout" or key != "PYTHONPATH"}


def test_every_import_name_begins_with_ours_and_no_file_is_missing(wheel):
    """The packages hold code, templates, prompts, published numbers and markers of types; the wheel holds them all."""
    archive = zipfile.ZipFile(wheel)
    names = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {
        path.relative_to(package.parent).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name: archive.read(name) for name in names} == here
    assert {name.partition("/")[0] for name in names} == {package.name for package in PACKAGES}
    assert all(name.startswith("interp_xfer") for name in names)
    assert {f"{package.name}/py.typed" for package in PACKAGES} <= names
    for kind in ("report.html.j2", "published.json", "gsm8k.fewshot.jsonl", "gsm8k.system.txt"):
        assert any(name.endswith(f"/{kind}") for name in names), kind


def test_the_wheel_is_imported_and_not_the_checkout(programs, elsewhere):
    """Otherwise the comparison below would be one of the checkout with itself."""
    code = "import interp_xfer, interp_xfer_analyses, interp_xfer_cli as c; print(c.__file__, interp_xfer.__file__)"
    python = programs["wheel"].with_name("python")
    found = done(python, "-c", code, cwd=elsewhere, env=environment("wheel"))
    assert found.count(str(programs["wheel"].parents[1])) == 2 and str(ROOT) not in found


def test_demo_and_report_of_the_wheel_are_those_of_the_checkout(programs, elsewhere):
    """A run that the wheel made is finished for the checkout too: nothing is made again, the same is printed."""

    def typed(kind, *arguments):
        return done(programs[kind], *arguments, cwd=elsewhere, env=environment(kind))

    settings = [part for setting in ("parent=./parent", "child=./child", *SMALL) for part in ("--set", setting)]
    printed = typed("wheel", "demo", *settings)
    run = elsewhere / "runs" / "demo"
    page = (run / "report.html").read_bytes()
    made = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert typed("checkout", "demo", *settings) == printed
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == made
    (run / "report.html").unlink()
    typed("wheel", "report", "runs/demo")
    assert (run / "report.html").read_bytes() == page
