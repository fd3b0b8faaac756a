"""Exceptions as bytes that cross processes: the name of the type, the arguments, the text."""

import ast
import builtins
import contextlib
import sys
from typing import Any

# Bytes of a record, at most.
MOST_BYTES = 8188


def _literal(values):
    """Returns values as text that `ast.literal_eval` reads; raises ValueError if there is none."""
    text = repr(values)
    if ast.literal_eval(text) != values:
        raise ValueError
    return text


def record_of(error: BaseException, room: int = MOST_BYTES) -> bytes:
    """Returns an exception as at most `room` bytes, for `error_of` in another process."""
    kind = type(error).__module__, type(error).__qualname__
    filename = getattr(error, "filename", None) if isinstance(error, OSError) else None
    with contextlib.suppress(Exception):  # what a plugin of Pillow's raises has any `repr`
        record = _literal((*kind, error.args, filename)).encode("utf-8", "surrogatepass")
        if len(record) <= room:
            return record
    try:
        text = str(error)
    except Exception as failure:
        text = f"no text: {type(failure).__name__}"
    parts = [*kind, text]
    while True:  # escaped, a character may take several bytes
        record = repr((*parts[:2], (parts[2],), None)).encode("utf-8", "surrogatepass")
        if len(record) <= room:
            return record
        longest = max(range(3), key=lambda k: len(parts[k]))
        parts[longest] = parts[longest][: len(parts[longest]) // 2]


def error_of(record: bytes) -> Exception:
    """Returns the exception of a record; an OSError if its type is not known here."""
    module, name, arguments, filename = ast.literal_eval(record.decode("utf-8", "surrogatepass"))
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
