"""The header of a GGUF file, walked within the bounds of the file before a library reads it.

`gguf.GGUFReader` believes the counts: an array said to hold 2^62 numbers in a file of a kilobyte keeps it busy for
ever.

    magic "GGUF", version u32, n_tensors u64, n_fields u64
    field: key string, type u32, value;  array: type u32, length u64, values;  string: length u64, bytes
    tensor: name string, n_dims u32, dims u64 each, type u32, offset u64

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import struct
from pathlib import Path

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from interp_xfer.errors import ModelError

_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type."""
_STRING, _ARRAY = 8, 9
_MAX_DIMS = 4


class _Damaged(Exception):
    pass


def check_gguf(path: Path) -> None:
    """Raise ModelError unless the header of a GGUF file fits the file: every count, every length, every tensor.

    Raises: ModelError saying what does not.
    """
    try:
        size = path.stat().st_size
        if size < 24:
            raise _Damaged(f"it has {size} bytes")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Walk(data).header()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    except _Damaged as error:
        raise ModelError(
            f"cannot read {path.name} as a GGUF model: {error}. It is no GGUF file, cut off, or damaged. Get a "
            f"complete copy."
        ) from None


class _Walk:
    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at, self._order = data, 0, "<"

    def header(self) -> None:
        if self._data[:4] != b"GGUF":
            raise _Damaged("it does not begin with GGUF")
        self._at = 4
        version = self._number("I")
        if version & 0xFFFF == 0:  # written on a machine of the other byte order
            self._order, self._at = ">", 4
            version = self._number("I")
        if version not in (2, 3):
            raise _Damaged(f"it is of version {version}, not 2 or 3")
        n_tensors, n_fields = self._number("Q"), self._number("Q")
        for _ in range(n_fields):  # ends at the end of the file at the latest: a field has at least 13 bytes
            self._skip(self._number("Q"), "the name of a field")
            self._value(self._number("I"))
        total = sum(self._tensor() for _ in range(n_tensors))
        if total > len(self._data):
            raise _Damaged(f"its tensors have {total} bytes and the file {len(self._data)}")

    def _value(self, kind: int) -> None:
        if kind in _SCALARS:
            self._skip(_SCALARS[kind], "a value")
        elif kind == _STRING:
            self._skip(self._number("Q"), "a text")
        elif kind == _ARRAY:
            inner, length = self._number("I"), self._number("Q")
            if inner in _SCALARS:
                self._skip(length * _SCALARS[inner], f"a list of {length} values")
            elif inner == _STRING:
                for _ in range(length):
                    self._skip(self._number("Q"), f"a list of {length} texts")
            else:
                raise _Damaged(f"it has a list of values of type {inner}")
        else:
            raise _Damaged(f"it has a value of type {kind}")

    def _tensor(self) -> int:
        """Bytes of the tensor that is described next."""
        self._skip(self._number("Q"), "the name of a tensor")
        n_dims = self._number("I")
        if not 1 <= n_dims <= _MAX_DIMS:
            raise _Damaged(f"it has a tensor of {n_dims} dimensions")
        n_values = math.prod(self._number("Q") for _ in range(n_dims))
        kind, offset = self._number("I"), self._number("Q")
        try:
            block, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except (ValueError, KeyError):
            raise _Damaged(f"it has a tensor of type {kind}") from None
        size = n_values // block * n_bytes
        if self._at + offset + size > len(self._data):
            raise _Damaged("a tensor lies beyond its end")
        return size

    def _number(self, code: str) -> int:
        size = struct.calcsize(code)
        self._skip(size, "a number")
        return struct.unpack_from(self._order + code, self._data, self._at - size)[0]

    def _skip(self, n_bytes: int, what: str) -> None:
        if n_bytes > len(self._data) - self._at:
            raise _Damaged(f"{what} ends beyond its end")
        self._at += n_bytes
