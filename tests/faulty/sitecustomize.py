"""A decoder with faults: in a program with this folder in its path, files do harm to their reader.

Python imports this by its name in every process of such a program. What a file does is the first
word of its name, as in ``crash_3.jpg``, or of a file beside it, ``3.jpg.fault``.
"""

import contextlib
import importlib.util
import os
import signal
import sys
import time

#: The module whose function `read_file` reads a file, in decode processes and in threads.
MODULE = "fastaug.data.readers"

poisoned = []


def fault(path):
    kind = os.path.basename(path).split("_")[0]  # noqa: PTH119 (a path as the library has it)
    with contextlib.suppress(OSError), open(path + ".fault") as file:  # noqa: PTH123
        kind = file.read()
    if kind == "slow":
        time.sleep(0.03)
    elif kind == "crawl":
        time.sleep(0.25)
    elif kind == "panic":
        raise type("Panic", (BaseException,), {})("rust panicked")
    elif kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif kind == "exit":
        os._exit(0)
    elif kind == "killed":  # as it happens when there is no memory for it
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif kind == "poison":  # it is read well, and leaves a process in which a victim crashes
        poisoned.append(path)
    elif kind == "victim" and poisoned:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif kind == "once":
        try:
            os.close(os.open(path + ".seen", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGSEGV)


class Patch:
    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            read_file = module.read_file

            def faulty(path, *file):
                fault(path)
                return read_file(path, *file)

            module.read_file = faulty

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Patch())
