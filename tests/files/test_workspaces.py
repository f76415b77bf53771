"""What a dead process left is removed or put back; what a live one or another machine makes is left alone."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from interp_xfer.files import workspaces
from interp_xfer.files.workspaces import sweep, workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def looks_again(monkeypatch):
    monkeypatch.setattr(workspaces, "_swept", set())


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def left_by(process, folder):
    """Runs a process that makes a workspace with an old artifact set aside, then does as told."""
    code = f"""
import os, pathlib, sys
from interp_xfer.files.workspaces import workspace
with workspace(pathlib.Path(sys.argv[1])) as space:
    (space / "new").mkdir()
    (space / "new" / "half.json").write_text("x" * 1000)
    (space / "old" / "kept").mkdir(parents=True)
    (space / "old" / "kept" / "kept.json").write_text("old")
    {process}
"""
    return subprocess.Popen(
        [sys.executable, "-c", code, folder], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


KILLED = "os.kill(os.getpid(), 9)"
WAITING = "print(flush=True); sys.stdin.read()"


def test_a_workspace_is_gone_at_the_end(tmp_path):
    with workspace(tmp_path) as space:
        assert space.parent == tmp_path and names(space) == ["lock"]
        (space / "new").write_text("half")
    assert names(tmp_path) == []
    with pytest.raises(KeyboardInterrupt), workspace(tmp_path) as space:
        (space / "new").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_what_a_killed_process_left(tmp_path):
    """Removed, and what it had set aside goes back, unless there is something new at its place."""
    left_by(KILLED, tmp_path).communicate()
    assert any(name.endswith("half.json") for name in names(tmp_path))
    sweep(tmp_path)
    assert names(tmp_path) == ["kept", "kept/kept.json"]
    (tmp_path / "kept" / "kept.json").write_text("newer")
    left_by(KILLED, tmp_path).communicate()
    workspaces._swept.clear()
    with workspace(tmp_path) as space:
        assert {path.name for path in tmp_path.iterdir()} == {"kept", space.name}
    assert (tmp_path / "kept" / "kept.json").read_text() == "newer"


def test_a_live_process_keeps_its_own(tmp_path):
    process = left_by(WAITING, tmp_path)
    process.stdout.readline()
    before = names(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == before and any(name.endswith("half.json") for name in before)
    process.communicate()
    assert names(tmp_path) == ["kept", "kept/kept.json"]


def test_other_machines_and_unknown_files_are_left_alone(tmp_path):
    own = workspaces._machine()
    other = f"{(int(own, 16) + 1) % 2**32:08x}"
    for name in (f".interp-xfer-{other}-00000000", f".interp-xfer-{own}", "interp-xfer-notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
    before = names(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == before


@pytest.mark.parametrize("error", [NotImplementedError, OSError(errno.ENOLCK, "No locks available")])
def test_where_there_are_no_locks(tmp_path, monkeypatch, error):
    """Work goes on, and nobody's folder is taken for a dead one."""
    left_by(KILLED, tmp_path).communicate()
    before = names(tmp_path)

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(FileLock, "acquire", fails)
    with workspace(tmp_path) as space:
        (space / "new").write_text("x")
        assert set(before) < set(names(tmp_path))
    assert names(tmp_path) == before


@pytest.mark.parametrize("removed", [False, True])
def test_taken_for_dead_before_it_was_locked(tmp_path, monkeypatch, removed):
    """Another process locks it, or removed it already: what is yielded is there and locked by us."""
    others = []
    acquire = FileLock.acquire

    def robbed(lock, *rest, **named):
        if not others and removed:
            Path(lock.lock_file).parent.rmdir()
        if not others:
            others.append(FileLock(lock.lock_file))
            if not removed:
                acquire(others[0])
        return acquire(lock, *rest, **named)

    monkeypatch.setattr(FileLock, "acquire", robbed)
    with workspace(tmp_path) as space:
        assert names(space) == ["lock"]
        with pytest.raises(Timeout):
            acquire(FileLock(space / "lock"), timeout=0)
        others[0].release()
    assert names(tmp_path) == []


def test_a_lock_that_fails_otherwise(tmp_path, monkeypatch):
    """Without it, another process would take the folder for a dead one."""
    left_by(KILLED, tmp_path).communicate()
    before = names(tmp_path)

    def fails(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(FileLock, "acquire", fails)
    sweep(tmp_path)
    with pytest.raises(OSError, match="Too many open files"), workspace(tmp_path):
        pass
    assert names(tmp_path) == before


def test_a_folder_that_is_gone(tmp_path):
    sweep(tmp_path / "gone")
    with pytest.raises(FileNotFoundError), workspace(tmp_path / "gone"):
        pass


def test_the_name_is_no_host_name():
    assert os.uname().nodename not in workspaces._machine() and len(workspaces._machine()) == 8
