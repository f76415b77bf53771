"""Records of a run on disk."""


def test_a_line_separator_inside_a_text_does_not_end_the_record(tmp_path):
    from fake_runs import demo_run

    store = demo_run(tmp_path / "run")
    (cell,) = store.read_cells()
    items = store.read_items(cell.key)
    items[0] = items[0].model_copy(update={"text": "one\u2028two\u0085three"})
    store.write_cell(cell, items)
    assert store.read_items(cell.key) == items
