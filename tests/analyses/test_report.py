"""The page: same bytes, no network, escaped text, words that follow the numbers, a large run."""

import html.parser
import json
import re

import pytest


class Page(html.parser.HTMLParser):
    """Tags with attributes, scripts, and visible text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.words = [], {}, []
        self._script = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._script = dict(attrs).get("id", tag)
            self.scripts[self._script] = ""

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data):
        if self._script is None:
            self.words.append(data)
        else:
            self.scripts[self._script] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(demo_files):
    from interp_xfer_analyses.page.report import write_report

    from interp_xfer.studies.run_store import RunStore

    return Page(write_report(RunStore(demo_files)).read_text(encoding="utf-8"))


def test_same_run_same_bytes(demo, demo_files):
    from interp_xfer_analyses.page.report import write_report

    from interp_xfer.studies.run_store import RunStore

    first = write_report(demo).read_bytes()
    assert write_report(demo).read_bytes() == first
    assert write_report(RunStore(demo_files)).read_bytes() == first  # the folder is not in the page
    assert len(first) < 12e6


def test_structure(page):
    tags = [tag for tag, _ in page.tags]
    assert ("html", {"lang": "en"}) in page.tags
    assert tags.count("h1") == 1 and tags.count("main") == 1
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"][1:] for tag, attrs in page.tags if tag == "a" and attrs["href"].startswith("#")]
    assert set(links) <= set(ids)


def test_nothing_is_fetched(page):
    """The only addresses are links to licences; the policy of the page forbids every request."""
    for _, attrs in page.tags:
        assert "src" not in attrs and "srcset" not in attrs
    assert [tag for tag, attrs in page.tags if str(attrs.get("href", "")).startswith("http")] == ["a", "a"]
    assert not any(tag in ("link", "iframe", "img") for tag, _ in page.tags)
    assert "url(" not in page.scripts["style"] and "@import" not in page.scripts["style"]
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "connect-src" not in policy


def test_figures_have_text_alternatives(page):
    plots = [attrs for _, attrs in page.tags if attrs.get("class") == "plot"]
    assert len(plots) == 6
    for attrs in plots:
        assert attrs["role"] == "img"
        assert re.search(r"\d", attrs["aria-label"])
    assert any("baseline 34.4" in attrs["aria-label"] for attrs in plots)


def test_numbers_of_the_figures_are_those_of_the_analyses(page, demo_files):
    from interp_xfer_analyses.registry import ANALYSES

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(demo_files)
    for name in ("lambda-robustness", "inference-scaling", "flips", "concept-profile", "transfer-profile"):
        drawn = json.loads(page.scripts[f"json-figure-{name}"])
        figure = ANALYSES[name].figure(ANALYSES[name].compute(store))
        assert len(drawn["data"]) == len(figure.data)
        for ours, theirs in zip(drawn["data"], figure.data, strict=True):
            for axis in ("x", "y"):
                for shown, exact in zip(ours[axis], theirs[axis], strict=True):
                    assert shown == exact or shown == pytest.approx(exact, rel=1e-4)


def test_summary_says_the_numbers_of_the_cell(page, demo_files):
    from interp_xfer.studies.run_store import RunStore

    (cell,) = (found.model_dump(mode="json") for found in RunStore(demo_files).read_cells())
    test = cell["test"]
    text = page.text
    assert f"answers {test['baseline']['correct']} of {test['baseline']['n']} test questions of sums" in text
    assert f"at λ* = {cell['validation']['lambda_star']:g} (relative), the best of 19 strengths" in text
    for arm in ("lambda_star", "vote"):
        found = test[arm]["difference"]
        assert f"{found['fixed']} questions gained and {found['broken']} lost" in text
    assert "no detectable effect" in text
    assert "spends 19 generations a question" in text


def test_provenance(page):
    text = page.text
    for word in (
        "FakeForCausalLM",
        "fingerprint",
        "Gemma Terms of Use",
        "transformer-lens",
        "interp-xfer run study.yaml",
    ):
        assert word in text
    assert "The prompt of test-0." in text
    for setting in ("n_pairs", "layer_map", "proportional", "with_its"):
        assert setting in text


def test_slider_and_its_fallback(page):
    slider = next(attrs for tag, attrs in page.tags if tag == "input" and attrs.get("type") == "range")
    samples = json.loads(page.scripts["json-samples"])
    assert (slider["min"], slider["max"]) == ("0", "19")
    assert [len(steps) for steps in samples[0]] == [20] * 4
    shown = int(slider["value"])
    assert slider["aria-valuetext"].endswith("(λ*)")
    for steps in samples[0]:
        assert steps[0]["label"] == "baseline (λ = 0)"
        for step in (steps[0], steps[shown]):  # without a script, baseline and lambda* are there
            assert " ".join(step["text"].split()) in page.text


def test_hostile_text_is_shown_as_text(tmp_path):
    from fake_runs import HOSTILE, demo_run
    from interp_xfer_analyses.page.report import write_report

    raw = write_report(demo_run(tmp_path, hostile=True)).read_text(encoding="utf-8")
    page = Page(raw)
    assert "<script>alert" not in raw
    assert [tag for tag, _ in page.tags].count("textarea") == 0
    shown = " ".join(HOSTILE.split())
    assert page.text.count(shown) >= 4 * 3  # questions and both texts of the samples
    steps = json.loads(page.scripts["json-samples"])[0][0]
    assert steps[0]["text"].startswith(HOSTILE)
    assert "{{ braces }}" in page.text  # not read as a template


def test_hostile_names_are_shown_as_text(tmp_path):
    from fake_runs import make_study, write_cell
    from interp_xfer_analyses.page.report import write_report
    from interp_xfer_analyses.registry import ANALYSES

    from interp_xfer.studies.run_store import RunStore

    store = RunStore(tmp_path)
    for seed, child in enumerate(("<img src=x onerror=alert(1)>", "a&b<i>c</i>")):
        write_cell(store, make_study(child=child, n_validation=6, n_test=6), seed=seed)
    page = Page(write_report(store).read_text(encoding="utf-8"))
    assert not any(tag in ("img", "i") for tag, _ in page.tags)
    for name in ("lambda-robustness", "concept-profile", "transfer-profile"):
        names = [trace.name or "" for trace in ANALYSES[name].figure(ANALYSES[name].compute(store)).data]
        assert not any("<" in name for name in names)


def test_long_texts_are_cut_and_it_is_said(demo):
    from interp_xfer_analyses.page.report import write_report

    (cell,) = demo.read_cells()
    demo.write_cell(cell, [item.model_copy(update={"text": "x" * 5000}) for item in demo.read_items(cell.key)])
    page = Page(write_report(demo).read_text(encoding="utf-8"))
    assert "(3500 more characters)" in page.text
    assert "Texts are cut after 1500 characters." in page.text
    assert "x" * 1501 not in page.text


def test_json_cannot_end_a_script():
    from interp_xfer_analyses.page.report import script_json

    value = ["</script><!--", "&lt;", "\u2028\u2029"]
    text = str(script_json(value))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_many_cells_stay_usable(tmp_path):
    """14 pairs on 3 data sets: the report stays under 9 MB; `benchmarks/report.py` measures 63 pairs."""
    from fake_runs import CHILDREN, PARENTS, grid_run
    from interp_xfer_analyses.page.report import write_report

    store = grid_run(tmp_path, PARENTS[:2], CHILDREN, n=4, strengths=(0.01, 0.1, 0.3, 1.0))
    page = write_report(store)
    assert page.stat().st_size < 9e6
    text = Page(page.read_text(encoding="utf-8")).text
    assert "42 cells: 2 parents, 7 children, 3 data sets." in text
    assert "3 of 42 cells are shown" in text


def test_choices_show_single_cells(small_grid, tmp_path):
    import shutil

    from interp_xfer_analyses.page.report import write_report
    from interp_xfer_analyses.registry import ANALYSES

    from interp_xfer.studies.run_store import RunStore

    shutil.copytree(small_grid.root, tmp_path / "run")
    store = RunStore(tmp_path / "run")
    page = Page(write_report(store).read_text(encoding="utf-8"))
    table = ANALYSES["lambda-robustness"].compute(store)
    keys = list(dict.fromkeys(row.key for row in table.rows))
    for number, key in enumerate(keys):
        drawn = json.loads(page.scripts[f"json-figure-lambda-robustness-{number}"])
        test = [row.accuracy for row in table.rows if row.key == key and row.split == "test" and row.strength != 0]
        curve = next(t for t in drawn["data"] if t.get("legendgroup") == "test" and t["mode"] == "lines+markers")
        assert curve["y"] == pytest.approx(test, rel=1e-4)
