"""What goes with an image, such as its mask, and how a batch is cut for threads.

Does not know of Keras.
"""
