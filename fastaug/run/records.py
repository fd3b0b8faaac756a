"""Exceptions as bytes that cross processes: the name of the type, the arguments, the text.

As JSON, which has no tuples and no bytes: an object with one key stands for each.
"""

import builtins
import contextlib
import json
import sys
from typing import Any

# Bytes of a record, at most.
MOST_BYTES = 8188


def _plain(value):
    """Returns a value as JSON has it; raises TypeError for what would come back as another."""
    if isinstance(value, tuple):
        return {"tuple": [_plain(item) for item in value]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin-1")}
    if isinstance(value, dict):
        raise TypeError
    return value


def _value(plain):
    """Returns what an object of JSON stands for."""
    ((kind, content),) = plain.items()
    return tuple(content) if kind == "tuple" else content.encode("latin-1")


def _packed(values):
    text = json.dumps(_plain(values), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _unpacked(record):
    return json.loads(record.decode("utf-8", "surrogatepass"), object_hook=_value)


def record_of(error: BaseException, room: int = MOST_BYTES) -> bytes:
    """Returns an exception as at most `room` bytes, for `error_of` in another process."""
    kind = type(error).__module__, type(error).__qualname__
    filename = getattr(error, "filename", None) if isinstance(error, OSError) else None
    with contextlib.suppress(Exception):  # what a plugin of Pillow's raises may hold anything
        values = (*kind, error.args, filename)
        record = _packed(values)
        if len(record) <= room and _unpacked(record) == values:
            return record
    try:
        text = str(error)
    except Exception as failure:
        text = f"no text: {type(failure).__name__}"
    parts = [*kind, text]
    while True:  # escaped, a character may take several bytes
        record = _packed((*parts[:2], (parts[2],), None))
        if len(record) <= room:
            return record
        longest = max(range(3), key=lambda k: len(parts[k]))
        parts[longest] = parts[longest][: len(parts[longest]) // 2]


def error_of(record: bytes) -> Exception:
    """Returns the exception of a record; an OSError if its type is not known here."""
    module, name, arguments, filename = _unpacked(record)
    kind: Any = sys.modules.get(module, builtins)
    for part in name.split("."):
        kind = getattr(kind, part, None)
    try:
        if not issubclass(kind, Exception):
            raise TypeError
        error = kind(*arguments)
    except Exception:
        return OSError(f"{' '.join(map(str, arguments))} ({name})")
    if filename is not None:
        error.filename = filename
    return error
