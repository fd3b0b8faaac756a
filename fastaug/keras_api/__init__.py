"""Keras's face: generator, iterators, draws and the order of work, as Keras's `ImageDataGenerator`.

Does not know how pixels are made: `_core` makes them, of the arrays and files of `fastaug.data`.
"""
