"""Doors for other loaders: TensorFlow, PyTorch, and what works on columns, each in a file."""
