"""Batches as a `tf.data.Dataset`.

`Dataset.range` and `numpy_function` hand an array over as it lies, if it begins where TensorFlow
wants it to (`run/array_pool.py`); `from_generator` takes three times as long for each batch.
"""

from typing import Any

import tensorflow as tf


def dataset_of(iterator: Any, like: Any, prefetch: int) -> Any:
    """Returns a dataset of one epoch, which gives the next one each time that it is iterated.

    Args:
        iterator: An iterator of fastaug.
        like: A batch without samples, of the structure, types and shapes of all.
        prefetch: Number of batches for TensorFlow to ask for ahead.
    """
    specs = tf.nest.map_structure(_spec, like)
    flat = tf.nest.flatten(specs)

    def take(number):
        if number == 0:
            iterator._begin_epoch()
        return tf.nest.flatten(next(iterator))

    @tf.autograph.experimental.do_not_convert
    def batch(number):
        tensors = tf.numpy_function(take, [number], [spec.dtype for spec in flat])
        for tensor, spec in zip(tensors, flat, strict=True):
            tensor.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(specs, tensors)

    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.range(len(iterator)).map(batch).with_options(options)
    return dataset.prefetch(prefetch) if prefetch else dataset


def _spec(values):
    return tf.TensorSpec((None, *values.shape[1:]), tf.as_dtype(values.dtype))
