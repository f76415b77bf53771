"""Panels: side by side on a wide page, stacked on a narrow one, never over each other."""

import pytest


@pytest.fixture
def drawn():
    from interp_xfer_analyses.drawing.drafts import Draft
    from interp_xfer_analyses.drawing.panels import Panel, arrange, axes

    out = Draft()
    for index in range(3):
        out.scatter(x=[1], y=[1], name=f"series {index}", **axes(index))
    content = [
        Panel("One", "x", "y", 200),
        Panel("A title of more words than fit into one line of a phone"),
        Panel("Three"),
    ]
    return arrange(out, content)


def domains(layout, letter, n=3):
    names = [f"{letter}axis{'' if index == 0 else index + 1}" for index in range(n)]
    return [layout[name]["domain"] for name in names]


def narrowed(draft):
    for path, value in draft.layout["meta"]["narrow"].items():
        draft.put(path, value)
    return draft


def test_wide_panels_share_a_row(drawn):
    (left, right, below), rows = domains(drawn.layout, "x"), domains(drawn.layout, "y")
    assert left[1] < right[0] and left[0] == below[0] == 0.0
    assert rows[0][1] == rows[1][1] == 1.0 and rows[2][1] < rows[0][0]


def test_narrow_panels_are_stacked(drawn):
    height = drawn.layout["height"]
    layout = narrowed(drawn).layout
    assert domains(layout, "x") == [[0.0, 1.0]] * 3
    tops = [domain[1] for domain in domains(layout, "y")]
    bottoms = [domain[0] for domain in domains(layout, "y")]
    assert all(bottom > top for bottom, top in zip(bottoms, tops[1:], strict=False))
    assert layout["height"] > height
    assert "<br>" in layout["annotations"][1]["text"] and "<br>" not in layout["annotations"][0]["text"]


def test_layouts_are_valid_figures(drawn):
    drawn.figure()
    narrowed(drawn).figure()


def test_messages_do_not_disturb_the_titles():
    from interp_xfer_analyses.drawing.drafts import Draft
    from interp_xfer_analyses.drawing.panels import Panel, arrange, say

    out = Draft()
    say(out, 0, "Nothing <here>")
    texts = [annotation["text"] for annotation in arrange(out, [Panel("Title")]).layout["annotations"]]
    assert texts == ["<b>Title</b>", "Nothing &lt;here&gt;"]


@pytest.mark.parametrize(
    ("names", "width", "rows"), [([5, 5], 350, 1), ([30] * 5, 350, 5), ([10] * 6, 350, 2), ([], 350, 0)]
)
def test_legend_rows(names, width, rows):
    from interp_xfer_analyses.drawing.panels import _legend_rows

    assert _legend_rows(names, width) == rows


def test_draft_merges_without_sharing():
    from interp_xfer_analyses.drawing.drafts import Draft

    axis = {"range": [0, 1], "title": {"text": "x"}}
    out = Draft()
    out.set({"xaxis": axis, "xaxis2": axis})
    out.set(xaxis={"title": {"font": {"size": 9}}})
    assert out.layout["xaxis"]["title"] == {"text": "x", "font": {"size": 9}}
    assert out.layout["xaxis2"]["title"] == {"text": "x"} == axis["title"]
