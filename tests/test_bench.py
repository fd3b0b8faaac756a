"""The benchmark's studies, as programs of their own and with little to do."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastaug

pytest.importorskip("skimage")

ROOT = pathlib.Path(__file__).parent.parent
PROGRAM = ROOT / "bench" / "compare.py"
SMALL = ["--quick", "--rounds", "1", "--workers", "1"]


@pytest.fixture(scope="module")
def without_tensorflow(tmp_path_factory):
    """An environment, for child processes too, in which Keras runs on JAX and knows no other."""
    pytest.importorskip("jax")
    folder = blocked(tmp_path_factory.mktemp("blocked"), "tensorflow")
    return environment(folder) | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}


def blocked(folder, *names):
    """A folder with packages that cannot be imported."""
    for name in names:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise ImportError('no {name} here')\n")
    return folder


def environment(*folders):
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [*folders, ROOT]))}


def compare(*arguments, env=None, timeout=180):
    return subprocess.run(
        [sys.executable, PROGRAM, *map(str, arguments)],
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def read(path):
    return json.loads(path.read_text())


@pytest.fixture
def bench(monkeypatch):
    """Makes the benchmark's modules importable, and forgets them afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(ROOT / "bench")
    yield
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None)
        if path and pathlib.Path(path).parent == ROOT / "bench":
            del sys.modules[name]


def options(folder, machine=lambda: {"cpu": "any"}, **others):
    """The options of a study that is run here."""
    from studies import Options

    given = {
        "quick": True, "rounds": 1, "cores": 1, "cifar10": None, "dogs_vs_cats": None,
        "scratch": folder, "out": folder, "machine": machine, "date": "today",
    }  # fmt: skip
    return Options(**given | others)


def check_machine(machine):
    assert machine["cores"] >= 1
    assert isinstance(machine["gpus"], list)
    assert machine["keras_backend"] in machine["versions"]


def check_run(run):
    assert run["warm_up"] > 0
    assert len(run["epochs"]) == 1
    assert run["seconds"] == run["epochs"][0] > 0
    assert run["images_per_second"] == pytest.approx(run["images"] / run["seconds"])
    assert np.isfinite(run["loss"])
    assert run["ratio_to_keras"] > 0
    assert run["share_of_memory"] > 0
    assert len(run["load"]["times"]) == len(run["load"]["cpu_percent"]) > 0


@pytest.fixture(scope="module")
def on_jax(without_tensorflow, tmp_path_factory):
    """A run of some studies: what it printed, the folder of its files, and the file of all."""
    out = tmp_path_factory.mktemp("on_jax") / "out"
    everything = out.parent / "all.json"
    done = compare(
        "generate", "--cases", "train", "scaling", "--out", out, "--json", everything,
        "--counts", 2, 1, *SMALL, env=without_tensorflow, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, out, read(everything)


@pytest.fixture(scope="module")
def by_default(tmp_path_factory):
    """A run of the other studies on the backend that Keras has here, as `on_jax`."""
    out = tmp_path_factory.mktemp("by_default") / "out"
    done = compare(
        "directory", "fit", "loaders", "sweep", "vocabulary", "--out", out,
        "--png", out.parent / "bars.png", "--json", out.parent / "all.json", *SMALL, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, out, read(out.parent / "all.json")


def test_generate_and_train_on_jax(on_jax):
    stdout, out, both = on_jax
    for text in ("study generate", "2.01 times", "study train", "of memory", "3.41 at 4,096"):
        assert text in stdout

    generate = read(out / "generate.json")
    check_machine(generate["machine"])
    assert generate["machine"]["keras_backend"] == "jax"
    assert generate["complete"] and generate["check"]["passed"]
    assert (generate["batches"], generate["batch_size"]) == (40, 32)
    assert "crops of 8 photographs" in generate["images"]
    found = {(run["key"], run["workers"]): run for run in generate["runs"]}
    assert set(found) == {("fastaug", 0), ("fastaug", 1), ("multiprocessing", 1)}
    keras = np.median(generate["keras_seconds"])
    for run in found.values():
        assert run["ratio_to_keras"] == pytest.approx(keras / run["seconds"])
    assert (out / "generate-time.png").stat().st_size > 1000
    assert (out / "generate-speed-up.png").stat().st_size > 1000

    train = read(out / "train.json")
    assert train["complete"] and train["check"]["passed"]
    sources = {(run["key"], run["batch_size"]) for run in train["runs"]}
    names = ("keras", "multiprocessing", "fastaug", "memory")
    assert sources == {(key, 32) for key in names}
    assert [run["workers"] for run in train["runs"] if run["key"] == "fastaug"] == [1, 0]
    for run in train["runs"]:
        check_run(run)
    for name in ("pace", "load", "speed-up"):
        assert (out / f"train-{name}.png").stat().st_size > 1000

    assert both["complete"] and both["cases"] == []
    assert [study["study"] for study in both["studies"]] == ["generate", "train", "scaling"]
    assert both["studies"][1]["runs"] == train["runs"]


def test_what_is_trained_at_two_batch_sizes(bench, tmp_path, monkeypatch):
    import train
    from report import format_ratio
    from studies import make_study
    from timing import Progress

    class NoPool:
        def __init__(self, processes):
            self.processes = processes

        get = close = lambda self: None

    monkeypatch.setattr(train, "WorkerPool", NoPool)
    monkeypatch.setattr(train, "QUICK", train.Plan(**vars(train.QUICK) | {"batch_sizes": (8, 16)}))
    study = make_study("train", options(tmp_path, cores=2))
    study.progress = Progress(0)
    seconds = iter(range(1, 100))
    found = []

    def fit(run, data, validation, epochs, into):
        into.append(next(seconds))
        found.append((run.key, run.batch_size, run.workers))
        run.loss = 1.0

    monkeypatch.setattr(study, "_fit", fit)
    study.prepare()
    study.measure()
    each = [("keras", None), ("multiprocessing", 2), ("fastaug", 2), ("memory", None)]
    others = [("fastaug", 0), ("fastaug", 1), ("multiprocessing", 1)]
    expected = [(key, size, workers) for size in (8, 16) for key, workers in each]
    expected += [(key, 16, workers) for key, workers in others]
    assert found[::2] == found[1::2] == expected  # the warm-up, and what is timed
    assert [run.warm_up for run in study.runs] == list(range(1, 23, 2))
    assert [run.epochs for run in study.runs] == [[number] for number in range(2, 24, 2)]
    assert study.steps() == 1 + len(found)
    small, large = study.find("fastaug", 8), study.find("fastaug", 16)
    assert study.ratio(small, "keras") == 2 / 6 and study.ratio(large, "memory") == 16 / 14
    assert study.tables()[3].split()[-3:-1] == [format_ratio(2 / 6), f"{8 / 6:.2f}"]


@pytest.fixture(scope="module")
def without_matplotlib(without_tensorflow, tmp_path_factory):
    folder = blocked(tmp_path_factory.mktemp("blocked"), "tensorflow", "matplotlib")
    return without_tensorflow | environment(folder) | {"KERAS_BACKEND": "jax"}


@pytest.fixture(scope="module")
def with_little(without_matplotlib, tmp_path_factory):
    """A case where neither TensorFlow nor matplotlib is: the process, and its folder."""
    out = tmp_path_factory.mktemp("with_little") / "out"
    done = compare("32", "--out", out, *SMALL, env=without_matplotlib)
    assert done.returncode == 0, done.stdout + done.stderr
    return done, out


def test_a_contestant_that_needs_tensorflow_is_left_out_where_there_is_none(with_little):
    done, out = with_little
    assert "left out  Keras layers in tf.data: not installed (" in done.stdout
    assert "not compared, as not installed: Keras layers in tf.data; pip install" in done.stdout
    assert re.search(
        r"times Keras ImageDataGenerator:\n  32x32, common settings +[\d.]+x\n", done.stdout
    )
    assert re.search(r"case 32: images \(about \d+ s left\)", done.stderr)
    report = read(out / "compare-quick.json")
    assert report["complete"] and report["machine"]["keras_backend"] == "jax"
    (case,) = report["cases"]
    assert list(case["left_out"]) == ["Keras layers in tf.data"]
    assert case["check"]["passed"] and case["check"]["batches"] == 5
    keys = {"keras", "fastaug_1", "fastaug_opencv", "fastaug", "floor"}
    assert keys <= {row["key"] for row in case["contestants"]}


def test_no_pictures_without_matplotlib(with_little):
    done, out = with_little
    assert "no picture: no matplotlib here" in done.stdout
    assert read(out / "compare-quick.json")["complete"]
    assert not list(out.glob("*.png"))


def test_studies_need_matplotlib(without_matplotlib, tmp_path):
    done = compare("generate", "--out", tmp_path / "out", *SMALL, env=without_matplotlib)
    assert done.returncode == 1
    assert "no matplotlib here\nKeras, a backend" in done.stderr
    assert 'pip install ".[study]" jax' in done.stderr


def test_the_time_left(bench):
    from timing import EXPECTED_COUNTS, Progress

    now = 0.0
    progress = Progress(100, 2.0, clock=lambda: now)
    assert progress.time_left == "about 3 min left"
    now = 10.0  # ten times as fast as was expected
    progress.done(50)
    left = 50 * (10 + 2 * EXPECTED_COUNTS) / (50 + EXPECTED_COUNTS)
    assert progress.time_left == f"about {left:.0f} s left"
    progress.done(50)
    assert progress.time_left == "about 0 s left"

    now = 0.0
    unknown = Progress(0, clock=lambda: now)
    unknown.begin(4)
    assert unknown.time_left == ""
    now = 8.0
    unknown.done()
    assert unknown.time_left == "about 24 s left"


def test_directory(by_default):
    stdout, out, everything = by_default
    assert "case directory" in stdout
    assert "bare decode on every core" in stdout
    assert "the article: 3.95 times" in stdout
    directory = read(out / "directory.json")
    assert directory["complete"] and directory["check"]["passed"]
    check_machine(directory["machine"])
    names = ["keras", "multiprocessing", "fastaug", "memory"]
    assert [run["key"] for run in directory["runs"]] == names
    for run in directory["runs"]:
        check_run(run)
        assert run["images"] == 24 + 8
    ours = directory["runs"][2]
    assert directory["fastaug_share_of_memory"] == ours["share_of_memory"]
    assert directory["bare_decode_images_per_second"] > 0
    assert isinstance(directory["cores_could_decode_that_fast"], bool)
    assert (out / "directory-pace.png").exists() and (out / "directory-load.png").exists()
    assert (out.parent / "bars.png").exists()
    assert [case["name"] for case in everything["cases"]] == ["directory"]
    studies = [study["study"] for study in everything["studies"]]
    assert studies == ["directory", "fit", "loaders", "sweep", "vocabulary"]


def test_fit(by_default):
    stdout, out, _ = by_default
    assert "to shuffle=False" in stdout
    fit = read(out / "fit.json")
    assert fit["complete"] and fit["check"]["passed"]
    check_machine(fit["machine"])
    assert (fit["batches"], fit["step_seconds"]) == (6, 0.05)
    seconds = {run["key"]: run["seconds"] for run in fit["runs"]}
    assert list(seconds) == ["sequence", "default", "wrong", "nothing"]
    for run in fit["runs"]:
        assert run["epochs"] == [run["seconds"]] and run["warm_up"] > 0
        assert run["seconds"] > 6 * 0.05
        assert run["time_to_sequence"] == pytest.approx(run["seconds"] / seconds["sequence"])
        assert run["time_to_no_prefetch"] == pytest.approx(run["seconds"] / seconds["nothing"])
    assert (out / "fit-pace.png").stat().st_size > 1000


@pytest.mark.parametrize("count", [2, 6, 20])
def test_the_order_in_which_every_guess_is_wrong(count, bench):
    from fit import Misleading

    class Numbers:
        def __len__(self):
            return count

        def __getitem__(self, number):
            return number

    data = Misleading(Numbers())
    assert len(data) == count
    items = [data[i] for i in range(count)]
    assert sorted(items) == list(range(count))
    assert items[-2:] == [1, 0]
    assert items[1:-2:2] == [first + 1 for first in items[:-2:2]]
    for second, after in zip(items[1::2], items[2::2], strict=False):
        assert after != second + 1


def test_how_far_fastaug_works_ahead(bench):
    """The benchmark does not import what fastaug does not export, but must know that."""
    from contestants import lookahead_of

    from fastaug.keras_api.guessing import run_length

    for nbytes in (1, 393216, 1572864, 1572865, 10**8):
        assert lookahead_of(nbytes) == 1 + 2 * run_length(nbytes)


def test_usable_cores_are_those_of_fastaug(bench, monkeypatch):
    from machine import usable_cores

    from fastaug.run import threads

    assert usable_cores() == threads.usable_cores()
    monkeypatch.setenv("PYTHON_CPU_COUNT", "3")
    assert usable_cores() == threads.usable_cores() == 3


def test_nothing_internal_is_imported():
    from_public = re.compile(r"^\s*(?:from fastaug import (.+)|import fastaug)$")
    for path in (ROOT / "bench").glob("*.py"):
        for line in path.read_text().splitlines():
            if re.match(r"\s*(from|import) fastaug", line):
                found = from_public.match(line.partition("  #")[0])
                assert found, f"{path.name}: {line}"
                names = (found[1] or "").replace(" ", "")
                assert not names or set(names.split(",")) <= set(fastaug.__all__), line


# ----------------------------------------------------------------------- loaders


def test_loaders(by_default):
    stdout, out, _ = by_default
    loaders = read(out / "loaders.json")
    assert loaders["complete"] and loaders["check"]["passed"]
    check_machine(loaders["machine"])
    packages = {"to_tf": "tensorflow", "to_torch": "torch", "ray": "ray", "ray_alone": "ray"}
    keys = ["bare", *(key for key, name in packages.items() if importlib.util.find_spec(name))]
    assert [row["key"] for row in loaders["rows"]] == list(loaders["share_of_iterator"]) == keys
    rounds = {row["key"]: row["rounds_us_per_image"] for row in loaders["rows"]}
    for key, share in loaders["share_of_iterator"].items():
        pairs = zip(rounds["bare"], rounds[key], strict=True)
        assert share == pytest.approx(statistics.median(bare / own for bare, own in pairs))
    labels = {
        "bare": "the iterator",
        "to_tf": "to_tf()",
        "to_torch": "to_torch()",
        "ray": "Ray Data",
        "ray_alone": "Ray Data, images as they are",
    }
    for text in ("of the iterator", *(labels[key] for key in keys)):
        assert text in stdout


def test_loaders_are_not_timed_where_batches_differ(bench, tmp_path, monkeypatch, capsys):
    import loaders
    from machine import describe
    from studies import make_study

    def lighter(self, flow):
        return ((torch.tensor(images + 9), torch.tensor(labels)) for images, labels in flow)

    torch = pytest.importorskip("torch")
    monkeypatch.setattr(loaders.ToTorch, "dataset_of", lighter)
    study = make_study("loaders", options(tmp_path, describe, rounds=1))
    study.run()
    assert not study.complete and not study.timed
    assert "not measured" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_loaders_are_not_timed_where_ray_s_images_differ(bench, tmp_path, monkeypatch, capsys):
    import loaders
    from machine import describe
    from studies import make_study

    pytest.importorskip("ray")
    columns = loaders.RayData.columns

    def lighter(self):
        return (batch | {"image": batch["image"] + 9} for batch in columns(self))

    monkeypatch.setattr(loaders.RayData, "columns", lighter)
    study = make_study("loaders", options(tmp_path, describe, rounds=1))
    study.run()
    assert not study.complete and not study.timed
    assert "images of another key" in capsys.readouterr().out


# ----------------------------------------------------------------------- vocabulary


def test_vocabulary(by_default):
    stdout, out, _ = by_default
    vocabulary = read(out / "vocabulary.json")
    assert vocabulary["complete"] and vocabulary["check"]["passed"]
    check_machine(vocabulary["machine"])
    assert "largest difference from Pillow" in stdout
    rows = {row["name"]: row for row in vocabulary["rows"]}
    assert {"Posterize(4)", "TrivialAugment()", "CutMix(1)"} <= rows.keys()
    for row in rows.values():
        rates = {side: max(rounds) for side, rounds in row["images_per_second"].items()}
        ours = rates.pop("fastaug")
        assert row["ratio"] == (pytest.approx(ours / max(rates.values())) if rates else None)
        assert f"\n  {row['name']} " in stdout
    assert "Pillow" in rows["Posterize(4)"]["images_per_second"]
    mask = vocabulary["mask"]
    image, both = (max(mask["images_per_second"][side]) for side in ("image", "with mask"))
    assert mask["additional_time"] == pytest.approx(image / both - 1)
    assert f"a mask adds {mask['additional_time']:.2f} of its image's time" in stdout


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("Posterize(4)", lambda images: images ^ 128, "levels from Pillow's"),
        ("TrivialAugment()", None, "the images are as they were"),
        ("mask", lambda images: images[:, ::-1], "are not those of the image"),
    ],
)
def test_vocabulary_is_not_timed_where_it_is_wrong(
    name, change, problem, bench, tmp_path, monkeypatch, capsys
):
    import vocabulary
    from machine import describe
    from studies import make_study

    class Changed:
        def __init__(self, flow):
            self.flow = flow

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.flow.close()

        def __next__(self):
            if name == "mask":
                images, masks = next(self.flow)
                return images, change(masks)
            return change(next(self.flow)) if change else self.flow.x[:32]

    flow = vocabulary.Vocabulary._flow
    monkeypatch.setattr(
        vocabulary.Vocabulary, "_flow",
        lambda self, row, *others, **more: (
            Changed if row.name == name else lambda flow: flow
        )(flow(self, row, *others, **more)),
    )  # fmt: skip
    study = make_study("vocabulary", options(tmp_path, describe, rounds=1))
    study.run()
    assert not study.complete and problem in capsys.readouterr().out


# ----------------------------------------------------------------------- sweep


def test_sweep(by_default):
    stdout, out, _ = by_default
    assert "the lowest ratio is " in stdout
    sweep = read(out / "sweep.json")
    assert sweep["complete"] and sweep["check"]["passed"]
    check_machine(sweep["machine"])
    assert (sweep["size"], sweep["batch_size"]) == (64, 32)
    for row in sweep["rows"]:
        us = row["us_per_image"]
        assert us == {key: min(rounds) for key, rounds in row["rounds_us_per_image"].items()}
        assert row["ratio"] == pytest.approx(us["keras"] / us["fastaug"])
    lowest = min(sweep["rows"], key=lambda row: row["ratio"])
    assert sweep["lowest"] == {
        "row": f"{lowest['group']}: {lowest['name']}", "ratio": lowest["ratio"],
    }  # fmt: skip
    assert len(sweep["rows"]) > 20


@pytest.fixture
def small_sweep(bench, tmp_path):
    """The study, with the rows that a test gives it."""
    import sweep
    from machine import describe
    from studies import make_study

    study = make_study("sweep", options(tmp_path, describe, rounds=3))
    prepare = study.prepare

    def with_rows(*rows):
        def prepare_them():
            prepare()
            study.rows = list(rows)

        study.prepare = prepare_them
        return study

    return with_rows, sweep


def returns(sweep, name, **results):
    """A row whose sides return these results, after so many seconds."""

    def make(side, stack):
        result, seconds = results[side.key]

        def call():
            time.sleep(seconds)
            return result

        return call

    return sweep.Row("group", name, make)


X = np.arange(12.0, dtype=np.float32).reshape(2, 2, 3)


@pytest.mark.parametrize(
    ("ours", "problem"),
    [
        (X + np.float32(0.02), "a difference of 0.02"),
        (np.full_like(X, np.nan), "a difference of nan"),
        (X.astype(np.float64), "dtype float64, and Keras's"),
        (X[:1], "shape (1, 2, 3)"),
    ],
)
def test_sweep_is_not_measured_where_results_differ(ours, problem, small_sweep, capsys):
    with_rows, sweep = small_sweep
    study = with_rows(returns(sweep, "wrong", keras=(X, 0), fastaug=(ours, 0)))
    study.run()
    assert not study.passed and not study.complete
    output = " ".join(capsys.readouterr().out.split())
    assert "FAILED: group: wrong: ValueError" in output and problem in output
    assert study.full_record()["rows"] == []


def test_sweep_names_the_lowest_ratio(small_sweep, capsys):
    with_rows, sweep = small_sweep
    rows = [
        returns(sweep, "faster", keras=(X, 0.004), fastaug=(X, 0.001)),
        returns(sweep, "slower", keras=({"a": 1}, 0.001), fastaug=({"a": 1}, 0.004)),
    ]
    study = with_rows(*rows)
    study.run()
    assert study.passed and study.complete
    assert [row.ratio > 1 for row in rows] == [True, False]
    text = f"the lowest ratio is {rows[1].ratio:.2f}: group: slower; 1 of 2 below 1"
    assert text in capsys.readouterr().out
    assert study.full_record()["lowest"]["row"] == "group: slower"


@pytest.mark.parametrize("ours", [{"a": 2}, {"a": 1.0}, {}])
def test_sweep_compares_parameters(ours, small_sweep):
    _, sweep = small_sweep
    with pytest.raises(ValueError, match="and Keras's"):
        sweep._difference({"a": 1}, ours)


def test_both_sides_of_a_row_draw_the_same(small_sweep):
    """The same number of calls of both in each round."""
    _, sweep = small_sweep
    counts = {"keras": 0, "fastaug": 0}

    def make(side, stack):
        def call():
            counts[side.key] += 1
            time.sleep(0.0002 if side.key == "keras" else 0.0001)

        return call

    for images in (1, sweep.BATCH):
        row = sweep.Row("group", "counted", make, images)
        with contextlib.ExitStack() as stack:
            sweep._measure(row, stack, sweep.QUICK)
        assert counts["keras"] == counts["fastaug"] > 0


# --------------------------------------------------------------------- scaling


def test_scaling(on_jax):
    stdout, out, _ = on_jax
    runs = [(decoder, workers) for decoder in ("processes", "threads") for workers in (1, 2)]
    rows = [line.split()[:2] for line in stdout.splitlines()]
    assert [row for row in rows if row and row[0] in ("processes", "threads")] == [
        [decoder, str(workers)] for decoder, workers in 2 * runs
    ]
    scaling = read(out / "scaling.json")
    assert scaling["complete"] and scaling["check"]["passed"]
    check_machine(scaling["machine"])
    assert scaling["machine"]["keras_backend"] == "jax"
    assert (scaling["cores"], scaling["counts"]) == (scaling["machine"]["cores"], [1, 2])
    sizes = [(sweep["name"], sweep["size"], sweep["batch_size"]) for sweep in scaling["sweeps"]]
    assert sizes == [("photographs", 299, 64), ("small", 32, 64)]
    for sweep in scaling["sweeps"]:
        assert [(run["decoder"], run["workers"]) for run in sweep["runs"]] == runs
        us = {name: timing["us_per_image"] for name, timing in sweep["bare"].items()}
        assert set(us) == {"decode", "imdecode", "crowd", "warp"}
        assert min(us.values()) > 0
        for run in sweep["runs"]:
            cores = min(run["workers"], scaling["cores"])
            ideal = cores * 1e6 / (us["decode"] + us["warp"])
            assert run["ideal_images_per_second"] == pytest.approx(ideal)
            assert run["images_per_second"] == pytest.approx(1e6 / run["rounds_us_per_image"][0])
            assert run["parent_us_per_image"] > 0
            assert run["children_us_per_image"] > 0 or run["decoder"] == "threads"
        assert (out / f"scaling-{sweep['name']}.png").stat().st_size > 1000


@pytest.fixture
def small_scaling(bench, tmp_path):
    """The study with a few small files, and the module it is from."""
    import scaling
    from files import write_images
    from photos import make_set
    from studies import make_study

    study = make_study("scaling", options(tmp_path))

    def prepare():
        case = dataclasses.replace(scaling.SMALL, batch_size=4)
        files = write_images(make_set(32, 8), 12, tmp_path)
        study.rounds, study.cores, study.counts = 1, 1, [1, 2]
        study.sweeps = [scaling.Sweep(case, files, study.counts, study.cores)]

    study.prepare = prepare
    return study, scaling


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (("processes", 1), "32x32 images: FAILED: 5 batches, largest difference from Keras 10 "),
        (
            ("threads", 2),
            "batch 1 of fastaug, workers=2, decoder='threads' is not that of "
            "fastaug, workers=1, decoder='processes'",
        ),
    ],
)
def test_scaling_is_not_measured_where_batches_differ(wrong, problem, small_scaling, monkeypatch):
    study, scaling = small_scaling
    kind_of = scaling.kind_of

    def wrong_kind_of(run):
        kind = kind_of(run)
        if (run.decoder, run.workers) != wrong:
            return kind

        @contextlib.contextmanager
        def batches(self):
            with kind.batches(self) as iterator:
                changed = ((x + 10 / 255 * (np.arange(len(x)) == 1)[:, None, None, None], y)
                           for x, y in iterator)  # fmt: skip
                yield Named(changed, iterator.filenames)

        return type("Wrong", (kind,), {"batches": batches})

    monkeypatch.setattr(scaling, "kind_of", wrong_kind_of)
    monkeypatch.setattr(study, "measure", lambda: pytest.fail("measured"))
    study.run()
    assert not study.passed and not study.complete
    assert problem in read(study.options.out / "scaling.json")["check"]["problem"]


class Named:
    """Batches with the names of their files."""

    def __init__(self, batches, filenames):
        self.batches, self.filenames = batches, filenames

    def __next__(self):
        x, y = next(self.batches)
        return x.astype(np.float32), y

    def __iter__(self):
        return self


def test_scaling_measures_where_batches_are_the_same(small_scaling, monkeypatch):
    study, _ = small_scaling
    measured = []
    monkeypatch.setattr(study, "measure", lambda: measured.append(True))
    study.run()
    assert study.passed and study.complete and measured


@pytest.mark.parametrize(
    ("key", "rounds", "percent"),
    [
        ("keras", [100.0, 140.0], 40),
        ("fastaug", [2.0, 1.0, 1.1], 100),
        ("fastaug", [1.0, 1.25], 0),
        ("pool", [1.0, 2.0], 0),
        ("keras", [], 0),
    ],
)
def test_a_case_says_that_the_machine_is_busy(key, rounds, percent, bench):
    from cases import CASES
    from contestants import FastaugEveryCore, Keras, Multiprocessing
    from throughput import Row, Throughput
    from timing import Timing

    kinds = {"keras": Keras, "fastaug": FastaugEveryCore, "pool": Multiprocessing}
    case = Throughput(CASES["32"], options=None)
    case.prepared = True
    case.rows = [Row(FastaugEveryCore, "", Timing([1.0, 1.0])), Row(kinds[key], "", Timing(rounds))]
    assert case.unsteady == pytest.approx(percent)
    assert ("busy" in case.tables()[-1]) == (percent > 0)


def test_what_scaling_makes_of_its_rounds(small_scaling):
    study, scaling = small_scaling
    study.prepare()
    (sweep,) = study.sweeps
    assert sweep.table() == [] and sweep.record()["runs"] == []
    sweep.cores = 2
    sweep.bare["decode"].rounds += [9.0, 8.0, 1.0]
    sweep.bare["warp"].rounds += [2.0]
    sweep.bare["imdecode"].rounds += [5.0]
    sweep.bare["crowd"].rounds += [9.0]
    of = {(run.decoder, run.workers): run for run in sweep.runs}
    # microseconds per image: by the clock, of the parent, of the children, of all programs
    of["processes", 1].add([10.0, 6.0, 9.0, 16.0])
    of["processes", 2].add([8.0, 3.0, 9.0, 20.0])
    of["threads", 1].add([20.0, 15.0, 0.0, 15.0])
    of["threads", 2].add([25.0, 15.0, 0.0, 15.0])
    more = scaling.Run("threads", 16)
    more.add([20.0, 15.0, 0.0, 15.0])
    assert sweep.figures_of(more)["ideal_images_per_second"] == 200_000  # there are two cores
    one, two, threads, slower = (sweep.figures_of(run) for run in sweep.timed)
    assert (one["images_per_second"], two["images_per_second"]) == (100_000, 125_000)
    assert (one["ideal_images_per_second"], two["ideal_images_per_second"]) == (100_000, 200_000)
    assert (one["of_ideal"], two["of_ideal"], threads["of_ideal"]) == (1, 0.625, 0.5)
    assert (one["of_best_with_fewer"], threads["of_best_with_fewer"]) == (None, None)
    assert (two["of_best_with_fewer"], slower["of_best_with_fewer"]) == (1.25, 0.8)
    assert (one["of_imdecode"], two["of_imdecode"]) == (0.5, 0.625)
    assert (one["busy_cores"], two["busy_cores"], threads["busy_cores"]) == (1.5, 1.5, 0.75)
    assert (one["useful"], two["useful"]) == (10 / 15, 10 / 12)
    assert one["cores_of_other_programs"] == pytest.approx(0.1)
    assert two["cores_of_other_programs"] == pytest.approx(1.0)
    assert (one["outside_us_per_image"], two["outside_us_per_image"]) == (4, 1)
    assert threads["outside_us_per_image"] == 5  # without the decoding, too
    assert len(sweep.table()) == 2 + 1 + 4 + 1
    assert [line.get_ydata().tolist() for line in sweep.figure("").axes[0].lines[:3]] == [
        [100_000, 125_000], [50_000, 40_000], [100_000, 200_000]
    ]  # fmt: skip


def test_processor_time_of_children(bench):
    from scaling import children_time, machine_time

    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint(1, flush=True)\ninput()"
    before, machine = children_time(), machine_time()
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        assert children_time() - before > 0.4
        child.communicate(b"\n")
    assert children_time() - before > 0.4  # it has ended
    assert machine_time() - machine > 0.4


def test_meters_are_read_around_the_timed_batches(bench):
    from timing import metered_round

    class Contestant:
        lookahead = 3
        taken = 0

        @contextlib.contextmanager
        def batches(self):
            yield iter(self)

        def __iter__(self):
            while True:
                self.taken += 1
                yield np.zeros(4), None

    contestant = Contestant()
    meters = (lambda: 3 * contestant.taken, lambda: 100)
    spent = metered_round(contestant, 8, meters, clock=lambda: contestant.taken)
    assert spent == [1e6 / 4, 3e6 / 4, 0]
    assert contestant.taken == 4 + 8  # four that were made ahead, and eight seconds


def test_the_bare_decoding_makes_keras_s_pixels(bench, tmp_path):
    import bare
    from files import make_files
    from keras_reference import img_to_array, load_img

    for path in make_files(3, tmp_path).paths:
        expected = img_to_array(load_img(path))
        np.testing.assert_array_equal(bare.decode(str(path)), expected)
    decode, imdecode = bare.time_decoding([str(path)], 0.02)
    assert decode > 0 and imdecode > 0


def test_files_over_and_over_again(bench, tmp_path):
    from files import write_images
    from photos import make_set

    files = write_images(make_set(32, 12), 30, tmp_path)  # of eight classes
    assert len(set(files.paths)) == len(files.y) == 30
    assert [path.parent.name for path in files.paths] == [f"{label:03}" for label in files.y]
    assert files.paths[0].read_bytes() == files.paths[12].read_bytes()
    assert files.paths[0].read_bytes() != files.paths[1].read_bytes()
    links = files.repeated(70)
    assert len(set(links.paths)) == 70
    assert [path.resolve() for path in links.paths[30:60]] == files.paths
    np.testing.assert_array_equal(links.y[:60], np.tile(files.y, 2))
    assert links.source == "70 links to 30 JPEG files of 12 crops of 8 photographs"


# --------------------------------------------------------------------- Ctrl-C


@contextlib.contextmanager
def started(*arguments, env):
    """A running benchmark, and a function that waits for a line of its error output."""
    process = subprocess.Popen(
        [sys.executable, PROGRAM, *map(str, arguments)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stderr.readline, "")))
    reader.start()

    def wait_for(text, patience=90):
        end = time.monotonic() + patience
        while not any(text in line for line in list(lines)):
            assert time.monotonic() < end and process.poll() is None, lines
            time.sleep(0.05)

    try:
        yield process, wait_for
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.faults
@pytest.mark.parametrize(
    ("study", "begun", "key"),
    [("generate", "generate: round 2", "fastaug"), ("train", "batches of 32: Keras Im", "keras")],
)
def test_ctrl_c_keeps_what_was_measured(study, begun, key, without_tensorflow, tmp_path):
    out = tmp_path / "out"
    arguments = (study, "--quick", "--rounds", 5000, "--workers", 1, "--out", out)
    arguments += ("--json", tmp_path / "all.json")
    with started(*arguments, env=without_tensorflow) as (process, wait_for):
        wait_for(begun)
        time.sleep(4)  # long enough for a few of the many rounds
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        output = process.stdout.read()
    found = read(out / f"{study}.json")
    assert found["complete"] is False
    assert found["check"]["passed"]
    assert key in [run["key"] for run in found["runs"]]
    assert read(tmp_path / "all.json")["complete"] is False
    assert "measured on" in output
    if study == "generate":
        assert "seconds for 40 batches" in output


def test_a_ctrl_c_that_something_swallows_is_not_lost(bench):
    from interrupts import raise_if_seen, remembered
    from timing import Progress

    progress = Progress(1)
    before = signal.getsignal(signal.SIGINT)
    with remembered():
        raise_if_seen()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
            pytest.fail("Ctrl-C did nothing")
        with pytest.raises(KeyboardInterrupt):
            raise_if_seen()
        for step in (progress.done, lambda: progress.doing("more")):
            with pytest.raises(KeyboardInterrupt):
                step()
    assert signal.getsignal(signal.SIGINT) is before
    with remembered():
        raise_if_seen()


@pytest.mark.parametrize("name", ["generate", "train", "directory", "scaling", "fit", "sweep"])
def test_ctrl_c_while_a_study_is_prepared(name, bench, tmp_path, monkeypatch):
    from studies import make_study

    study = make_study(name, options(tmp_path))

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run()
    assert read(tmp_path / f"{name}.json")["complete"] is False
    assert study.full_record()["check"] is None


# --------------------------------------------------------------------- the parts


def test_names_on_the_command_line(bench):
    from cases import CASES
    from compare import choose, make_parser
    from studies import STUDIES

    by_default = ["32", "299", "article", "directory"]
    assert choose([], CASES, STUDIES) == (by_default, [])
    assert choose(["directory"], CASES, STUDIES) == (["directory"], ["directory"])
    assert choose(["train", "32", "train"], CASES, STUDIES) == (["32"], ["train"])
    parser = make_parser(CASES, STUDIES)
    args = parser.parse_args(["generate", "32", "--quick", "--cases", "299", "train"])
    assert (args.positional, args.cases) == (["generate", "32"], ["299", "train"])


def test_the_list_has_cases_and_studies(bench, capsys):
    from compare import main

    assert main(["--list"]) == 0
    output = capsys.readouterr().out
    studies = ("generate", "train", "directory", "scaling", "fit", "sweep")
    for name in (*studies, "224", "299-uint8", "directory-rescale"):
        assert f"\n  {name} " in output


def test_an_unknown_name(bench, capsys):
    from compare import main

    with pytest.raises(SystemExit) as caught:
        main(["nonesuch"])
    assert caught.value.code == 2
    assert "'nonesuch' is not one of: 32, " in capsys.readouterr().err


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_cifar10_that_keras_has_is_taken_without_a_download(
    bench, layout, tmp_path, monkeypatch, no_network
):
    import keras
    from cifar10 import ARCHIVE, find_cifar10

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
    given = x if layout == "channels_last" else x.transpose(0, 3, 1, 2)
    y = np.repeat(np.arange(5), 4)[:, None]
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.config, "image_data_format", lambda: layout)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: ((given, y), None))
    assert find_cifar10(7, download=False).source == "7 crops of 8 photographs"
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / ARCHIVE).write_bytes(b"any")
    images = find_cifar10(7, download=False)
    np.testing.assert_array_equal(images.x, x)
    np.testing.assert_array_equal(images.y, np.repeat(np.arange(5), 4))
    assert images.source == "20 images of CIFAR-10 (keras.datasets)"


def test_no_cifar10_and_no_network(bench, tmp_path, monkeypatch, no_network, capsys):
    import cifar10
    import keras

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    tried = []

    def load_data():
        tried.append(socket.getdefaulttimeout())
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_data)
    before = socket.getdefaulttimeout()
    images = cifar10.find_cifar10(9, download=False)
    assert not tried
    assert images.x.shape == (9, 32, 32, 3)
    assert images.source == "9 crops of 8 photographs"
    again = cifar10.find_cifar10(9, download=True)
    assert tried == [cifar10.PATIENCE]
    assert socket.getdefaulttimeout() == before
    np.testing.assert_array_equal(images.x, again.x)
    assert "cannot be downloaded (URL fetch failure)" in capsys.readouterr().err


def test_validation_files(bench, tmp_path):
    from files import choose_files, choose_validation_files, make_files

    made = make_files(12, tmp_path)
    part = made.part(slice(8, None))
    assert [path.resolve() for path in part.paths] == [path.resolve() for path in made.paths[8:]]
    np.testing.assert_array_equal(part.y, made.y[8:])
    tree = tmp_path / "tree"
    for name, files in (("train", made.first(8)), ("validation", part)):
        for path in files.paths:
            copy = tree / name / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    assert len(choose_files(tree, 100, tmp_path).paths) == 8
    validation = choose_validation_files(tree, 100, tmp_path)
    assert {path.name for path in validation.paths} == {path.name for path in part.paths}
    assert choose_validation_files(tree / "train", 100, tmp_path) is None


def test_the_pool_s_dataset(bench):
    from multiprocessing.pool import ThreadPool

    from pool_dataset import PoolDataset

    y = np.arange(10)
    with ThreadPool(2) as pool:
        dataset = PoolDataset(pool, np.negative, lambda i: np.float32(i), y, 4, seed=1)
        assert len(dataset) == 3
        epochs = []
        for _ in range(2):
            batches = [dataset[i] for i in range(3)]
            assert [len(x) for x, _ in batches] == [4, 4, 2]
            for x, labels in batches:
                np.testing.assert_array_equal(x, -labels)
            epochs.append(np.concatenate([labels for _, labels in batches]))
            dataset.on_epoch_end()
        assert sorted(epochs[0]) == sorted(epochs[1]) == list(y)
        assert list(epochs[0]) != list(epochs[1])


def test_a_closed_dataset_does_not_wait_for_a_pool_that_was_ended(bench):
    from multiprocessing.pool import ThreadPool

    from pool_dataset import PoolDataset

    release = threading.Event()
    pool = ThreadPool(1)
    try:
        dataset = PoolDataset(pool, lambda task: release.wait(30), int, np.arange(4), 2, seed=1)
        errors = []

        def ask():
            try:
                dataset[0]
            except RuntimeError as error:
                errors.append(str(error))

        asking = threading.Thread(target=ask)
        asking.start()
        dataset.close()
        asking.join(5)
        assert not asking.is_alive()
        assert errors == ["the dataset was closed"]
    finally:
        release.set()
        pool.terminate()
        pool.join()
