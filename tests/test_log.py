"""What the logger "fastaug" tells: who reads, who died, what was guessed wrong; and when."""

import logging
import os
import re
import signal
import threading

import numpy as np
import pytest
from reference import images
from scripts import check_script
from trees import plain_tree
from waiting import wait_until

import fastaug
from fastaug.data import decode_pool
from fastaug.run import threads


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG, logger="fastaug")
    return caplog


@pytest.fixture
def own_processes(monkeypatch):
    """Processes that no other test has started; they end with the test."""
    monkeypatch.setattr(decode_pool, "_pools", {})
    # The threads of the shared pools sleep where the readers of one set of processes wake them.
    monkeypatch.setattr(threads, "_pools", type(threads._pools)())
    yield
    for pool in decode_pool._pools.values():
        pool.close()
        pool.processes.close()


def texts(log):
    return [record.getMessage() for record in log.records]


def flow_of(root, **options):
    generator = fastaug.ImageDataGenerator(rotation_range=10, workers=2)
    return generator.flow_from_directory(
        root, target_size=(16, 16), batch_size=4, seed=1, **options
    )


def test_who_reads_and_what_warps(tmp_path, log, own_processes):
    with flow_of(plain_tree(tmp_path, counts=(30, 30))) as flow:
        for _ in range(2 * len(flow)):
            next(flow)
    found = texts(log)
    assert "Batches of float32 are made in the core, with the fused warp" in found
    pattern = re.compile(r"Up to 2 processes read the files, JPEGs with (OpenCV|Pillow)")
    assert len(list(filter(pattern.fullmatch, found))) == 1
    started = [text for text in found if "was started" in text]
    assert 1 <= len(started) <= 2
    assert len(found) == 2 + len(started), "nothing for each file or batch"


def test_threads_and_functions(tmp_path, log):
    def darker(image):
        return image / 2

    generator = fastaug.ImageDataGenerator(preprocessing_function=darker, workers=1)
    root = plain_tree(tmp_path)
    with generator.flow_from_directory(root, target_size=(8, 8), decoder="threads") as flow:
        next(flow)
    found = " ".join(texts(log))
    assert "with the fused warp; darker is called for each image" in found
    assert "1 threads read the files" in found
    generator.preprocessing_function = None
    with generator.flow(images().astype("float64")) as flow:
        flow.dtype = "float64"
        next(flow)
    assert "Batches of float64 are made image by image, as Keras does" in texts(log)


def test_a_process_that_dies_is_replaced(tmp_path, log, own_processes):
    root = plain_tree(tmp_path, counts=(40, 40))
    with flow_of(root) as flow:
        next(flow)
        (first, *_) = [record for record in log.records if "was started" in record.getMessage()]
        os.kill(first.args[0], signal.SIGKILL)
        wait_until(lambda: f"Process {first.args[0]} ended (SIGKILL)" in texts(log), "it is told")
        number = f"number {first.args[1]} of 2"
        wait_until(
            lambda: next(flow) is not None and len([t for t in texts(log) if number in t]) == 2,
            "another is started",
        )
    (death,) = [record for record in log.records if "SIGKILL" in record.getMessage()]
    assert death.levelno == logging.WARNING


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda flow: setattr(flow.image_data_generator, "rescale", 0.5), "generator's settings"),
        (lambda flow: np.random.seed(5), "random numbers"),
        (lambda flow: setattr(flow, "batch_size", 3), "another batch"),
        (lambda flow: flow.reset(), "another batch"),
    ],
)
def test_guesses_that_were_wrong(log, change, reason):
    np.random.seed(1)
    with fastaug.ImageDataGenerator(workers=1).flow(images(), batch_size=2) as flow:
        next(flow)
        assert not [text for text in texts(log) if "nobody asked for" in text]
        change(flow)
        next(flow)
    (text,) = [text for text in texts(log) if "nobody asked for" in text]
    assert reason in text


def test_handlers_are_called_without_locks(tmp_path, own_processes):
    seen, bad = [], []

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())
            if threading.current_thread() is not threading.main_thread():
                raise ValueError("no thread of ours may end of that")
            held = [flow.lock, flow._maker.lock, flow._order_lock]
            held += [pool._lock for pool in decode_pool._pools.values()]
            if any(lock.locked() for lock in held):
                bad.append(record)

    logger, handler = logging.getLogger("fastaug"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with flow_of(plain_tree(tmp_path)) as flow:
            for rescale in (1, 2, 3):
                flow.image_data_generator.rescale = rescale
                next(flow)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert len(seen) > 4 and any("was started" in text for text in seen)
    assert not bad


def test_silent_by_default():
    output = check_script(
        """
        import logging
        import numpy as np
        import fastaug.log
        fastaug.log.logger.warning("something")
        flow = fastaug.ImageDataGenerator().flow(np.zeros((9, 8, 8, 3)), batch_size=2)
        next(flow); flow.reset(); next(flow); flow.close()
        print(logging.getLogger("fastaug").handlers)
        """
    )
    assert "NullHandler" in output
