"""Scripts of steps on iterators, played on Keras's and on fastaug's side by side.

Both begin at the same place of the global stream; after every step the batches drawn, the user's
own numbers and the counters must agree.
"""

import numpy as np
import pytest
from reference import (
    EXACT,
    assert_batches_equal,
    assert_same,
    images,
    run_both,
)

N, BATCH = 10, 4
LABELS = np.arange(N)
FLIPS = {"horizontal_flip": True, "vertical_flip": True}
SEEDS = pytest.mark.parametrize("seed", [None, 17])
SHUFFLE = pytest.mark.parametrize("shuffle", [True, False])
AHEAD = pytest.mark.parametrize(
    "options",
    [{}, {"workers": 0, "prefetch": 0}, {"workers": 2, "prefetch": 4}, {"workers": 1}],
    ids=str,
)


def counters(iterator):
    """A copy of what an iterator shows of its state."""
    order = iterator.index_array
    return (
        int(iterator.batch_index),
        int(iterator.total_batches_seen),
        None if order is None else [int(i) for i in order],
    )


def play(library, script, *, generator_settings=FLIPS, seed=None, shuffle=True, iterators=1):
    """Play a script of steps; returns the batches and everything else that came to light.

    Steps: ("next", k), ("item", k, i), ("reset", k), ("end", k), ("set", k, name, value) on the
    k-th iterator; ("generator", name, value) on its generator; ("fit", x); ("do", f) with the
    generator or ("do", f, k) with the k-th iterator; ("fails", error) for a next that raises; and
    on the global stream ("draw",), ("normal",) and ("reseed", s).
    """
    generator = library.generator(**generator_settings)
    x = images(n=N, height=4, width=6)
    flows = [
        generator.flow(
            x if k == 0 else x[::-1],
            LABELS + 100 * k,
            batch_size=BATCH,
            seed=None if seed is None else seed + k,
            shuffle=shuffle,
        )
        for k in range(iterators)
    ]
    batches, notes = [], []
    try:
        for step, *arguments in script:
            if step == "next":
                batches.append(next(flows[arguments[0]]))
            elif step == "item":
                batches.append(flows[arguments[0]][arguments[1]])
            elif step == "reset":
                flows[arguments[0]].reset()
            elif step == "end":
                flows[arguments[0]].on_epoch_end()
            elif step == "set":
                setattr(flows[arguments[0]], *arguments[1:])
            elif step == "generator":
                setattr(generator, *arguments)
            elif step == "do":
                arguments[0](generator if len(arguments) == 1 else flows[arguments[1]])
            elif step == "fails":
                with pytest.raises(arguments[0]) as caught:
                    next(flows[0])
                notes.append(caught.type)
            elif step == "fit":
                generator.fit(arguments[0])
            elif step == "draw":
                notes.append(np.random.random())
            elif step == "normal":
                notes.append(np.random.normal())
            elif step == "reseed":
                np.random.seed(arguments[0])
            else:
                raise AssertionError(f"unknown step {step}")
            notes.append([step, *(counters(flow) for flow in flows)])
    finally:
        for flow in flows:
            library.close(flow)
    return batches, notes


def compare_script(script, *, tolerance=EXACT, options=None, seed=None, **arguments):
    """Both libraries give the same batches, notes and end of the stream; returns Keras's."""
    actual, expected = run_both(
        lambda library: play(library, script, seed=seed, **arguments),
        options=options,
        stream="keras" if seed is None else None,
    )
    assert expected.error is None
    assert_batches_equal(actual.value[0], expected.value[0], tolerance)
    assert_same(actual.value[1], expected.value[1])
    return expected.value[0]


NEXT = ("next", 0)


def item(i):
    return ("item", 0, i)
