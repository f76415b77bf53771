"""Models from anybody: each works or ends in one clear line; none runs code, hangs or ends in a traceback."""

from collections import Counter

import pytest
from hostile_cases import ERROR, WORKS, cases
from hostile_models import OUTCOMES, run


@pytest.fixture(scope="module")
def found():
    return run(full=False)


def test_every_model_comes_to_what_it_should(found):
    assert [each for each in found if each.unexpected] == []
    assert [each.name for each in found] == [case.name for case in cases(full=False)]


def test_counts(found):
    counts = Counter(each.outcome for each in found)
    assert {counts[outcome] for outcome in OUTCOMES if outcome not in (ERROR, WORKS)} == {0}
    assert counts[ERROR] > 140 and counts[WORKS] > 30


def test_messages_name_the_model_or_the_file_and_what_to_do(found):
    for each in found:
        if each.outcome == ERROR:
            assert len(each.message.split()) >= 5, each
