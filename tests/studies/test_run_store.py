"""Records of a run on disk."""

import json


def test_a_line_separator_inside_a_text_does_not_end_the_record(tmp_path):
    from interp_xfer.studies.run_store import RunStore

    (tmp_path / "items").mkdir()
    items = [{"text": "one\u2028two\u0085three"}, {"text": "four"}]
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    (tmp_path / "items" / "key.jsonl").write_text(lines, encoding="utf-8")
    assert RunStore(tmp_path).read_items("key") == items
