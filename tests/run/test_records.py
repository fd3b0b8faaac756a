"""Exceptions as records: whatever a reader raises comes out of another process as it was."""

import builtins
import errno
import json
import os
import subprocess
import sys

import pytest
from PIL import Image, UnidentifiedImageError

from fastaug.run.records import MOST_BYTES, error_of, record_of


class Mine(Exception):
    """Known here, not in a fresh process."""


class Outer:
    class Inner(ValueError):
        pass


class TwoArguments(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Stubborn(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Opaque:
    def __repr__(self):
        raise RuntimeError("no repr")


def nested(depth):
    value = ()
    for _ in range(depth):
        value = (value,)
    return value


def there_and_back(error, room=MOST_BYTES):
    record = record_of(error, room)
    assert isinstance(record, bytes) and len(record) <= room
    return error_of(record)


def written(module, name, text):
    """A record as another process may write it, of a type that this one need not know."""
    return json.dumps({"tuple": [module, name, {"tuple": [text]}, None]}).encode()


def with_filename(error, filename):
    error.filename = filename
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError("a text"),
        OSError(),
        OSError(errno.ENOENT, "No such file"),
        FileNotFoundError(errno.ENOENT, "No such file", "a/b.jpg"),
        PermissionError(errno.EACCES, "Permission denied", b"a/\xff.jpg"),
        IsADirectoryError(errno.EISDIR, "Is a directory", "ü/\udcff\n.jpg"),
        with_filename(OSError("no errno"), "x.jpg"),
        ValueError("x.jpg: wrong", 3, 2.5, None, True, b"\xff", ("a", [1])),
        UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "x.jpg: invalid start byte"),
        UnicodeEncodeError("ascii", "aü", 1, 2, "x.jpg: not in range"),
        SyntaxError("x.jpg: broken PNG file"),
        KeyError("key"),
        MemoryError(),
        RecursionError("too deep"),
        ZeroDivisionError("division by zero"),
        StopIteration(3),
        UnidentifiedImageError("x.jpg: cannot identify image file"),
        Image.DecompressionBombError("x.jpg: too many pixels"),
        ValueError("\ud83d\ude00 no pair", b"", (), [], (b"\x00", [(1,)]), float("inf"), 10**30),
        ValueError("\ud800 \udfff lone \U0001f600 \x00 \n ' \" \\"),
        Mine("x.jpg: mine"),
        Outer.Inner("x.jpg: inner"),
    ],
    ids=repr,
)
def test_an_exception_comes_back_as_it_was(error):
    back = there_and_back(error)
    assert type(back) is type(error)
    assert back.args == error.args
    assert repr(back.args) == repr(error.args)  # 1 is not True
    assert str(back) == str(error)
    for name in ("errno", "strerror", "filename", "reason", "msg"):
        assert getattr(back, name, None) == getattr(error, name, None)


def real(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def test_errors_of_the_system_keep_their_file(tmp_path):
    for function, kind in [(os.open, FileNotFoundError), (os.listdir, FileNotFoundError)]:
        arguments = (str(tmp_path / "no\udcffne"), os.O_RDONLY)[: 2 if function is os.open else 1]
        error = real(function, *arguments)
        back = there_and_back(error)
        assert type(back) is kind and back.errno == errno.ENOENT
        assert back.filename == arguments[0] and str(back) == str(error)


@pytest.mark.parametrize(
    "error",
    [
        TwoArguments("x.jpg", 2),  # cannot be made from what it was made of
        ValueError(object()),
        ValueError(float("nan")),
        OSError(Opaque()),
        ValueError({"tuple": [1]}),
        FileNotFoundError(errno.ENOENT, "No such file", Opaque()),
        ValueError(nested(5000)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_has_no_exact_record_still_has_one(error):
    back = there_and_back(error)
    assert isinstance(back, Exception)
    assert type(error).__name__ in f"{type(back).__name__} {back}"


def test_the_text_of_what_has_no_exact_record():
    assert there_and_back(Stubborn(Opaque())).args == ("no text: RuntimeError",)
    assert str(there_and_back(ValueError(object, "x.jpg"))).endswith("'x.jpg')")
    back = there_and_back(TwoArguments("x.jpg", 2))
    assert type(back) is OSError and str(back) == "x.jpg and 2 (TwoArguments)"


@pytest.mark.parametrize("name", ["a.b.Strange", "builtins.Strange", "os.path", "builtins.int"])
def test_types_that_are_not_known_here(name):
    module, kind = name.rsplit(".", 1)
    back = error_of(written(module, kind, "x.jpg: wrong"))
    assert type(back) is OSError
    assert str(back) == f"x.jpg: wrong ({kind})"


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_what_is_no_error_is_not_raised(name):
    assert issubclass(getattr(builtins, name), BaseException)
    assert type(error_of(written("builtins", name, "x"))) is OSError


@pytest.mark.parametrize("text", ["x", "ü", "\U0001f600", "\x00", "\udcff", "'\"\\"])
@pytest.mark.parametrize("kind", [ValueError, OSError, UnidentifiedImageError, Mine])
@pytest.mark.parametrize("room", [200, MOST_BYTES])
def test_a_huge_text_is_cut(kind, text, room):
    error = kind("x.jpg: " + text * 100_000)
    back = there_and_back(error, room)
    assert type(back) is kind
    assert str(back).startswith("x.jpg: ") and str(error).startswith(str(back))
    assert len(record_of(error, room)) > room // 4


def test_huge_arguments_are_left_out():
    back = there_and_back(UnicodeDecodeError("utf-8", bytes(100_000), 1, 2, "x.jpg: wrong"))
    assert type(back) is OSError
    assert "x.jpg: wrong (UnicodeDecodeError)" in str(back)
    path = "d/" * 50_000 + "x.jpg"
    back = there_and_back(FileNotFoundError(errno.ENOENT, "No such file", path))
    assert type(back) is FileNotFoundError
    assert str(back).startswith("[Errno 2] No such file: 'd/d/")


@pytest.mark.parametrize("letter", ["x", "\U0001f600", "\x7f"])
def test_a_type_with_a_huge_name(letter):
    kind = type("Name" + letter * 100_000, (ValueError,), {})
    back = there_and_back(kind("x.jpg: wrong"))
    assert type(back) is OSError
    assert str(back).startswith("x.jpg: wrong (Name")


def test_a_record_crosses_processes(tmp_path):
    """A type that is not there becomes an OSError with its name."""
    code = """if True:
        import sys
        from fastaug.run.records import error_of
        for record in eval(sys.stdin.read()):
            error = error_of(record)
            print(type(error).__name__, ascii(str(error)))
    """
    errors = [Mine("x.jpg"), FileNotFoundError(2, "none", "\udcff"), ValueError("y.jpg")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=repr([record_of(error) for error in errors]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not done.stderr
    assert done.stdout.splitlines() == [
        "OSError 'x.jpg (Mine)'",
        r"""FileNotFoundError "[Errno 2] none: '\\udcff'" """.strip(),
        "ValueError 'y.jpg'",
    ]
