import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from interp_xfer.errors import DataError
from interp_xfer.tasks.scoring.math_pool import Comparison, Expression, MathPool

HOSTILE = [
    r"9^{9^{9^9}}",
    "{" * 1500 + "}" * 1500,
    r"\frac{1}{" * 200 + "2" + "}" * 200,
    r"\int_0^1 x^{x^x} dx",
    r"\left\left\left(((((",
    "\ud800",
    "\x00",
    "%" * 500,
    r"\frac{1}{0}",
    r"\text{" * 50,
]


def test_hostile_latex_is_survived():
    with MathPool(n_workers=2, limit_s=1.0) as pool:
        verdicts = pool.compare([Comparison("5", text) for text in HOSTILE] + [Comparison("5", "10/2")])
        assert not any(verdict.equal for verdict in verdicts[:-1])
        assert verdicts[0].failure == "timeout"
        assert verdicts[-1] == (True, "5", None)  # the pool goes on
        assert pool.compare([Comparison("5", "1" * 5000)])[0].failure == "too_long"


def test_a_killed_worker_is_replaced():
    with MathPool(n_workers=1, limit_s=20.0) as pool:
        worker = pool._idle.get()
        pool._idle.put(worker)
        assert pool.compare([Comparison("1", "1")])[0].equal
        process = worker._process
        assert process is not None
        process.kill()
        process.wait()
        assert pool.compare([Comparison("1", "1")])[0].failure == "crash"
        assert pool.compare([Comparison("1", "1")])[0].equal


def test_expressions_are_read_and_remembered():
    with MathPool(n_workers=1) as pool:
        found = pool.read([r"\sqrt{12}", r"2\sqrt{3}", "x^2-1", r"\log 2", "9" * 5000, r"\frac{1"])
        assert [each.canonical for each in found[:3]] == ["2*sqrt(3)", "2*sqrt(3)", "x**2 - 1"]
        assert all(each.exact for each in found[:4]) and found[3].numeric is not None
        assert found[4] == Expression(None, failure="too_long")
        pool.close()  # what was read needs no worker
        pool._idle.put(None)
        assert pool.read(["x^2-1", r"\sqrt{12}"]) == [found[2], found[0]]
        pool._idle.get()
        pool.n_workers = 0


def test_calls_from_threads_work():
    results = {}
    with MathPool(n_workers=2) as pool:

        def work(number):
            [verdict] = pool.compare([Comparison(rf"2\sqrt{{{number}}}", rf"\sqrt{{{4 * number}}}")])
            results[number] = verdict.equal

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2, 12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == dict.fromkeys(range(2, 12), True)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no profiling timer")
def test_the_limit_is_processor_time():
    """A worker that is stopped for longer than its limit answers all the same; one that computes does not."""
    with MathPool(n_workers=1, limit_s=0.4) as pool:
        assert pool.compare([Comparison("1", "1")])[0].equal
        worker = pool._idle.get()
        pool._idle.put(worker)
        assert worker._process is not None
        process = worker._process
        os.kill(process.pid, signal.SIGSTOP)
        threading.Timer(1.0, lambda: os.kill(process.pid, signal.SIGCONT)).start()
        assert pool.compare([Comparison("2", "2")]) == [(True, "2", None)]
        assert pool.compare([Comparison("2", "9^{9^{9^{9}}}")])[0].failure == "timeout"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no profiling timer")
@pytest.mark.parametrize("busy", [False, True])
def test_a_worker_ends_with_its_parent(busy):
    """Killed without warning, the parent leaves no worker behind, neither an idle nor a computing one."""
    code = (
        "import sys; from interp_xfer.tasks.scoring.math_pool import *; pool = MathPool(n_workers=1, limit_s=3.0);"
        "pool.compare([Comparison('1', '1')]); worker = pool._idle.get(); pool._idle.put(worker);"
        "print(worker._process.pid, flush=True);"
        + ("pool.compare([Comparison('1', '9^{9^{9^{9}}}')])" if busy else "sys.stdin.read()")
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdin is not None and parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for pipe in (parent.stdin, parent.stdout):
        pipe.close()
    deadline = time.monotonic() + 60
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(pid)


def _alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self").exists()
    return state != "Z"


def test_missing_math_verify_names_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'math-verify>=0.9,<0.10'"):
        MathPool()
