"""A program that reads files through rings, with readers that the test plays."""

import contextlib
import os
import queue
import threading

import numpy as np
from scripts import started_script

from fastaug import _core
from fastaug.data.readers import PROCESSES
from fastaug.run.shared_memory import SharedMemory

#: Seconds in which whatever has to happen happens, on a busy machine too.
PATIENCE = 60

#: A row of a parameter table that leaves an image as it is.
IDENTITY = (0, 0, 0, 0, 1, 1, 0, 0, np.nan, np.nan)

SHAPE = (2, 3, 1)
SLOT_BYTES = 64


class Workers:
    """Threads that work for a queue until told to end, and the calls that they were handed."""

    def __init__(self, tasks, count):
        self.tasks, self.calls = tasks, []
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while True:
            try:
                call = self.tasks.get(2 * PATIENCE)
            except queue.Empty:
                return
            if call is None:
                return
            self.calls.append(call)
            call()

    def end(self):
        for _ in self.threads:
            self.tasks.put(None)
        for thread in self.threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self.threads)


class Program:
    """A control block with rings, and a queue for their batches."""

    def __init__(self, readers=2, cores=2):
        self.memory = SharedMemory(_core.Control.bytes_for(readers), "fastaug-control")
        self.control = _core.Control(self.memory.buffer, readers, cores)
        self.tasks = _core.TaskQueue()
        self._kept = []

    def ring(self, slots=4, files=1000, kind=PROCESSES, slot_bytes=SLOT_BYTES, paths=None):
        """Opens a ring."""
        paths = [b"%d" % k for k in range(files)] if paths is None else paths
        offsets = np.cumsum([0] + [len(path) for path in paths]).astype(np.uint64)
        names = b"".join(paths)
        memory = SharedMemory(
            _core.Ring.bytes_for(slots, slot_bytes, len(paths), len(names), len(b"about"))
        )
        ring = _core.Ring.create(memory.buffer, slots, slot_bytes, offsets, names, b"about")
        path, device, inode, _ = memory.address
        self.control.open(ring, kind, os.fsencode(path), device, inode)
        ring.view = RingView(ring, memory)
        return ring

    def batch(self, ring, files, put=True, each=None, **options):
        """Begins a batch of some files; returns it and its results."""
        files = np.array(files, dtype=np.int64)
        each = each or max(len(files), 1)
        outs = [
            np.full((min(each, len(files) - k), *SHAPE), -1, np.float32)
            for k in range(0, len(files), each)
        ]
        by_image = options.pop("by_image", None)
        plan = _core.Program(*SHAPE, by_image=by_image)
        row = IDENTITY if by_image is None else (30, *IDENTITY[1:])
        table = np.tile(np.array(row), (len(files), 1))
        batch = _core.Batch(plan, ring.view.images, files, table, outs, ring=ring, **options)
        if put:
            batch.put_into(self.tasks)
        return batch, outs[0] if len(outs) == 1 else outs

    def work(self):
        """Does in this thread what the program's threads can do now."""
        self.tasks.put(None)
        while self.tasks.get(PATIENCE) is not None:
            pass

    def check_slots(self, ring):
        """Fails unless every slot of a ring of processes is free, once, and there is no work."""
        self.work()
        assert not self.control.has_work(PROCESSES)
        assert ring.wanted == 0
        batch, _ = self.batch(ring, range(ring.slots + 2))
        claimed = list(iter(ring.claim, None))
        assert sorted(claimed) == list(range(ring.slots))
        batch.cancel()
        for slot in claimed:
            assert ring.finish(slot)
        self.work()
        batch.wait()
        assert not self.control.has_work(PROCESSES)


class RingView:
    """The images in the slots."""

    def __init__(self, ring, memory):
        self.memory = memory
        offset, stride = ring.images_at
        inner = np.empty((1, *SHAPE), np.uint8).strides[1:]
        self.images = np.ndarray(
            (ring.slots, *SHAPE), np.uint8, memory.buffer, offset, (stride, *inner)
        )


def pixels(files):
    """What the images of files are."""
    return np.broadcast_to(
        (np.array(files) % 251).reshape(-1, 1, 1, 1), (len(files), *SHAPE)
    ).astype(np.float32)


class Player:
    """A reader in this process, whose steps the test takes."""

    def __init__(self, program, number=0, kind=PROCESSES):
        self.reader = _core.Reader(program.control, number, kind)
        self.rings = {}

    def knows(self, *rings):
        """Has the reader find these rings in their entries."""
        self.rings.update({ring.entry: ring for ring in rings})
        return self

    def take(self, timeout=PATIENCE):
        """Claims a file; returns `(ring, slot)`, or None."""
        while isinstance(found := self.reader.next(timeout), int):
            self.reader.attach(found, self.rings[found])
        return found

    def read(self, ring, slot, record=None):
        """Puts the image of the file of a slot there, or the record."""
        if record is None:
            ring.view.images[slot] = ring.file(slot) % 251
        return self.reader.finish(ring, slot, record)

    def read_all(self, timeout=0):
        """Reads until there is nothing for a time; returns the files."""
        files = []
        while (found := self.take(timeout)) is not None:
            files.append(found[0].file(found[1]))
            self.read(*found)
            del found
        return files


#: The reader of a process of its own. It runs the lines that come to it.
READER = """
import os, sys, time
import numpy as np
from fastaug import _core
from fastaug.run.shared_memory import Address, attach

control = _core.Control(attach(Address(*{address})))
reader = _core.Reader(control, {number}, 0)
images = {{}}

def take(timeout=600):
    while isinstance(found := reader.next(timeout), int):
        generation, path, device, inode, size = control.entry(found)
        if generation:
            memory = attach(Address(os.fsdecode(path), device, inode, size))
            ring = _core.Ring(memory)
            control.join(ring, found, generation)
            reader.attach(found, ring)
            offset, stride = ring.images_at
            images[ring] = np.ndarray((ring.slots, 6), np.uint8, memory, offset, (stride, 1))
    return found

def read(ring, slot):
    images[ring][slot] = ring.file(slot) % 251
    return reader.finish(ring, slot)

print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@contextlib.contextmanager
def reader_process(program, number=0):
    """A process that is a reader, as a function that has it run a line; it returns the output."""
    with started_script(READER.format(address=tuple(program.memory.address), number=number)) as it:

        def wait_for(word):
            lines = []
            while (line := it.stdout.readline().rstrip("\n")) != word:
                assert it.poll() is None and line, f"{lines} {line}"
                lines.append(line)
            return lines

        def run(code, wait=True):
            it.stdin.write(code + "\n")
            it.stdin.flush()
            return wait_for("done") if wait else None

        run.process = it
        run.wait_for = wait_for
        wait_for("ready")
        yield run
