"""Who sleeps in front of a ring, and what wakes it."""

import itertools
import struct
import threading
import time

import numpy as np
import pytest
from rings import PATIENCE, Player, Program, pixels, reader_process

DONE = 3  # of enum fa_state


@pytest.fixture
def program():
    return Program()


@pytest.mark.parametrize("slots", [4, 5, 8])
def test_images_are_there_in_any_order(program, workers, slots):
    """A thread that sleeps is woken for each chunk, whichever of its images is the last."""
    ring = program.ring(slots)  # chunks of two, three and four
    player = Player(program).knows(ring)
    workers(program.tasks, 1)
    files = [10, 20, 30, 40]
    for order in itertools.permutations(range(4)):
        batch, out = program.batch(ring, files)
        found = [player.take() for _ in files]
        for place in order:
            player.read(*found[place])
            time.sleep(0.002)  # lets the thread look and fall asleep
        assert batch.wait(PATIENCE), order
        np.testing.assert_array_equal(out, pixels(files))


def test_a_reader_that_sleeps_is_woken(program):
    ring = program.ring()
    files, players = [], [Player(program, k).knows(ring) for k in range(2)]

    def read(player):
        found = player.take()
        files.append(ring.file(found[1]))
        player.read(*found)

    threads = [threading.Thread(target=read, args=(player,), daemon=True) for player in players]
    for thread in threads:
        thread.start()
    time.sleep(0.1)  # lets them fall asleep; without it the test still has to pass
    batch, _ = program.batch(ring, [1, 2])
    for thread in threads:
        thread.join(PATIENCE / 2)
        assert not thread.is_alive()
    assert sorted(files) == [1, 2]
    program.work()
    assert batch.wait(0)


def test_readers_are_woken_when_slots_are_given_back(program, workers):
    """For an image of the same batch, which had no slot before."""
    ring = program.ring(slots=2)
    workers(program.tasks, 1)
    batch, _ = program.batch(ring, range(40))
    done = threading.Event()

    def read():
        player = Player(program).knows(ring)
        for _ in range(40):
            player.read(*player.take())
            time.sleep(0.001)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(PATIENCE / 2) and batch.wait(PATIENCE)


def test_an_abandoned_slot_that_is_free_wakes_a_thread_and_that_a_reader(workers):
    """Also a slot that nobody watched, when nothing else happens."""
    program = Program(readers=3, cores=3)
    ring = program.ring(slots=3)  # chunks of two, of which the second is watched
    given_up, _ = program.batch(ring, [1, 2])
    players = [Player(program, k).knows(ring) for k in range(3)]
    found = [player.take() for player in players[:2]]
    given_up.cancel()
    workers(program.tasks, 1)
    files = []

    def read():
        for _ in range(2):
            _, slot = players[2].take()
            files.append(ring.file(slot))
            players[2].read(ring, slot)

    threading.Thread(target=read, daemon=True).start()
    batch, out = program.batch(ring, [3, 4])  # there is one slot
    time.sleep(0.2)  # lets both fall asleep
    assert files == [3]
    players[0].read(*found[0])
    assert batch.wait(PATIENCE / 2)
    assert files == [3, 4]
    np.testing.assert_array_equal(out, pixels([3, 4]))
    assert players[1].read(*found[1])


def test_the_rest_of_a_batch_is_not_read_when_python_has_raised(program):
    ring = program.ring(slots=2)

    def fail(_):
        raise ZeroDivisionError

    batch, _ = program.batch(ring, range(9), after=fail)
    player, files = Player(program).knows(ring), []
    with pytest.raises(ZeroDivisionError):
        while not batch.wait(0):
            files += player.read_all()
            program.work()
    assert files == [0, 1]
    program.check_slots(ring)


def test_threads_are_woken_after_a_death(program, workers):
    """A reader may have died between the word and the event."""
    ring = program.ring()
    workers(program.tasks, 1)
    batch, out = program.batch(ring, [1, 2])
    player = Player(program).knows(ring)
    found = [player.take(), player.take()]
    player.read(*found[0])
    ring.fail(found[1][1], b"it died")
    assert batch.wait(PATIENCE)
    assert batch.failures() == [(1, b"it died")]
    np.testing.assert_array_equal(out[:1], pixels([1]))


def test_threads_are_woken_for_all_chunks_that_are_there_at_once(program, workers):
    """One event is for two of them, if the first was the last."""
    ring = program.ring(slots=4)  # chunks of two
    workers(program.tasks, 2)
    player, barrier = Player(program).knows(ring), threading.Barrier(2, timeout=PATIENCE / 2)
    for _ in range(5):
        batch, _ = program.batch(ring, range(4), after=lambda _: barrier.wait())
        found = [player.take() for _ in range(4)]
        for place in 2, 3, 0, 1:
            time.sleep(0.02)  # lets the threads look and fall asleep
            player.read(*found[place])
        assert batch.wait(PATIENCE)


def test_a_reader_that_died_between_the_image_and_the_event(program, workers):
    """`wake` is for what it did not say."""
    ring = program.ring(slots=2)
    workers(program.tasks, 2)
    batch, out = program.batch(ring, [1])
    _, slot = Player(program).knows(ring).take()
    time.sleep(0.1)
    ring.view.images[slot] = 1
    held, word = ring.held_by(0)
    assert held == slot
    memory = ring.view.memory.buffer
    at = memory[:].index(ring.progress()) + 4 * slot
    memory[at : at + 4] = struct.pack("<I", word & ~0x1F | DONE)
    assert not batch.wait(0.2)
    program.control.wake()
    assert batch.wait(PATIENCE)
    np.testing.assert_array_equal(out, pixels([1]))


def test_a_reader_that_died_of_the_wake_up_of_another(program):
    """There is still work, and who sleeps may do it."""
    ring = program.ring()
    with reader_process(program) as run:
        run("take()", wait=False)
        time.sleep(0.5)
        run.process.kill()
        run.process.wait()
    read = threading.Event()

    def read_one():
        player = Player(program, 1).knows(ring)
        player.read(*player.take())
        read.set()

    threading.Thread(target=read_one, daemon=True).start()
    time.sleep(0.2)
    program.batch(ring, [3])
    assert not read.wait(0.2)  # the dead one was woken
    program.control.forget(0)
    program.control.wake()
    assert read.wait(PATIENCE / 2)
