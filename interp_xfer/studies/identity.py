"""Which files of a run a study may use: keys over contents, never over paths.

1. `Contents` are digests of everything a study names: the models, the pairs, texts and questions as they were read,
   the prompt they are asked with. A changed file is another content, however it is called; the same content elsewhere
   is the same.
2. A key hashes the contents and the settings that one kind of file depends on, and nothing else.
3. Records keep their contents, so that a reader can compute their key again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from interp_xfer.choices import DTypeName
from interp_xfer.fields import Digest, Json
from interp_xfer.files.records import Record
from interp_xfer.models import default_dtype, model_identity
from interp_xfer.studies.config import Study
from interp_xfer.studies.study_data import StudyData
from interp_xfer.tasks import ContrastPair, FitText, Problem, Task
from interp_xfer.tasks.leaks import content

_FORMAT = 3  # changes when the same settings and contents give other numbers or other files


class Contents(Record):
    """Digests, sixteen hex digits each, of what a study is made from."""

    parent: Digest
    """Model files, or the commit of a repository (`model_identity`)."""
    child: Digest
    dtype: DTypeName
    """As it is loaded here, where the study leaves it open."""
    pairs: Digest
    """Contrast pairs."""
    calibration: Digest
    fit_texts: Digest
    validation: Digest
    """Questions, gold answers and how they are put."""
    test: Digest
    asking: Digest
    """System prompt, examples, token limit."""


def asked_key(study: Study) -> str:
    """Twelve hex digits over the settings of a study as anybody may see them: what a plan and a failure call it."""
    names = {"parent": shown_model(study.parent), "child": shown_model(study.child)}
    return key_of({"kind": "asked", **shown_files(study.model_dump(mode="json")), **names})


class Keys(NamedTuple):
    """Twelve hex digits for each kind of file of a study."""

    concept: str
    transfer: str
    alignment: str
    baseline: str
    cell: str


_SETTINGS: dict[str, tuple[str, ...]] = {
    "concept": ("weight_processing", "seed", "method", "centering", "normalize_differences"),
    "transfer": ("layer_map", "projection"),
    "alignment": ("n_aligned",),
    "baseline": ("weight_processing", "enable_thinking", "scoring"),
    "cell": ("unit", "operator", "tokens", "strengths", "with_its"),
}
"""Kind of file -> settings that change its numbers and are not in any content."""
_CONTENTS: dict[str, tuple[str, ...]] = {
    "concept": ("parent", "dtype", "pairs"),
    "transfer": ("child", "calibration", "fit_texts"),
    "alignment": (),
    "baseline": ("child", "dtype", "validation", "test", "asking"),
    "cell": (),
}
_MADE_FROM: dict[str, tuple[str, ...]] = {
    "concept": (),
    "transfer": ("concept",),
    "alignment": ("transfer",),
    "baseline": (),
    "cell": ("transfer", "baseline"),
}
assert set(_SETTINGS) == set(_CONTENTS) == set(_MADE_FROM) == set(Keys._fields)


def read_contents(study: Study, data: StudyData, device: str | None = None) -> Contents:
    """The contents of everything a study names, as it is now.

    Arguments:
        study: names models and settings.
        data: what `load_data` read for it.
        device: where the models will run; None as in `load_model`.
    Raises: ModelError if a model cannot be identified.
    """
    return Contents(
        parent=model_identity(study.parent),
        child=model_identity(study.child),
        dtype=study.dtype or default_dtype(device),
        pairs=items_digest(data.pairs),
        calibration=items_digest(data.calibration),
        fit_texts=items_digest(data.fit_texts),
        validation=questions_digest(data.task, data.validation),
        test=questions_digest(data.task, data.test),
        asking=asking_digest(data.task, study.n_shots, study.max_new_tokens),
    )


def study_keys(study: Study, contents: Contents) -> Keys:
    """The keys of a study whose contents are known; a pure function."""
    values, digests = study.model_dump(mode="json"), contents.model_dump(mode="json")
    keys: dict[str, str] = {}
    for kind in Keys._fields:
        hashed = {
            "format": _FORMAT,
            "kind": kind,
            "made_from": [keys[source] for source in _MADE_FROM[kind]],
            "settings": {name: values[name] for name in _SETTINGS[kind]},
            "contents": {name: digests[name] for name in _CONTENTS[kind]},
        }
        keys[kind] = key_of(hashed)
    return Keys(**keys)


def key_of(values: object) -> str:
    """Twelve hex digits over plain JSON."""
    return hashlib.sha256(_canonical(values)).hexdigest()[:12]


def items_digest(items: Iterable[ContrastPair | FitText]) -> str:
    """Digest of pairs or texts, in their order."""
    return _digest([content(item) for item in items])


def questions_digest(task: Task, problems: Sequence[Problem]) -> str:
    """Digest of problems and of the words that put them to a model."""
    return _digest([[content(problem), task.format_question(problem)] for problem in problems])


def asking_digest(task: Task, n_shots: int, max_new_tokens: int | None) -> str:
    """Digest of what is asked with every question: the prompt but for the model's own template."""
    shots = [[task.format_question(shot), task.format_solution(shot)] for shot in task.few_shot[:n_shots]]
    limit = max_new_tokens or task.max_new_tokens
    return _digest([task.name, task.system_prompt, shots, limit, list(task.stop_sequences)])


def shareable(study: Study, contents: Contents) -> Study:
    """The study as records and reports show it: a file or folder by its name alone, its place said to nobody."""
    names = shown_models(study.parent, study.child, contents.model_dump())
    return study.model_copy(update={**shown_files(study.model_dump(include=set(FILE_SETTINGS))), **names})


FILE_SETTINGS = ("data_dir", "rationales", "system_prompt", "few_shot")
"""Settings of a study that name a file or folder."""


def shown_files(values: Mapping[str, object]) -> Json:
    """The same settings, with files and folders by their names alone."""
    return {
        name: _shown_file(value) if name in FILE_SETTINGS and isinstance(value, str) else value
        for name, value in values.items()
    }


def shown_models(parent: str, child: str, contents: Mapping[str, str]) -> dict[str, str]:
    """Parent and child by name; two folders of one name get the first digits of their contents behind it."""
    names = {"parent": shown_model(parent), "child": shown_model(child)}
    if names["parent"] == names["child"] and contents["parent"] != contents["child"]:
        return {role: f"{name}-{contents[role][:8]}" for role, name in names.items()}
    return names


def shown_model(reference: str) -> str:
    """A model reference, a folder or file by its name alone."""
    if reference.startswith("gguf:"):
        return f"gguf:{_shown_file(reference.removeprefix('gguf:'))}"
    return _shown_file(reference) if reference.startswith(("/", "~", ".")) else reference


def _shown_file(path: str) -> str:
    if not path.startswith(("/", "~", ".")):
        return path
    return os.path.basename(os.path.realpath(os.path.expanduser(path)))  # unlike `Path.resolve`, whatever the path is


def _digest(values: object) -> str:
    return hashlib.sha256(_canonical(values)).hexdigest()[:16]


def _canonical(values: object) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
