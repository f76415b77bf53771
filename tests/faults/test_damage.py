"""Damaged files are a clear line, or what is read is the same: a fixed sample of all ways to damage every kind."""

import damage
from tiny_models import unchecked


def test_damaged_files_are_refused_or_make_no_difference():
    with unchecked():  # what a user sees
        found = damage.run(full=False)
    assert [entry for entry in found if entry[2] in (damage.WRONG, damage.UNCLEAR, damage.TRACEBACK)] == []
    counts = {outcome: sum(entry[2] == outcome for entry in found) for outcome in damage.OUTCOMES}
    assert counts[damage.CLEAR] > 500 and counts[damage.UNREAD] > 5
    assert len({kind for kind, *_ in found}) == 16
