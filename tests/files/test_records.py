"""Records: written and read back, and refused when a value is not allowed, not there, or not what was written."""

import json
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from interp_xfer.errors import ArtifactError, ShapeError
from interp_xfer.fields import STRICT, Count, Digest, Fraction, Key, Positive, damaged, reasons
from interp_xfer.files.records import Record, require_tensors


@dataclass(frozen=True)
class Part:
    """A dataclass in a record."""

    __pydantic_config__ = STRICT

    n: Positive
    values: tuple[float | None, ...] = ()

    def __post_init__(self):
        if self.n == 13:
            raise ShapeError("13 is not allowed")


class Sample(Record):
    kind: Literal["sample"] = "sample"
    name: str
    share: Fraction
    digest: Digest
    flag: bool
    part: Part
    by_layer: dict[int, float]


SAMPLE = Sample(name="Zoë\u2028", share=1, digest="0f" * 8, flag=True, part=Part(2, (0.1, None)), by_layer={3: 1e-9})


def changed(path, **changes):
    values = json.loads(path.read_text(encoding="utf-8"))
    values |= changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not ...}), encoding="utf-8")
    return path


def test_round_trip(tmp_path):
    path = SAMPLE.write(tmp_path / "new" / "s.json")
    assert Sample.read(path) == SAMPLE
    values = json.loads(path.read_text(encoding="utf-8"))
    assert list(values) == ["kind", "name", "share", "digest", "flag", "part", "by_layer", "checksum"]
    tensors = {"a": torch.arange(3.0)}
    directory = SAMPLE.save(tmp_path / "d", tensors)
    found, again = Sample.load(directory)
    assert found == SAMPLE and torch.equal(again["a"], tensors["a"])


def test_order_and_spaces_are_no_content(tmp_path):
    path = SAMPLE.write(tmp_path / "s.json")
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(values.items())), indent=7), encoding="utf-8")
    assert Sample.read(path) == SAMPLE


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"name": ...}, "name: Field required"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"share": "1"}, "share: Input should be a valid number"),
        ({"share": True}, "share: Input should be a valid number"),
        ({"share": 1.01}, "share: Input should be less than or equal to 1"),
        ({"share": float("nan")}, "NaN is no JSON"),
        ({"flag": 1}, "flag: Input should be a valid boolean"),
        ({"digest": "0F" * 8}, "digest: String should match"),
        ({"digest": "0f" * 8 + "\n"}, "digest: String should match"),
        ({"part": {"n": 2.0}}, "part.n: Input should be a valid integer"),
        ({"part": {"n": 10**30}}, "part.n: Input should be less"),
        ({"part": {"n": 13}}, "13 is not allowed"),
        ({"part": {"n": 2, "values": [0.1, "x"]}}, r"part\.values\.1: Input should be a valid number"),
        ({"by_layer": {"three": 1.0}}, "by_layer.three"),
        ({"name": "\ud800"}, "surrogate"),
        # Allowed values that are not those that were written.
        ({"share": 0.5}, "the checksum differs"),
        ({"name": "Zoe"}, "the checksum differs"),
        ({"by_layer": {}}, "the checksum differs"),
        ({"checksum": ...}, "the checksum differs"),
        ({"checksum": "0" * 16}, "the checksum differs"),
    ],
)
def test_one_line_names_file_and_place(tmp_path, changes, place):
    path = changed(SAMPLE.write(tmp_path / "s.json"), **changes)
    with pytest.raises(
        ArtifactError, match=rf"s\.json is damaged \(.*{place}.*Delete it and make it again\.$"
    ) as error:
        Sample.read(path)
    assert "\n" not in str(error.value)


def test_another_kind(tmp_path):
    path = changed(SAMPLE.write(tmp_path / "s.json"), kind="cell")
    with pytest.raises(ArtifactError, match=r"s\.json is a 'cell' record, not 'sample'; give another file"):
        Sample.read(path)
    with pytest.raises(ArtifactError, match="is a '.1, 2.' record"):
        Sample.read(changed(path, kind=[1, 2]))
    with pytest.raises(ArtifactError, match="is not there"):
        Sample.read(tmp_path / "nothing.json")


def test_several_problems_are_counted():
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate({"share": 2.0})
    assert reasons(caught.value, 1) == "name: Field required and 5 more"
    assert reasons(caught.value).count(";") == 5


@pytest.mark.parametrize(
    ("kind", "bad"),
    [(Key, "../../x"), (Key, "0123456789ab/"), (Digest, "0" * 12), (Count, -1), (Count, 10**18), (Positive, 0)],
)
def test_field_types(kind, bad):
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(bad)


def test_tensors_are_those_that_belong():
    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros(2, dtype=torch.bool)}
    shapes, kinds = {"a": (2, 3), "b": (2,)}, {"b": torch.bool}
    require_tensors(tensors, shapes, "x", kinds)
    for wrong, words in (
        ({"a": tensors["a"]}, "tensor b is missing"),
        ({**tensors, "c": tensors["a"]}, "tensor c does not belong to it"),
        ({**tensors, "a": tensors["a"].T}, r"tensor a is \(3, 2\) of torch.float32, not \(2, 3\) of torch.float32"),
        ({**tensors, "a": tensors["a"].half()}, "of torch.float16, not"),
    ):
        with pytest.raises(ArtifactError, match=f"x is damaged .*{words}"):
            require_tensors(wrong, shapes, "x", kinds)


def test_refused_values_name_their_file():
    with pytest.raises(ArtifactError, match=r"^x is damaged \(13 rows\)\. Delete it"), damaged("x"):
        raise ShapeError("13 rows")
