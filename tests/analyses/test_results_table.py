"""The results table: published facts, marks of significance, three formats."""

from dataclasses import replace

import pytest


@pytest.fixture(scope="module")
def grid_table(small_grid):
    from interp_xfer_analyses.questions.results_table import compute

    return compute(small_grid)


def test_published_facts_are_the_papers():
    """Handbook, section 1: 63 cells, above the baseline in 36, equal in 3, below in 24, mean +0.07 points."""
    from interp_xfer_analyses.questions.published import _facts

    facts = _facts()
    changes = [round(100 * (fact.lambda_star - fact.baseline), 2) for fact in facts.values()]
    counts = (sum(c > 0 for c in changes), sum(c == 0 for c in changes), sum(c < 0 for c in changes))
    assert (len(changes), counts) == (63, (36, 3, 24))
    assert sum(changes) / 63 == pytest.approx(0.07, abs=0.005)
    assert (max(changes), min(changes)) == (5.02, -2.22)
    strengths = sorted(fact.strength for fact in facts.values() if fact.strength is not None)
    assert (len(strengths), strengths[0], strengths[10], strengths[-1]) == (21, 0.01, 0.04, 0.9)


@pytest.mark.parametrize("parent", ["microsoft/phi-4", "phi-4", "microsoft/phi-4@abc123", "some-folder/Phi-4"])
def test_pairs_are_found_by_model_name(parent):
    from interp_xfer_analyses.questions.published import Published, published

    assert published(parent, "Qwen/Qwen3-0.6B", "gsm8k") == Published(0.4897, 0.4927, 0.04)
    assert published(parent, "Qwen/Qwen3-0.6B", "math_full") == published(parent, "Qwen3-0.6B", "math")


def test_a_pair_outside_the_paper_has_no_numbers(demo):
    from interp_xfer_analyses.questions.published import published
    from interp_xfer_analyses.questions.results_table import compute

    assert published("gpt2", "Qwen3-0.6B", "gsm8k") is None
    assert compute(demo).rows[0].published is None


def test_rows_equal_the_cells(grid_table, small_grid):
    cells = {cell.key: cell.model_dump(mode="json") for cell in small_grid.read_cells()}
    assert len(grid_table.rows) == 8
    for row in grid_table.rows:
        test = cells[row.key]["test"]
        for name in ("baseline", "lambda_star", "vote"):
            assert getattr(row, name).accuracy == test[name]["accuracy"]
        assert row.lambda_star_strength == test["lambda_star"]["strength"]
        assert row.lambda_star.delta == test["lambda_star"]["difference"]["delta"]


@pytest.mark.parametrize(
    ("delta", "p_value", "better", "worse"),
    [(0.1, 0.049, True, False), (0.1, 0.051, False, False), (-0.1, 0.01, False, True), (0.0, 1.0, False, False)],
)
def test_bold_only_where_the_paired_test_says_so(delta, p_value, better, worse):
    from interp_xfer_analyses.questions.results_table import _arm

    from interp_xfer.evaluation.record import ArmRecord, Difference

    difference = Difference.model_construct(
        delta=delta, low=delta - 0.05, high=delta + 0.05, p_value=p_value, n=50, broken=1, fixed=2
    )
    arm = ArmRecord(
        name="vote", strength=None, n=50, correct=25, accuracy=0.5, low=0.4, high=0.6, invalid=0, truncated=0,
        mean_tokens=10.0, difference=None, timed_out=0, rules={"hash": 50},
    )  # fmt: skip
    found = _arm(arm.model_copy(update={"difference": difference}))
    assert (found.better, found.worse) == (better, worse)


def test_formats_carry_marks_and_numbers(grid_table):
    from interp_xfer_analyses.questions.results_table import ResultsTable
    from interp_xfer_analyses.table_formats import to_html, to_latex, to_markdown

    row = grid_table.rows[0]
    marked = replace(
        row,
        vote=replace(row.vote, better=True, worse=False),
        lambda_star=replace(row.lambda_star, worse=True, better=False),
    )
    table = ResultsTable((marked,), ())
    vote, star = f"{100 * row.vote.accuracy:.2f}", f"{100 * row.lambda_star.accuracy:.2f}"
    html, markdown, latex = to_html(table), to_markdown(table), to_latex(table)
    assert f"<strong>{vote}</strong>" in html and f"{star} <span" in html
    assert f"**{vote}**" in markdown and f"{star} ↓" in markdown
    assert f"\\textbf{{{vote}}}" in latex and f"{star} $\\downarrow$" in latex
    assert "arc\\_challenge" in latex and "arc\\_challenge" in markdown and "arc_challenge" in html
    published = f"{100 * row.published.baseline:.2f}"
    assert all(published in text for text in (html, markdown, latex))


def test_text_is_escaped_in_every_format(grid_table):
    from interp_xfer_analyses.questions.results_table import ResultsTable
    from interp_xfer_analyses.table_formats import to_html, to_latex, to_markdown

    row = replace(grid_table.rows[0], parent="<b>a|b</b>", child="50%_$x$&y", label="")
    table = ResultsTable((row,), ())
    assert "&lt;b&gt;a|b&lt;/b&gt;" in to_html(table)
    assert r"\<b\>a\|b\</b\>" in to_markdown(table)
    assert r"50\%\_\$x\$\&y" in to_latex(table)
    assert len({line.count("|") - line.count(r"\|") for line in to_markdown(table).strip().splitlines()}) == 1


def test_figure_shows_changes_and_published_ones(grid_table):
    from interp_xfer_analyses.questions.results_table import figure

    traces = figure(grid_table).data  # one panel for each data set, in the order of the rows
    here = [x for trace in traces if trace.legendgroup == "here" for x in trace.x]
    paper = [x for trace in traces if trace.legendgroup == "published" for x in trace.x]
    assert here == [100 * row.lambda_star.delta for row in grid_table.rows]
    assert paper == [100 * (row.published.lambda_star - row.published.baseline) for row in grid_table.rows]
