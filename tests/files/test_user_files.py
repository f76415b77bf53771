"""Files of a user: read whole and strictly, or refused with name, reason and remedy."""

import os
import socket

import pytest

from interp_xfer.errors import ArtifactError, ConfigError, DataError
from interp_xfer.files.user_files import is_there, read_bytes, read_lines, read_text


def test_text_is_read_as_it_is_without_byte_order_mark(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffhalf \u00bd\r\nline\u2028one\n".encode())
    assert read_text(path, "prompt") == "half \u00bd\r\nline\u2028one\n"
    (tmp_path / "link").symlink_to(path)
    assert read_text(str(tmp_path / "link"), "prompt") == read_text(path, "prompt")
    assert read_bytes(path, "prompt")[:3] == b"\xef\xbb\xbf"


def place(tmp_path, kind):
    path = tmp_path / "x"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(os.path.relpath(path))  # names of sockets are short
            listener.close()
        case "device":
            path = "/dev/zero"
        case "circle":
            path.symlink_to(path)
        case "dead link":
            path.symlink_to(tmp_path / "nothing")
        case "below a file":
            path.write_text("")
            path = path / "y"
        case "long name":
            path = tmp_path / ("y" * 300)
        case "latin 1":
            path.write_bytes(b"one\ntwo \xe9")
        case "binary":
            path.write_bytes(b"one\0")
        case "large":
            path.write_bytes(b"x" * 1025)
        case "sparse":
            with path.open("wb") as file:
                file.truncate(2**40)
        case "NUL in the name":
            path = f"{tmp_path}/a\0b"
    return path


REFUSED = {
    "missing": "there is no such file; check the path",
    "folder": "it is a folder, not a file; give a regular file",
    "pipe": "it is a pipe, not a file",
    "socket": "it is a socket, not a file",
    "device": "it is a device, not a file",
    "circle": "its symbolic links go in a circle",
    "dead link": "there is no such file",
    "below a file": "a part of its path is a file",
    "long name": "its name is too long",
    "latin 1": r"it is not UTF-8 text \(line 2, byte 5 is 0xe9\); save it as UTF-8 text",
    "binary": r"it is no text \(line 1, byte 4 is a NUL\)",
    "large": "is larger than 1 KiB, the most that is read; give a smaller file",
    "sparse": "is larger than 1 KiB",
    "NUL in the name": "is no path: it holds a NUL",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"^study file .*{REFUSED[kind]}") as caught:
        read_text(place(tmp_path, kind), "study file", 1024, ConfigError)
    assert "\n" not in str(caught.value)


def test_no_permission_and_failing_disks_are_explained(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(DataError, match="reading it is not permitted"):
        patch.setattr(os, "open", refused)
        read_text(tmp_path / "a", "prompt")
    with pytest.raises(DataError, match="Input/output error"):
        read_text("/proc/self/mem", "prompt")


def test_lines_are_read_one_by_one_and_bad_ones_say_why(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\nx\xff\n" + b"y" * 10 + b"\nla\x0bt\xe2\x80\xa8\n" + b"x" * 11 + b"\nz")
    lines = list(read_lines(path, "data file", 10))
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line.text for line in lines] == ["one", "", "", "y" * 10, "la\x0bt\u2028", ""]
    assert [line.problem for line in lines] == [
        None,
        None,
        "invalid UTF-8 at byte 2 of the line",
        None,
        None,
        "the line is longer than 10 bytes; nothing was read from there on",
    ]
    with pytest.raises(ArtifactError, match="data file .*it is a folder"):
        next(read_lines(tmp_path, "data file", error=ArtifactError))


def test_errors_of_the_reader_are_not_taken_for_errors_of_the_file(tmp_path):
    (tmp_path / "rows").write_text("a\n")
    with pytest.raises(OSError, match="mine"):
        for _ in read_lines(tmp_path / "rows", "data file"):
            raise OSError("mine")


def test_something_is_there_even_where_it_cannot_be_read(tmp_path):
    assert is_there(tmp_path) and is_there(place(tmp_path, "circle")) and is_there(place(tmp_path, "long name"))
    assert not is_there(tmp_path / "nothing")
