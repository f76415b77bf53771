"""The lines of single answers on disk."""

import pytest

GENERATED = (
    '{"split": "test", "arm": "vote", "question": "1 + 1 = ?", "reference": "2", "problem_id": "a", "strength": null, '
    '"text": "zwei: \u0032\u2028é", "parsed": "2", "correct": true, "rule": "last_number", "stop_reason": "eos", '
    '"n_tokens": 3, "extra": {"strict": false}, "timed_out": false}\n'
)
RANKED = (
    '{"split": "validation", "arm": "sweep", "question": "Which?", "reference": "A", "problem_id": "b", '
    '"strength": 0.1, "text": "one", "parsed": null, "correct": false, "rule": null, "stop_reason": "scored", '
    '"n_tokens": 2, "extra": {}, "log_likelihoods": {"A": -1.25, "B": -0.5}, "timed_out": true}\n'
)


@pytest.mark.parametrize("line", (GENERATED, RANKED))
def test_a_line_is_written_as_it_was_read(line):
    from interp_xfer.fields import checked_text
    from interp_xfer.studies.item_record import ItemRecord

    item = checked_text(ItemRecord, line, "items")
    assert item.line() == line
    assert item.swept is False  # a vote; an answer to a validation question


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    (
        ('"n_tokens": 3', '"n_tokens": "3"', "n_tokens: Input should be a valid integer"),
        ('"correct": true', '"correct": 1', "correct: Input should be a valid boolean"),
        ('"arm": "vote"', '"arm": "mode"', "arm: Input should be 'sweep' or 'vote'"),
        ('"extra": {', '"more": 1, "extra": {', "more: Extra inputs are not permitted"),
        ('"parsed": "2", ', "", "parsed: Field required"),
    ),
)
def test_another_line_is_refused(old, new, reason):
    from interp_xfer.errors import ArtifactError
    from interp_xfer.fields import checked_text
    from interp_xfer.studies.item_record import ItemRecord

    assert old in GENERATED
    with pytest.raises(ArtifactError, match=f"items is damaged .*{reason}"):
        checked_text(ItemRecord, GENERATED.replace(old, new), "items")
