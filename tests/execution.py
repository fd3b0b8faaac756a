"""The ways to run a generator: numbers of threads, prefetching and pools."""

import contextlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

SPAWN = multiprocessing.get_context("spawn")

#: Makers of the pools that a generator takes, each a context manager.
POOLS = {
    "an int": lambda: contextlib.nullcontext(2),
    "ThreadPool": lambda: ThreadPool(2),
    "Pool": lambda: SPAWN.Pool(1),
    "ThreadPoolExecutor": lambda: ThreadPoolExecutor(2),
    "ProcessPoolExecutor": lambda: ProcessPoolExecutor(2, mp_context=SPAWN),
}

EXECUTIONS = (
    ["defaults"]
    + [f"workers={w} prefetch={p}" for w in (0, 1, 3) for p in (0, 1, 4)]
    + [f"pool={name}" for name in POOLS if name != "Pool"]
)


@contextlib.contextmanager
def open_execution(name):
    """The generator's arguments for one of ``EXECUTIONS`` or ``"pool=..."``."""
    if name == "defaults":
        yield {}
    elif name.startswith("pool="):
        with POOLS[name.removeprefix("pool=")]() as pool:
            yield {"pool": pool}
    else:
        yield {key: int(value) for key, value in (part.split("=") for part in name.split())}
