"""What a file is, in the place of its pixels: what the readers do for `python -m fastaug check`."""

import hashlib
import io
import time
import warnings

import numpy as np
from PIL import Image

from fastaug.data import decode

# What goes through the slot of an image: Pillow's names of modes have up to 6 letters.
REPORT = np.dtype(
    [
        ("width", "<u4"),
        ("height", "<u4"),
        ("orientation", "<u4"),
        ("mode", "S12"),
        ("digest", "V16"),
    ]
)

# What each file is decoded into, to see whether that can be done.
TARGET = decode.Target(8, 8, "rgb")

_ORIENTATION = 0x0112


def read_into(path, file, out):
    """Reads a file as a flow does, and reports on it.

    Args:
        path: The file.
        file: What is known of it, as for `decode.read_file`.
        out: uint8 array of as many bytes as `REPORT` has.

    Returns:
        How many seconds the disk took.

    Raises:
        Exception: Whatever is wrong with the file.
    """
    start = time.perf_counter()
    data = decode.read_file(path, file)
    seconds = time.perf_counter() - start
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decode.decode_bytes(data, path, TARGET, np.empty(TARGET.shape, TARGET.dtype))
        with Image.open(io.BytesIO(data)) as image:
            try:
                orientation = image.getexif().get(_ORIENTATION, 1)
            except Exception:  # EXIF data that nobody can read turn nothing
                orientation = 1
            size, mode = image.size, image.mode
    if orientation not in range(1, 9):  # not one of EXIF's: nobody turns it
        orientation = 1
    digest = hashlib.blake2b(data, digest_size=16).digest()
    out.reshape(-1).view(REPORT)[0] = (*size, orientation, mode.encode(), digest)
    return seconds
