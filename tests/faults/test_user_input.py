"""Nothing that a user hands over ends in a traceback, hangs, or is read as something else."""

import json
import time

import pytest
import user_input
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import InterpXferError

HELD = ("clear error", "read right")


def test_a_sample_of_all_cases():
    found = list(user_input.outcomes(full=False))
    assert [(name, outcome) for name, outcome in found if outcome not in HELD] == []
    assert {outcome for _, outcome in found} == set(HELD)


def test_the_outcomes_are_told_apart(monkeypatch):
    def broken(folder):
        return user_input._library(lambda: {}["x"], None)

    def refused(folder):
        def call():
            raise InterpXferError("no")

        return user_input._library(call, None)

    def endless(folder):
        while True:
            time.sleep(0.01)

    made = {
        "traceback": broken,
        "hangs": endless,
        "clear error": refused,
        "read right": lambda folder: user_input._library(lambda: 1, lambda found: found == 1),
        "read wrong": lambda folder: user_input._library(lambda: 1, None),
    }
    cases = [user_input.Case(name, call) for name, call in made.items()]
    monkeypatch.setattr(user_input, "cases", lambda: iter(cases))
    monkeypatch.setattr(user_input, "SECONDS", 0.2)
    assert list(user_input.outcomes(full=True)) == [(name, name) for name in made]
    assert user_input.count(full=True) == dict.fromkeys(user_input.OUTCOMES, 1)


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        (["run", "study.yaml", "--dry-run"], "read right"),
        (["run", "study.yaml", "--set", "n_test=[1"], "clear error"),
        (["run", "study.yaml", "--seed", "1"], "clear error"),
    ],
)
def test_the_outcomes_of_a_command(arguments, outcome, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    user_input._study(tmp_path)
    assert user_input._command(arguments, good=outcome == "read right") == outcome
    assert user_input._command(arguments, good=outcome != "read right") != outcome


# --- anything at all --------------------------------------------------------------------------------------------------

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["#### 1", r"\boxed{1}", "\ud800"])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["question", "answer", "target", "id", "problem", "solution", "unique_id", "choices", "answerKey", "reasoning", "x"]
)
CHOICES = st.fixed_dictionaries(
    {}, optional={"text": st.lists(ANYTHING, max_size=3), "label": st.lists(ANYTHING, max_size=3)}
)
LINES = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(FIELDS, ANYTHING | CHOICES, max_size=6).map(lambda row: json.dumps(row).encode()),
)
EVERY_TIME = settings(deadline=None, derandomize=True)


@EVERY_TIME
@given(lines=st.lists(LINES, max_size=4), task=st.sampled_from(list(user_input.ROWS)))
def test_any_file_of_rows_is_read_or_refused(lines, task, tmp_path_factory):
    from interp_xfer.tasks import get_task, load_few_shot, read_rows

    path = tmp_path_factory.getbasetemp() / "fuzz" / task / "train.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(lines))
    try:
        rows = read_rows(get_task(task), "train", path.parent.parent)
        assert all(bad.reason and bad.where.startswith(f"{path}, line ") for bad in rows.bad)
        for problem in rows.problems:
            f"{problem.id}{problem.text}{problem.reasoning}{problem.answer}".encode()
        load_few_shot(get_task(task), path)
    except InterpXferError as error:
        assert str(error)


SETTINGS = [
    "parent", "child", "dataset", "data_dir", "seed", "pairs", "rationales", "n_pairs", "n_test", "n_shots",
    "strengths", "unit", "dtype", "with_its", "parents", "children", "datasets", "layer_maps", "layer_map",
    "units", "native",
]  # fmt: skip


@EVERY_TIME
@given(
    st.dictionaries(
        st.sampled_from(SETTINGS) | st.text(max_size=5),
        ANYTHING | st.lists(st.sampled_from(["sums", "relative", "cka"]) | ANYTHING, max_size=3) | st.just("sums"),
        max_size=8,
    )
)
def test_any_settings_are_a_study_or_refused(values):
    from interp_xfer.studies.comparison import make_comparison, plan_comparison
    from interp_xfer.studies.config import make_study

    def plan(settings):
        return plan_comparison(make_comparison(settings)).record()

    for make in (make_study, plan):
        for changed in (values, {"parent": "a", "child": "b", "dataset": "sums", **values}):
            try:
                made = make(changed)
            except InterpXferError as error:
                assert "\n" not in str(error)
            else:
                json.dumps(made.model_dump(mode="json"), ensure_ascii=False).encode()


@EVERY_TIME
@given(content=st.binary(max_size=80) | st.text(alphabet="abn_:[]{}'\"#-, 1.\n\t&*!|>%@`").map(str.encode))
def test_any_study_file_is_read_or_refused(content, tmp_path_factory):
    from interp_xfer.studies.config import read_settings

    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content)
    try:
        assert all(isinstance(name, str) for name in read_settings(path))
    except InterpXferError as error:
        assert str(path) in str(error) and "\n" not in str(error)
