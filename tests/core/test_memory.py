"""Memory of a user's temporary arrays that is kept for the next ones."""

import os
import threading

import numpy as np
import pytest
from numpy._core.multiarray import get_handler_name
from reference import fastaug_library, images

from fastaug import _core

SIZE = 1 << 20
KEPT = "fastaug: kept"


@pytest.fixture(autouse=True)
def nothing_kept():
    _core.KeptMemory.release()
    yield
    _core.KeptMemory.release()


def address_of_a_passing_array(size=SIZE):
    return np.empty(size, np.uint8).ctypes.data


def test_the_next_array_of_that_size_gets_the_memory():
    with _core.KeptMemory():
        first = address_of_a_passing_array()
        other = address_of_a_passing_array(2 * SIZE)
        assert other != first
        assert address_of_a_passing_array() == first
        held = np.empty(SIZE, np.uint8)
        assert held.ctypes.data == first
        assert address_of_a_passing_array() != first


def test_only_inside_and_for_this_thread():
    names = []
    usual = get_handler_name()
    assert usual != KEPT
    with _core.KeptMemory():
        assert get_handler_name() == KEPT
        thread = threading.Thread(target=lambda: names.append(get_handler_name()))
        thread.start()
        thread.join()
        with _core.KeptMemory():
            assert get_handler_name() == KEPT
        assert get_handler_name() == KEPT
    assert get_handler_name() == usual
    assert names == [usual]


def test_arrays_live_on_and_grow():
    with _core.KeptMemory():
        arrays = [np.full(SIZE, k, np.uint8) for k in range(20)]  # more than are kept
        zeros = np.zeros(SIZE, np.uint8)
    assert get_handler_name(zeros) == KEPT
    assert not zeros.any()
    zeros[:] = 3
    zeros.resize(2 * SIZE, refcheck=False)
    assert (zeros[:SIZE] == 3).all() and not zeros[SIZE:].any()
    assert all((array == k).all() for k, array in enumerate(arrays))
    del zeros
    arrays.clear()
    with _core.KeptMemory():
        arrays = [np.full(SIZE, k, np.uint8) for k in range(20)]
    assert all((array == k).all() for k, array in enumerate(arrays))


def test_many_threads():
    mistakes = []

    def work(number):
        with _core.KeptMemory():
            for _ in range(200):
                array = np.full(SIZE // 8, number, np.uint8)
                copy = array + 0
                if not (copy == number).all():
                    mistakes.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mistakes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_forked_child():
    with _core.KeptMemory():
        array = np.full(SIZE, 7, np.uint8)
    child = os.fork()
    if not child:
        status = 1
        try:
            with _core.KeptMemory():
                other = array + 1
            del array
            if (other == 8).all():
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("fails", [False, True])
def test_a_preprocessing_function_has_it(fails):
    names = []

    def function(image):
        names.append(get_handler_name())
        if fails:
            raise KeyError("of the function")
        return image * 2

    usual = get_handler_name()
    generator = fastaug_library().generator(preprocessing_function=function)
    with generator.flow(images(n=4)) as flow:
        if fails:
            with pytest.raises(KeyError):
                next(flow)
        else:
            next(flow)
    assert set(names) == {KEPT}
    assert get_handler_name() == usual
