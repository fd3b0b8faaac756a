"""Where images are, arrays, folders and dataframes, and how a file becomes pixels.

Does not know of augmentation. Decode processes import this room: it imports neither Keras nor what
is above it.
"""
