"""A place holds the old or the new, wherever the writer is stopped; messages say what happened and what helps."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interp_xfer.errors import ArtifactError, WriteError
from interp_xfer.files import workspaces, writing
from interp_xfer.files.writing import explained, require_no_folder, require_writable, write_file, write_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def looks_again(monkeypatch):
    monkeypatch.setattr(workspaces, "_swept", set())


# Stops the writer at each of its calls of the system in turn: of a folder that replaces one, then of a file.
STOPS = """
import os, pathlib, sys
from interp_xfer.files import workspaces
from interp_xfer.files.writing import write_file, write_folder

root, how = pathlib.Path(sys.argv[1]), sys.argv[2]
WATCHED = {"open", "os.mkdir", "os.rename"}
if how != "full":
    WATCHED |= {"os.remove", "os.rmdir", "os.listdir", "os.scandir", "os.chmod"}
left = None

def hook(event, arguments):
    global left
    if left is None or event not in WATCHED:
        return
    if how == "full" and event == "open" and not arguments[2] & os.O_CREAT:
        return
    left -= 1
    if left == 0:
        if how == "killed":
            os._exit(9)
        left = None
        raise KeyboardInterrupt if how == "interrupted" else OSError(28, "No space left on device")

def fill(name):
    def write(folder):
        for part in ("a", "b"):
            (folder / part).write_text(name)
    return write

def ours(folder):
    return {path.name for path in folder.iterdir()} == {"a", "b"}

def state():
    content = lambda path: path.read_text() if path.exists() else None
    return tuple(content(root / name) for name in ("x/a", "x/b", "f")), sorted(os.listdir(root))

sys.addaudithook(hook)
for stop in range(1, 200):
    write_folder(root / "x", fill("old"), ours)
    write_file(root / "f", "old")
    child = os.fork()
    if child == 0:
        left = stop
        workspaces._swept.clear()
        try:
            write_folder(root / "x", fill("new"), ours)
            write_file(root / "f", "new")
        except BaseException as error:
            print(type(error).__name__, flush=True)
            os._exit(1)
        os._exit(0 if left is None else 7)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    after = state()
    if how == "killed":
        workspaces._swept.clear()
        workspaces.sweep(root)
        after = state()
    folder, file = after[0][:2], after[0][2]
    assert folder in (("old", "old"), ("new", "new")) and file in ("old", "new"), (stop, after)
    assert after[1] == ["f", "x"], (stop, after)
    assert not (file == "new" and folder[0] == "old"), (stop, after)
    if code == 7:
        assert file == "new"
        print("stops", stop - 1)
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("how", ["killed", "interrupted", "full"])
def test_old_or_new_wherever_the_writer_is_stopped(tmp_path, how):
    """Nothing is beside them: at once after an interrupt or an error, after the next look after a kill."""
    done = subprocess.run(
        [sys.executable, "-c", STOPS, tmp_path, how], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split()
    assert int(lines[-1]) > 15  # so many calls
    assert set(lines[:-2]) <= {"KeyboardInterrupt", "WriteError"}


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (errno.ENOSPC, "the disk is full", "free space and retry"),
        (errno.EDQUOT, "your quota of the disk is used up", "free space and retry"),
        (errno.EROFS, "the file system is read-only", "name another place"),
        (errno.EACCES, "writing there is not permitted", "change the permissions or name another place"),
        (errno.ENAMETOOLONG, "the name is too long", "choose a shorter one"),
        (errno.ENOTDIR, "a part of the path is a file, not a folder", "name another place"),
        (errno.ENOENT, "its folder is gone, somebody removed or moved it", "run the command again"),
        (errno.EMFILE, "too many files are open", "raise `ulimit -n` and retry"),
        (errno.EIO, "the disk does not answer", "check it and retry"),
        (errno.ENODEV, "No such device", "check the place and retry"),
    ],
)
def test_messages_say_what_happened(tmp_path, monkeypatch, code, reason, remedy):
    """The same for files, folders and the check before the work."""

    def fails(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(writing.Path, "mkdir", fails)
    for attempt in (
        lambda path: write_file(path, "x"),
        lambda path: write_folder(path, lambda folder: None, lambda folder: False),
        require_writable,
    ):
        with pytest.raises(WriteError) as caught:
            attempt(tmp_path / "x")
        assert str(caught.value) == f"cannot write {tmp_path / 'x'}: {reason}. Nothing was left behind; {remedy}."
    assert list(tmp_path.iterdir()) == []


def test_real_places_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    for place, reason in (
        ("file/x", "a part of the path is a file"),
        ("file/x/y", "a part of the path is a file"),
        ("a" * 300, "the name is too long"),
        ("b/" + "a" * 300 + "/x", "the name is too long"),
        ("circle", "symbolic links on the path go in a circle"),
        ("circle/x", "symbolic links on the path go in a circle"),
        ("a\0b", "the name holds a NUL"),
    ):
        for attempt in (
            lambda path: write_file(path, "x"),
            lambda path: write_folder(path, lambda folder: None, lambda folder: False),
            require_writable,
        ):
            with pytest.raises(WriteError, match=reason) as caught:
                attempt(tmp_path / place)
            assert "space" not in str(caught.value)


def test_a_name_of_the_greatest_length(tmp_path):
    """The temporary name takes no room of it."""
    write_file(tmp_path / ("a" * 255), "x")
    write_folder(tmp_path / ("b" * 255), lambda folder: None, lambda folder: False)


def test_half_a_character(tmp_path):
    with pytest.raises(WriteError, match="UTF-8 has no '.ud800'"):
        write_file(tmp_path / "x", "a\ud800")


def test_the_same_content_is_not_written_again(tmp_path, monkeypatch):
    """So that a finished run can be read-only."""
    write_file(tmp_path / "x", "same")

    def fails(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(writing.Path, "mkdir", fails)
    assert write_file(tmp_path / "x", "same") == tmp_path / "x"
    with pytest.raises(WriteError, match="read-only. Nothing was left behind; name another place"):
        write_file(tmp_path / "x", "othr")


def test_other_errors_pass(tmp_path):
    with pytest.raises(ZeroDivisionError), explained(tmp_path):
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="my own"), explained(tmp_path):
        raise ValueError("my own")


def test_what_came_in_between_stays(tmp_path):
    """A folder that is ours when it is looked at, and holds something else when it is set aside."""
    looks = []

    def ours(folder):
        looks.append(folder)
        if len(looks) == 2:
            (folder / "mine.txt").write_text("mine")
        return not (folder / "mine.txt").exists() or len(looks) == 2

    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").write_text("old")
    with pytest.raises(ArtifactError, match="holds a, mine.txt, and not just what would be replaced"):
        write_folder(tmp_path / "x", lambda folder: None, ours)
    assert sorted(os.listdir(tmp_path)) == ["x"] and sorted(os.listdir(tmp_path / "x")) == ["a", "mine.txt"]


def test_looking_changes_nothing(tmp_path):
    require_writable(tmp_path / "a" / "b" / "c")
    require_no_folder(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
