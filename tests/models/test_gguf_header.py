"""The header of a GGUF file is walked within the file."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_files import write_gguf

from interp_xfer.errors import ModelError
from interp_xfer.models.gguf_header import check_gguf


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf") / "changed.gguf"


def test_a_whole_file(whole, path):
    path.write_bytes(whole)
    check_gguf(path)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_noticed(whole, path, share):
    path.write_bytes(whole[: int(share * (len(whole) - 32))])  # the last padding may go
    with pytest.raises(ModelError, match=r"cannot read changed.gguf as a GGUF model: .* Get a complete copy"):
        check_gguf(path)


def swapped(order, *fields):
    header = b"GGUF" + struct.pack(f"{order}IQQ", 3, 0, len(fields))
    return header + b"".join(struct.pack(f"{order}Q", 1) + b"a" + field for field in fields)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_all_kinds_of_values(order, path):
    fields = [
        struct.pack(f"{order}Ib", 1, -1),
        struct.pack(f"{order}Id", 12, 0.5),
        struct.pack(f"{order}IQ", 8, 3) + b"abc",
        struct.pack(f"{order}IIQ", 9, 5, 2) + b"\0" * 8,
        struct.pack(f"{order}IIQQ", 9, 8, 1, 2) + b"ab",
    ]
    path.write_bytes(swapped(order, *fields))
    check_gguf(path)
    path.write_bytes(swapped(order, *fields)[:-1])
    with pytest.raises(ModelError, match="a list of 1 texts ends beyond its end"):
        check_gguf(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: Is a directory|has \\d+ bytes|does not begin"):
        check_gguf(tmp_path)
    with pytest.raises(ModelError, match="none cannot be read: No such file"):
        check_gguf(tmp_path / "none")
