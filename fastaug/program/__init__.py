"""What is done to images, as data: programs, tables of parameters, fields that follow an image.

Does not know of Keras, nor where images come from.
"""
