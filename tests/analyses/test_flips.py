"""Gained and lost questions: counts of the cell, texts of the answers."""


def test_counts_equal_the_paired_differences(demo):
    from interp_xfer_analyses.questions.flips import compute, figure

    (cell,) = (found.model_dump(mode="json") for found in demo.read_cells())
    table = compute(demo)
    for row in table.rows:
        found = cell["test"][row.arm]["difference"]
        assert (row.gained, row.lost, row.n) == (found["fixed"], found["broken"], found["n"])
        assert row.gained + row.lost + row.still_right + row.still_wrong == row.n
    lost, gained = figure(table).data
    assert list(gained.x) == [row.gained for row in table.rows]
    assert list(lost.x) == [-row.lost for row in table.rows]


def test_texts_are_those_of_the_answers(demo):
    from interp_xfer_analyses.questions.flips import compute

    (cell,) = (found.model_dump(mode="json") for found in demo.read_cells())
    items = {(item.arm, item.strength, item.problem_id): item for item in demo.read_items(cell["key"])}
    table = compute(demo)
    assert len(table.flips) == sum(row.gained + row.lost for row in table.rows) > 0
    for flip in table.flips:
        before = items["sweep", 0.0, flip.problem_id]
        after = items["vote" if flip.arm == "vote" else "sweep", flip.strength, flip.problem_id]
        assert (flip.baseline_text, flip.text, flip.question) == (before.text, after.text, after.question)
        assert after.correct is flip.gained is not before.correct


def test_texts_are_capped_but_counts_are_not(demo):
    from interp_xfer_analyses.questions.flips import compute

    full, capped = compute(demo), compute(demo, texts_per_cell=2)
    assert full.rows == capped.rows
    assert capped.flips == full.flips[:2]
