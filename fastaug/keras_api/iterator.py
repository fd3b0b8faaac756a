"""`Iterator`, Keras's base class: order and counters, and batches as a subclass makes them."""

import copy
import operator
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, Self

import numpy as np

from fastaug.defaults import dataset_class
from fastaug.keras_api.order import NEXT, Order
from fastaug.keras_api.streams import Stream, global_stream, lent_to_user_code, seeded
from fastaug.run.locks import renew_in_child
from fastaug.typing import Array, Batch, Integer

if TYPE_CHECKING:
    from keras.utils import PyDataset
else:
    PyDataset = dataset_class()


def check_batch_size(batch_size):
    """Checks a number of samples.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is less than 1.
    """
    try:
        too_small = operator.index(batch_size) < 1
    except TypeError:
        raise TypeError(f"`batch_size` should be an integer. Received: {batch_size=}") from None
    if too_small:
        raise ValueError(f"`batch_size` should be at least 1. Received: {batch_size=}")


def _check_seed(seed):
    """Raises what the first batch would raise of a seed; a note has the seed."""
    if seed is None or (isinstance(seed, int) and 0 <= seed < 1 << 32):
        return
    try:
        np.random.RandomState(seed + 0)  # as the number of batches is added
    except (TypeError, ValueError) as error:
        error.add_note(f"Received: {seed=}")
        raise


def _order_attribute(name, doc, check=None) -> Any:
    def get(self):
        return getattr(self._order, name)

    def set_(self, value):
        if check is not None:
            check(value)
        if "_order" not in vars(self):  # a subclass sets it before it calls Iterator's __init__
            self._renew_in_child()
            self._order = Order(n=0, batch_size=1, shuffle=False, seed=None)
        with self._order_lock:  # not `lock`, which who sets it may hold
            self._order = self._order.changed(**{name: value})

    return property(get, set_, doc=doc)


class Iterator(PyDataset, Generic[Batch]):
    """Base class of iterators over batches of images, as in Keras.

    A subclass implements `_get_batches_of_transformed_samples(index_array)`. It draws from the
    global `np.random`, which a seed puts in its place for the time of each batch. A context
    manager, which closes the iterator when left.

    Args:
        n: Number of samples, from 0.
        batch_size: Samples in a batch, from 1.
        shuffle: Whether to take each epoch in a new random order.
        seed: Seed of the order and the draws, or None to go on in the global stream.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of `keras.utils.PyDataset`.

    Raises:
        ValueError: If `batch_size` is less than 1, or `seed` none that NumPy takes.
        TypeError: If one of them is of a wrong type.

    Example:
        >>> class Squares(fastaug.Iterator):
        ...     def _get_batches_of_transformed_samples(self, index_array):
        ...         return index_array**2
        >>> next(Squares(n=5, batch_size=3, shuffle=False, seed=None))
        array([0, 1, 4])
    """

    white_list_formats = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

    n: int = _order_attribute("n", "Number of samples.")
    batch_size: int = _order_attribute("batch_size", "Samples in a batch.", check_batch_size)
    seed: Integer | None = _order_attribute("seed", "Seed, or None.")
    shuffle: bool = _order_attribute("shuffle", "Whether each epoch is shuffled.")
    batch_index: int = _order_attribute("batch_index", "Batches of this epoch that `next` gave.")
    total_batches_seen: int = _order_attribute("total_batches_seen", "Batches given in all.")
    index_array: Array | None = _order_attribute(
        "index_array", "This epoch's order; None before the first."
    )
    _index_generator = None

    def __init__(
        self,
        n: int,
        batch_size: Integer,
        shuffle: bool,
        seed: Integer | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._renew_in_child()
        renew_in_child(self)
        check_batch_size(batch_size)
        _check_seed(seed)
        size: Any = batch_size  # an integer of any kind, as the seed
        number: Any = seed
        self._order = Order(n=n, batch_size=size, shuffle=shuffle, seed=number)
        self._own_stream = None

    def _renew_in_child(self):
        self._order_lock = threading.Lock()
        self.lock = threading.Lock()

    def __getstate__(self):
        """A copy stands where this iterator stands, and goes on by itself."""
        state = vars(self) | {"lock": None, "_order_lock": None}
        order, stream = self._order, self._own_stream
        state["_order"] = order.changed(index_array=copy.copy(order.index_array))
        state["_own_stream"] = stream and Stream(stream.state)
        return state

    def __setstate__(self, state):
        vars(self).update(state)
        self._renew_in_child()
        renew_in_child(self)

    @property
    def index_generator(self) -> Generator[Array, None, None]:
        """An endless generator of the samples of each next batch; may be replaced."""
        return self._index_generator or self._flow_index()

    @index_generator.setter
    def index_generator(self, generator):
        self._index_generator = generator

    def _flow_index(self):
        """Begins an epoch, and yields the samples of each next batch."""
        with self._order_lock:
            self._order = self._order.changed(started=False)
        while True:
            yield self._step(NEXT)

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        """Returns what it iterates over, in words."""
        if "_order" not in vars(self):  # in the middle of its own __init__
            return super().__repr__()
        order = self._order
        parts = [
            *self._described(),
            f"batch_size={order.batch_size}",
            f"shuffle={order.shuffle}",
            f"seed={order.seed}",
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _described(self):
        """Yields what there is to say of the samples."""
        yield f"{self._order.n} samples"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._index_generator is not None:
            return self._drawn_batch(lambda: next(self._index_generator))
        return self._drawn_batch(lambda: self._step(NEXT))

    def __getitem__(self, idx: int) -> Batch:
        idx = self._from_the_start(idx)
        return self._drawn_batch(lambda: self._step(idx))

    def _from_the_start(self, idx):
        """Returns a position in the epoch, of which a negative one counts from the end.

        Raises:
            ValueError: If it lies before the first batch.
        """
        if idx >= 0:
            return idx
        length = len(self)
        if idx < -length:
            raise ValueError(
                f"Asked to retrieve element {idx}, but the Sequence has length {length}"
            )
        return idx + length

    def close(self) -> None:
        """Ends what runs for this iterator; here nothing does."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def _stream(self):
        """The stream that the next draws come from; None: the global one, as before any batch."""
        return None if self.seed is None else self._own_stream

    def _drawn_batch(self, step):
        """Makes a batch in a subclass's own way, which draws from the global `np.random`."""
        if self.seed is not None and self._own_stream is None:
            self._own_stream = seeded(0)
        with lent_to_user_code(self._stream):
            with self.lock:
                index_array = step()
            return self._get_batches_of_transformed_samples(index_array)

    def _step(self, item):
        index_array, order = self._order.draw(item, global_stream(), self._begun_epoch)
        with self._order_lock:
            self._order = order
        return index_array

    def _begun_epoch(self, order, stream):
        with self._order_lock:
            self._order = order
        self._set_index_array()
        return self._order

    def on_epoch_end(self) -> None:
        """Takes the next epoch in a new order, if shuffled."""
        with lent_to_user_code(self._stream), self.lock:
            self._set_index_array()

    def _set_index_array(self):
        """Begins an epoch, from the global stream; a subclass may have its own order."""
        self.index_array = self._order.reshuffled(global_stream()).index_array

    def reset(self) -> None:
        """Makes the next batch the first of a new epoch."""
        self.batch_index = 0

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Batch:
        raise NotImplementedError

    def _plain_batches(self):
        """Returns the shape of an image, and batches of all images once, not augmented.

        Raises:
            TypeError: If only the subclass knows its images.
        """
        raise TypeError(f"The images of a {type(self).__name__} are known to nobody else")
