"""Real processes that are told to end while they start, import, work and write."""

import signals


def test_every_path_is_one_line_and_leaves_nothing():
    found = signals.count(full=False)
    assert found == {signals.GOOD: 4, signals.TRACEBACK: 0, signals.LEFT: 0, signals.OTHER: 0, signals.LATE: 0}
