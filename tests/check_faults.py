"""A reader of `fastaug.show.check` whose files do something to it, by their names."""

import os
import pathlib
import signal
import time

from fastaug.show import check


def read_files(connection):
    """Dies over a file named crash, hangs over one named hang; `once` dies the first time only."""
    real = check.report_on

    def report_on(path):
        path = pathlib.Path(path)
        if path.stem == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if path.stem == "hang":
            time.sleep(600)
        if path.stem == "once" and not path.with_suffix(".seen").exists():
            path.with_suffix(".seen").touch()
            os._exit(9)
        return real(str(path))

    check.report_on = report_on
    original(connection)


def slowly(connection):
    """Hangs over files whose names begin with hang, and leaves a mark beside them."""
    real = check.report_on

    def report_on(path):
        path = pathlib.Path(path)
        if path.stem.startswith("hang"):
            path.with_suffix(".seen").touch()
            time.sleep(600)
        return real(str(path))

    check.report_on = report_on
    original(connection)


def die(connection):
    os._exit(7)


original = check.read_files
