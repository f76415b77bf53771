"""Every value of every closed vocabulary works from the command line, in every verb that takes it.

Which verb takes what is read from the verbs themselves: a new value, option or verb is run too, or a test fails. Row i
takes the i-th value of each vocabulary, beginning again where one is shorter, so that as many rows as the longest
vocabulary has values cover all of them.
"""

import importlib.util
import json
import typing

import pytest
from interp_xfer_cli import tables
from interp_xfer_cli.app import app

import interp_xfer
from interp_xfer import choices, load_model
from interp_xfer.steering.hooks import TOKEN_SCOPES
from interp_xfer.steering.vectors import STRENGTH_UNITS
from interp_xfer.studies import layer_study, study_models
from interp_xfer.studies.comparison import LISTS
from interp_xfer.studies.config import Study

TABLES = {
    named.table().what: named.table() for named in (tables.METHOD, tables.LAYER_MAP, tables.LINEAR_MAP, tables.OPERATOR)
}
VOCABULARIES = {
    name: typing.get_args(found) for name, found in vars(choices).items() if typing.get_origin(found) is typing.Literal
} | {what: tuple(table) for what, table in TABLES.items()}
ROWS = range(max(map(len, VOCABULARIES.values())))
DATA = ("--dataset", "sums")


def vocabulary_of(annotation):
    """Name of the vocabulary that an annotation is, or is None or; else None.

    An option says its table by its parser, a setting by its validator.
    """
    for extra in getattr(annotation, "__metadata__", ()):
        table = getattr(extra, "func", None) or getattr(extra, "parser", None)
        table = table.table() if isinstance(table, tables.NameOf) else getattr(table, "__self__", None)
        if known := [what for what, one in TABLES.items() if one is table]:
            return known[0]
    while hasattr(annotation, "__metadata__"):
        annotation = typing.get_args(annotation)[0]
    parts = (annotation, *typing.get_args(annotation))  # Literal[...], or Literal[...] | None
    values = [typing.get_args(part) for part in parts if typing.get_origin(part) is typing.Literal]
    return next((name for name, known in VOCABULARIES.items() if [known] == values), None)


def vocabularies_in(annotations):
    found = {name: vocabulary_of(annotation) for name, annotation in annotations.items()}
    return {name: vocabulary for name, vocabulary in found.items() if vocabulary}


OPTIONS = {
    command.name: vocabularies_in(typing.get_type_hints(command.callback, include_extras=True))
    for command in app.registered_commands
}
"""Verb -> option -> vocabulary."""
SETTINGS = vocabularies_in(typing.get_type_hints(Study, include_extras=True))
"""Setting of a study -> vocabulary; `run`, `demo` and `compare` take them by --set, `compare` some as lists."""
STAGES = ("extract", "map", "project", "transfer", "search", "evaluate", "crosscheck", "rationales", "layers")


def covered(verb, row):
    """Whether the rows before this one took every value of the verb."""
    return row >= max(len(VOCABULARIES[name]) for name in OPTIONS[verb].values())


def value(vocabulary, row):
    values = VOCABULARIES[vocabulary]
    return values[row % len(values)]


def test_the_rows_below_cover_every_verb_and_every_value():
    assert {verb for verb, options in OPTIONS.items() if options} == set(STAGES)
    taken = {*SETTINGS.values(), *(name for options in OPTIONS.values() for name in options.values())}
    assert taken == set(VOCABULARIES), "a vocabulary that no verb takes"
    for name, values in VOCABULARIES.items():
        assert {value(name, row) for row in ROWS} == set(values)


def test_vocabularies_are_what_functions_take():
    assert VOCABULARIES["TokenScope"] == TOKEN_SCOPES and VOCABULARIES["StrengthUnit"] == STRENGTH_UNITS


@pytest.fixture(scope="module")
def science(tmp_path_factory):
    """A folder of ARC questions, with options to rank."""
    root = tmp_path_factory.mktemp("science")
    (root / "arc_challenge").mkdir()
    for split, offset in (("train", 0), ("validation", 100), ("test", 200)):
        rows = [
            {
                "id": f"q{n}",
                "question": f"Which of {n} is heavy?",
                "choices": {"text": ["a leaf", f"the table of {n}", "an apple"], "label": ["A", "B", "C"]},
                "answerKey": "B",
            }
            for n in range(offset, offset + 40)
        ]
        (root / "arc_challenge" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


@pytest.fixture
def loads(monkeypatch):
    """The options of every model that is loaded."""
    found = []

    def spied(*arguments, **options):
        found.append(options)
        return load_model(*arguments, **options)

    for module in (interp_xfer, study_models, layer_study):
        monkeypatch.setattr(module, "load_model", spied)
    return found


@pytest.fixture
def call(run, loads):
    """Runs a verb with the values of a row, and on a device; models are loaded as it says."""

    def called(verb, row, *arguments):
        chosen = {name: value(vocabulary, row) for name, vocabulary in OPTIONS[verb].items()}
        options = [part for name, chosen in chosen.items() for part in (f"--{name.replace('_', '-')}", chosen)]
        loads.clear()
        code, _, err = run(verb, *arguments, *options, "--device", "cpu")
        assert code == 0, (verb, options, err)
        expected = {"device": "cpu", **{name: chosen[name] for name in ("dtype", "weight_processing")}}
        assert loads and all(loaded == expected for loaded in loads)

    return called


@pytest.mark.parametrize("row", ROWS)
def test_stages(folders, science, call, run, tmp_path, row):
    parent, child = ("--parent", folders / "parent"), ("--child", folders / "child")
    concept, layer_map, projection, steering = (
        tmp_path / name for name in ("concept", "map", "projection", "steering")
    )
    call("extract", row, *parent, *DATA, "--n-pairs", 10, "--out", concept)
    call("map", row, *parent, *child, *DATA, "--n-pairs", 10, "--out", layer_map)
    fitted = ("--map", layer_map, "--n-texts", 10, "--offset", 14, "--out", projection)
    call("project", row, *parent, *child, *DATA, *fitted)
    parts = ("--concept", concept, "--map", layer_map, "--projection", projection)
    call("transfer", row, *parts, *child, *DATA, "--n-calibration", 3, "--offset", 10, "--out", steering)
    asked = ("--dataset", "arc_challenge", "--data-dir", science) if value("Scoring", row) == "likelihood" else DATA
    few = (*child, *asked, "--steering", steering, "--n", 2, "--n-shots", 0, "--max-new-tokens", 3)
    search = ("--search", tmp_path / "search", "--out", tmp_path / "evaluation")
    call("search", row, *few, "--grid", "0.1,1", "--out", tmp_path / "search")
    call("evaluate", row, *few, "--grid", "0.1,1", *search)
    if importlib.util.find_spec("lm_eval") is not None and not covered("crosscheck", row):
        short = (*child, *DATA, "--n", 2, "--n-shots", 0, "--max-new-tokens", 3)
        scopes = (*few, "--strength", 0.1) if value("TokenScope", row) == "all" else short
        call("crosscheck", row, *scopes, "--out", tmp_path / "crosscheck")
    if not covered("rationales", row):
        written = ("--limit", 2, "--n-shots", 0, "--max-new-tokens", 3, "--out", tmp_path / "rationales")
        call("rationales", row, *parent, "--data-dir", science, *written)
    if not covered("layers", row):
        few = ("--n-pairs", 8, "--n-calibration", 3, "--n-fit-texts", 10, "--n-held-out", 4, "--n-random", 1)
        call("layers", row, *parent, *child, *DATA, *few, "--out", tmp_path / "layers")


@pytest.mark.parametrize("row", ROWS)
def test_studies(folders, science, run, loads, tmp_path, row):
    """`run` and `compare` make the cell; `demo` with the same settings finds the one that `run` made."""
    chosen = {name: value(vocabulary, row) for name, vocabulary in SETTINGS.items()}
    few = {
        "parent": folders / "parent", "child": folders / "child", "dataset": "sums", "n_pairs": 8, "n_fit_texts": 10,
        "n_calibration": 3, "n_aligned": 2, "n_validation": 2, "n_test": 2, "n_shots": 0, "max_new_tokens": 3,
        "strengths": [0.1, 1.0],
    }  # fmt: skip
    if chosen["scoring"] == "likelihood":
        few |= {"dataset": "arc_challenge", "data_dir": science, "pairs": "correct-vs-incorrect"}
    file = tmp_path / "study.yaml"
    file.write_text("".join(f"{name}: {setting}\n" for name, setting in few.items()))
    lists = {plural: singular for plural, singular in LISTS.items() if singular in chosen}
    compared = [part for plural, name in lists.items() for part in (f"--{plural.replace('_', '-')}", chosen[name])]
    single = {name: setting for name, setting in chosen.items() if name not in lists.values()}
    for verb, out, arguments, settings in (
        ("run", "one", [file], chosen),
        ("demo", "one", [], few | chosen),
        ("compare", "many", [file, "--no-native", *compared], single),
    ):
        given = [part for name, setting in settings.items() for part in ("--set", f"{name}={setting}")]
        where = ("--device", "cpu", "--max-memory", 64)
        code, _, err = run(verb, *arguments, "--out", tmp_path / out, *given, *where)
        assert code == 0, (verb, given, err)
        (cell,) = (tmp_path / out / "cells").iterdir()
        study = json.loads(cell.read_text())["study"]
        assert {name: study[name] for name in chosen} == chosen
    assert len(loads) == 4 and {loaded["device"] for loaded in loads} == {"cpu"}
