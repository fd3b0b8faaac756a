"""The soak test: iterators used in every way, while whatever can go wrong does.

    python -m tests.soak --runs 1000 --seed 1

Each run draws a scenario: a few iterators over files or arrays in one to three threads, and a few
faults. It plays it in a program of its own, see soak_program.py, and asserts that every sample
comes once, in order, with the pixels of an undisturbed run, or the error that names the file; that
it takes bounded time; and that no process, memory or thread is left.

It prints what it drew, and how often each fault has happened. ``--seed S --run K`` plays one run
again; what depends on the moment may need ``--repeat``.
"""

import argparse
import collections
import importlib.util
import json
import os
import pathlib
import random
import selectors
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent

#: Every kind of fault.
FAULTS = (
    "kill one",
    "kill all",
    "stop one",
    "Ctrl-C",
    "drop",
    "drop in a cycle",
    "close elsewhere",
    "delete",
    "truncate",
    "never answer",
    "crash",
    "no memory",
    "failing function",
    "fork",
    "busy",
    "end",
    "killed from outside",
)

#: Those after which a program does nothing more.
LAST = {"end", "killed from outside"}

#: Those after which some files cannot be read, or are not believed to.
OF_FILES = {"delete", "truncate", "never answer", "crash", "stop one"}

#: Those for which decode processes of our own have to read all files.
OF_DECODE_PROCESSES = {"never answer", "crash", "stop one"}

#: What may not come together: what one does would be taken for what another does.
APART = [
    OF_FILES | {"failing function"},
    {"no memory", "fork", "killed from outside", "busy"},
    {"no memory", "never answer"},
    LAST | {"stop one"},  # a process that does not run cannot see that its program is gone
    LAST | {"fork"},  # which may live on
    {"stop one", "fork"},
]

POOLS = ("ThreadPool", "Pool", "ThreadPoolExecutor", "ProcessPoolExecutor", "loky")
PROCESS_POOLS = {"Pool", "ProcessPoolExecutor", "loky"}


# ---------------------------------------------------------------------------- drawing


def draw(seed, run, only=None):
    """Draw a scenario.

    Args:
        seed: Seed of the soak test.
        run: Number of the run.
        only: A kind of fault that every run has, and no other; None: any, each kind in its turn.

    Returns:
        A dictionary of what JSON has.
    """
    chance = random.Random(f"{seed} {run} {only}")
    kinds = [only or FAULTS[run % len(FAULTS)]]
    if only is None:
        for kind in chance.sample(FAULTS, chance.choice([0, 1, 1, 2])):
            if kind not in kinds and not any({kind, k} <= group for group in APART for k in kinds):
                kinds.append(kind)
    samples = chance.randint(20, 44)
    scenario = {
        "seed": seed,
        "run": run,
        "only": only,
        "samples": samples,
        "slow": sorted(chance.sample(range(samples), chance.choice([0, 0, 4, 10]))),
        "gc": chance.choice(
            [(50, 5, 5), (5, 2, 2)] + [None] * (1 if kinds[0] == "drop in a cycle" else 3)
        ),
        "afterwards": 1 if set(kinds) & {"never answer", "crash"} else 3,
        "limit": 90,
        "patience": 8,
    }
    scenario["threads"] = 1 if "no memory" in kinds else chance.choice([1, 1, 1, 2, 2, 3])
    number = max(scenario["threads"], chance.choice([1, 1, 1, 2, 2, 3, 4]))
    if "never answer" in kinds or "crash" in kinds:
        number = scenario["threads"] = min(2, scenario["threads"])
    scenario["walks"] = [draw_walk(chance, k, kinds, scenario) for k in range(number)]
    scenario["faults"] = []
    for kind in kinds:
        if kind == "killed from outside":
            scenario["killed_after"] = chance.uniform(0.05, 0.8)
            scenario["faults"].append({"kind": kind, "walk": -1, "at": -1})
        else:
            scenario["faults"].append(draw_fault(chance, kind, scenario))
    return scenario


def draw_walk(chance, number, kinds, scenario):
    """Draw an iterator. That of walk 0 is one that the first fault is about."""
    samples, threads = scenario["samples"], scenario["threads"]
    first = kinds[0] if number == 0 else None
    if number < threads:
        mine = [number]
    else:
        mine = [chance.randrange(threads)]
        if threads > 1 and not set(kinds) & (OF_FILES | {"Ctrl-C", "fork", "failing function"}):
            mine = chance.choice([mine, mine, list(range(threads))])
    data = chance.choice(["files", "files", "arrays"])
    if number == 0 and set(kinds) & (OF_FILES | {"kill one", "kill all", "no memory"}):
        data = "files"
    batch_size = chance.choice([1, 2, 4, 4, 7, 8, 16, samples])
    walk = {
        "threads": mine,
        "data": data,
        "workers": chance.choice([0, 1, 1, 2, 2, 2, 3, 4, chance.choice([8, 16])]),
        "prefetch": chance.choice([0, 1, 2, 2, 3, 8]),
        "batch_size": batch_size,
        "batches": chance.randint(3, 3 + min(2 * -(-samples // batch_size), 24)),
        "shuffle": chance.random() < 0.7,
        "seed": chance.randrange(100),
        "ask": "next" if len(mine) > 1 else chance.choice(["next", "next", "items"]),
        "settings": chance.choice(
            ["geometry", "geometry", "geometry", "colours", "splines", "samplewise", "bytes",
             "doubles", "channels_first", "function", "elementwise", "drawing function"]
        ),
    }  # fmt: skip
    if number == 0 and "failing function" in kinds:
        walk["settings"] = "failing function"
        calls = range(1, min(samples, batch_size * walk["batches"]) + 1)
        walk["calls"] = sorted(chance.sample(calls, min(3, len(calls))))
    if set(kinds) & OF_FILES and walk["settings"] == "drawing function":
        walk["settings"] = "function"  # it does not draw for a file that is left out
    if set(kinds) & OF_DECODE_PROCESSES and walk["settings"] == "doubles":
        walk["settings"] = "bytes"  # the calling thread reads files for float64
    if data == "files":
        draw_reading(chance, walk, first, kinds)
    else:
        pool = chance.choice([None, None, None, "ThreadPool", "ThreadPoolExecutor"])
        if pool is not None:
            walk["pool"] = pool
    if set(kinds) & {"never answer", "crash"}:
        walk["batches"] = min(walk["batches"], 1 + -(-samples // batch_size), 12)
    if first == "drop in a cycle":
        walk["workers"] = chance.choice([1, 2, 2, 3])
        walk["prefetch"] = chance.choice([2, 8, 8])
        walk["batch_size"] = max(batch_size, 8)
        walk["batches"] = 3
    alone = mine == [0] and number == 0 and "function" not in walk["settings"]
    if alone and chance.random() < 0.3 and scenario["threads"] == 1:
        walk["seed"] = None  # the global stream is one, and is this walk's
    return walk


def draw_reading(chance, walk, first, kinds):
    """Draw how files are read."""
    walk["decoder"] = chance.choice(["processes", "processes", "threads"])
    walk["on_error"] = chance.choice(["raise", "skip"])
    if set(kinds) & {"kill one", "kill all", *OF_DECODE_PROCESSES}:
        walk["decoder"] = "processes"
        walk["workers"] = max(1, walk["workers"])
    elif first == "no memory":
        walk["decoder"] = "processes"
        walk["on_error"] = "raise"
    elif "no memory" in kinds:
        pass  # a pool's own thread cannot do without files either, and ends
    elif not set(kinds) & LAST and chance.random() < 0.2:
        walk["pool"] = chance.choice(POOLS)
    if first in ("kill one", "kill all") and len(kinds) == 1 and chance.random() < 0.2:
        walk["pool"] = chance.choice(sorted(PROCESS_POOLS))
    if walk["workers"] == 16 and chance.random() < 0.5:
        walk["workers"] = 2  # so many take seconds to start
    if "pool" in walk:  # a Pool does not tell that a worker died
        walk["timeout"] = 5 if set(kinds) & {"kill one", "kill all"} else 60
    elif set(kinds) & {"never answer", "stop one"}:
        walk["timeout"] = 1


def draw_fault(chance, kind, scenario):
    """Draw the circumstances of a fault: when, how often, and whose it is."""
    walks = scenario["walks"]
    own = [k for k, walk in enumerate(walks) if len(walk["threads"]) == 1]
    fit = {
        "kill one": [k for k in own if walks[k]["data"] == "files"],
        "kill all": [k for k in own if walks[k]["data"] == "files"],
        "stop one": [k for k in own if walks[k]["data"] == "files"],
        "Ctrl-C": [k for k in own if walks[k]["threads"] == [0]],
        "end": [k for k in own if walks[k]["threads"] == [0]],
        "failing function": [0],
        "no memory": [0],
    }.get(kind, own)
    if kind == "fork":
        fit = [k for k in own if "pool" not in walks[k]] or own
    target = 0 if 0 in fit and chance.random() < 0.6 else chance.choice(fit or [0])
    fault = {"kind": kind, "walk": target, "at": chance.randrange(walks[target]["batches"])}
    fault["seed"] = chance.randrange(1000)
    if kind in ("kill one", "kill all", "stop one", "Ctrl-C", "close elsewhere", "delete",
                "truncate") and chance.random() < 0.8:  # fmt: skip
        fault["after"] = chance.choice([0, 0.001, 0.01, 0.05, 0.2])
    if kind in ("kill one", "kill all", "Ctrl-C", "close elsewhere", "stop one"):
        fault.setdefault("after", 0)
        fault["at"] = min(fault["at"], 2)
    if kind in ("kill one", "kill all"):
        fault["times"] = chance.randint(1, 2)
    elif kind == "Ctrl-C":
        fault["times"] = chance.randint(1, 4)
    elif kind == "drop in a cycle":
        # what nobody has collected yet reads on, and slowly where files are slow
        fault["times"] = chance.randint(1, 5 if scenario["slow"] else 30)
    elif kind == "close elsewhere":
        fault["times"] = chance.randint(1, 10)
    elif kind in OF_FILES:
        most = 3 if kind in ("delete", "truncate") else 1
        fault["files"] = sorted(chance.sample(range(scenario["samples"]), chance.randint(1, most)))
        fault["half"] = chance.random() < 0.7
        fault["how"] = chance.choice(["crash", "exit"])
    elif kind == "no memory":
        fault["limit"] = chance.choice(["file size", "file size", "open files"])
    elif kind == "fork":
        fault["wait"] = chance.random() < 0.5
    elif kind == "failing function":
        fault["at"] = 0
    elif kind == "busy":
        fault |= {"walk": None, "at": None, "processes": chance.randint(1, 4)}
    elif kind == "end":
        fault["how"] = chance.choice(
            ["SIGKILL", "SIGKILL", "SIGTERM", "SIGSEGV", "exit", "_exit", "exec"]
        )
    return fault


def describe(scenario):
    """What was drawn, in a line."""
    walks = []
    for walk in scenario["walks"]:
        reader = walk.get("pool") or (
            walk["decoder"] if walk["data"] == "files" else f"{walk['data']}"
        )
        walks.append(
            f"{walk['batches']} x {walk['batch_size']} by {walk['ask']}, {reader}, "
            f"workers {walk['workers']}, prefetch {walk['prefetch']}, {walk['settings']}, "
            f"seed {walk['seed']}, "
            + (f"{walk['on_error']}, " if walk["data"] == "files" else "")
            + f"thread {'+'.join(map(str, walk['threads']))}"
        )
    faults = ", ".join(
        fault["kind"] + (f" ({fault['how']})" if fault["kind"] in ("end", "crash") else "")
        for fault in scenario["faults"]
    )
    gc = f"; gc {scenario['gc']}" if scenario["gc"] else ""
    return f"{scenario['run']}: {faults}{gc}; " + "; ".join(walks)


# ---------------------------------------------------------------------------- playing


class Nursery:
    """A process that plays scenarios, one at a time.

    Args:
        folder: For the files of its programs.
    """

    def __init__(self, folder):
        self.folder = folder
        self.scenario = None
        self._errors = (folder / "nursery").open("w+")
        found = importlib.util.find_spec("fastaug")
        path = [str(HERE / "faulty"), str(pathlib.Path(found.origin).parent.parent)]
        path.append(os.environ.get("PYTHONPATH", ""))
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "TMPDIR": str(folder),
            "OPENBLAS_NUM_THREADS": "1",  # no threads before the first fork
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "soak_program.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C ends the soak test, which ends it
        )
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the nursery does not start: {self.errors()}")

    def errors(self):
        """What it has said on its error output."""
        self._errors.seek(0)
        return self._errors.read()

    def begin(self, scenario):
        """Have a scenario played; `end` waits for it."""
        self.scenario = scenario
        home = tempfile.mkdtemp(dir=self.folder)
        self.home = pathlib.Path(home)
        order = {"scenario": scenario, "home": home}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def end(self):
        """Wait for the end of the scenario; returns what became of it."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the nursery is dead: {self.errors()}")
        shutil.rmtree(self.home, ignore_errors=True)
        self.scenario = None
        return json.loads(line)

    def close(self):
        """End it, and whatever it plays."""
        self.process.terminate()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            stream.close()


#: How a program ends, for each way that a fault makes it end.
STATUS = {"SIGKILL": -9, "SIGTERM": -15, "SIGSEGV": -11, "exit": 0, "_exit": 0, "exec": 0}


def wrong(scenario, result):
    """What was not as it has to be, as a list of texts; and the kinds of faults that happened."""
    failures, did, reported = [], [], False
    for line in result["stdout"].splitlines():
        if line.startswith("did "):
            did.append(line.removeprefix("did "))
        elif line.startswith("{"):
            report = json.loads(line)
            reported = reported or "taken" in report
            if "failure" in report:
                failures.append(report["failure"])
    kinds = {fault["kind"]: fault for fault in scenario["faults"]}
    expected = {0}
    if "end" in did:
        expected = {STATUS[kinds["end"]["how"]]}
        reported = True
    if "killed from outside" in kinds:
        expected.add(-9)
        if result["status"] == -9:
            did.append("killed from outside")
            reported = True
    if result["hung"]:
        failures.append(f"it hangs after {scenario['limit']} s")
    elif result["status"] not in expected and not (failures and result["status"] == 1):
        failures.append(f"it ended with {result['status']}")
    elif not reported:
        failures.append("it ended without a report")
    if result["orphans"]:
        failures.append(f"orphans: {result['orphans']}")
    if result["files"]:
        failures.append(f"files are left: {result['files']}")
    killed_pool = any("pool" in walk for walk in scenario["walks"]) and (
        {"kill one", "kill all"} & set(did)
    )
    if result["stderr"] and not killed_pool and not failures:
        failures.append("it says something on its error output")
    return failures, did


def play(scenarios, jobs, report):
    """Play scenarios.

    Args:
        scenarios: An iterable of them.
        jobs: How many to play at the same time.
        report: Function of each scenario and what became of it, in the order of their ends.
    """
    scenarios = iter(scenarios)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="soak-"))
    nurseries = []
    try:
        with selectors.DefaultSelector() as ended:
            for scenario in scenarios:
                (folder / str(len(nurseries))).mkdir()
                nurseries.append(Nursery(folder / str(len(nurseries))))
                nurseries[-1].begin(scenario)
                ended.register(nurseries[-1].process.stdout, selectors.EVENT_READ, nurseries[-1])
                if len(nurseries) == jobs:
                    break
            while ended.get_map():
                for key, _ in ended.select():
                    nursery = key.data
                    scenario = nursery.scenario
                    report(scenario, nursery.end())
                    following = next(scenarios, None)
                    if following is None:
                        ended.unregister(key.fileobj)
                    else:
                        nursery.begin(following)
    finally:
        for nursery in nurseries:
            nursery.close()
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments=None, output=sys.stdout):
    """Run the soak test; returns the number of runs that failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="number of runs (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn")
    parser.add_argument("--run", type=int, help="play this run alone")
    parser.add_argument("--repeat", type=int, default=1, help="play it so many times")
    parser.add_argument("--only", choices=FAULTS, help="draw this fault alone")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: 2)")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure")
    options = parser.parse_args(arguments)

    numbers = range(options.runs) if options.run is None else [options.run] * options.repeat
    counts, failed, begin = collections.Counter(), [], time.monotonic()

    def scenarios():
        for number in numbers:
            if not (failed and options.stop):
                yield draw(options.seed, number, options.only)

    def report(scenario, result):
        failures, did = wrong(scenario, result)
        counts.update(did)
        end = f"{len(failures)} wrong" if failures else "good"
        print(f"{describe(scenario)} | {result['seconds']:.1f} s, {end}", file=output, flush=True)
        if not failures:
            return
        failed.append(scenario["run"])
        only = f' --only "{options.only}"' if options.only else ""
        print(f"  python -m tests.soak --seed {options.seed} --run {scenario['run']}{only}",
              *failures, result["stderr"], sep="\n  ", file=output, flush=True)  # fmt: skip

    play(scenarios(), options.jobs, report)
    for kind in FAULTS:
        if counts[kind] or options.only is None:
            print(f"{counts[kind]:6} x {kind}", file=output)
    print(
        f"{len(numbers)} runs in {time.monotonic() - begin:.0f} s, {len(failed)} failed"
        + (f": {sorted(set(failed))}" if failed else ""),
        file=output,
        flush=True,
    )
    return len(failed)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
