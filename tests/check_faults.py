"""In the place of `fastaug.data.report`: files do something to who reads them, by their names."""

import os
import pathlib
import signal
import time

from fastaug.data import report


def read_into(path, file, out):
    """Dies over crash, hangs over names that begin with hang; `once` dies the first time only."""
    path = pathlib.Path(path)
    mark = path.with_suffix(".seen")
    if path.stem == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.stem.startswith("hang"):
        mark.touch()
        time.sleep(600)
    if path.stem == "once" and not mark.exists():
        mark.touch()
        os._exit(9)
    return report.read_into(str(path), file, out)


def die(*_):
    """In the place of what makes a process ready."""
    os._exit(7)
