"""Decoding a file: bit for bit Keras's load_img, on every kind of file, its errors included."""

import functools
import io
import itertools
import pathlib
import pickle
import re
import struct
import subprocess
import sys
import warnings
import zlib

import cv2
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from fastaug import _core
from fastaug.data import decode as module
from fastaug.data import images
from fastaug.data.decode import Target, decode

COLOR_MODES = ("rgb", "rgba", "grayscale")
HEIGHT, WIDTH = 41, 54  # of most of the files below
SIZES = ((HEIGHT, WIDTH), (23, 37), (64, 19), (60, 91))  # the same, smaller, narrower, larger

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore:Palette images")


# --- Files: every function returns the bytes of one. --------------------------------------------


@functools.cache
def photo(mode="RGB", height=HEIGHT, width=WIDTH):
    """A smooth picture with noise, the nearest to a photograph that needs no file."""
    noise = np.random.RandomState(height * 1000 + width).normal(0, 8, (height, width, 4))
    y, x = np.mgrid[:height, :width] / 9
    waves = np.stack([np.sin(x + y / 2), np.cos(x - y), np.sin(y * 2), np.cos(x / 3)], -1)
    return Image.fromarray((128 + 100 * waves + noise).clip(0, 255).astype(np.uint8)).convert(mode)


def saved(img, file_format, **options):
    file = io.BytesIO()
    img.save(file, file_format, **options)
    return file.getvalue()


def jpeg(mode="RGB", height=HEIGHT, width=WIDTH, **options):
    return saved(photo(mode, height, width), "JPEG", **options)


def encoded(extension, array, *options):
    """A file written by OpenCV, for what Pillow cannot write."""
    return cv2.imencode(extension, array, options)[1].tobytes()


def cut(data, marker):
    """Splits a JPEG at its first segment of a kind: before, the segment, after."""
    start = data.index(bytes([0xFF, marker]))
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[:start], data[start:end], data[end:]


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def with_segment(data, marker, body):
    return data[:2] + segment(marker, body) + data[2:]


def without_jfif(data):
    before, _, after = cut(data, 0xE0)
    return before + after


def with_ids(data, ids):
    """A JPEG without JFIF, its three components renamed: libjpeg goes by the names then."""
    before, frame, after = cut(without_jfif(data), 0xC0)
    between, scan, rest = cut(after, 0xDA)
    frame, scan = bytearray(frame), bytearray(scan)
    frame[10::3] = scan[5:10:2] = ids
    return before + bytes(frame) + between + bytes(scan) + rest


def adobe(transform):
    return b"Adobe\0\x64\0\0\0\0" + bytes([transform])


def with_transform(data, transform):
    """A JPEG with another colour transform in the Adobe segment that it has."""
    before, old, after = cut(data, 0xEE)
    return before + old[:-1] + bytes([transform]) + after


def with_wide_tables(data):
    """A JPEG with its first quantization table written in 16 bits a value."""
    before, table, after = cut(data, 0xDB)
    wide = np.frombuffer(table[5:], np.uint8).astype(">u2").tobytes()
    return before + segment(0xDB, bytes([0x10 | table[4]]) + wide) + after


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x011A], tags[0x0128] = 300.0, 2  # resolution: read only where there is no JFIF
    return tags.tobytes()


def icc_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def png(depth, color_type, rows, *chunks, interlaced=None, size=(WIDTH, HEIGHT)):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", *size, depth, color_type, 0, 0, interlaced is not None)
    if interlaced is None:
        lines = b"".join(b"\0" + row.tobytes() for row in rows)
    else:  # Adam7: seven pictures, each of some columns of some rows
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
        passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
        parts = [interlaced[y::dy, x::dx] for y, x, dy, dx in passes]
        lines = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    parts = [
        chunk(b"IHDR", head),
        *chunks,
        chunk(b"IDAT", zlib.compress(lines)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def array(mode="RGB"):
    return np.asarray(photo(mode))


def deep(channels=1):
    """16-bit values."""
    values = array("RGBA").astype(np.uint16) * 257 + 3
    return values[..., 0] if channels == 1 else values[..., :channels]


def paletted(colors=256):
    return photo().quantize(colors)


def transparent():
    alpha = np.linspace(0, 255, 256).astype(np.uint8)
    return {"transparency": alpha[::3].tobytes()}


def gif_frames():
    return [photo().quantize(16), photo().rotate(90).quantize(16)]


# Whole 8-bit Huffman-coded JPEGs with one or three components: OpenCV reads these.
OPENCV = {
    "4:2:0": lambda: jpeg(),
    "4:2:2": lambda: jpeg(subsampling=1),
    "4:4:4": lambda: jpeg(subsampling=0, quality=97),
    "4:1:1": lambda: encoded(".jpg", array(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x411111),
    "4:4:0": lambda: encoded(".jpg", array(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x121111),
    "coarse": lambda: jpeg(quality=5),
    "coarsest": lambda: jpeg(quality=1),
    "progressive": lambda: jpeg(progressive=True),
    "progressive 4:4:4": lambda: jpeg(progressive=True, subsampling=0),
    "optimized": lambda: jpeg(optimize=True),
    "restarts": lambda: jpeg(restart_marker_blocks=2),
    "progressive restarts": lambda: jpeg(progressive=True, restart_marker_rows=1),
    "gray": lambda: jpeg("L"),
    "gray progressive": lambda: jpeg("L", progressive=True),
    "gray restarts": lambda: jpeg("L", restart_marker_blocks=1),
    "comment": lambda: jpeg(comment=b"hello"),
    "profile": lambda: jpeg(icc_profile=icc_profile()),
    "photoshop": lambda: with_segment(
        jpeg(), 0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10" + bytes(16)
    ),
    **{f"turned {n}": lambda n=n: jpeg(exif=exif(n)) for n in range(1, 9)},
    "turned, no JFIF": lambda: without_jfif(jpeg(exif=exif(6))),
    "no JFIF": lambda: without_jfif(jpeg()),
    "Adobe YCbCr": lambda: with_segment(without_jfif(jpeg()), 0xEE, adobe(1)),
    "Adobe RGB": lambda: with_segment(without_jfif(jpeg()), 0xEE, adobe(0)),
    "Adobe unknown": lambda: with_segment(without_jfif(jpeg()), 0xEE, adobe(2)),
    "Adobe beside JFIF": lambda: with_segment(jpeg(), 0xEE, adobe(0)),
    "kept RGB": lambda: jpeg(keep_rgb=True),
    "named R, G, B": lambda: with_ids(jpeg(), b"RGB"),
    "named oddly": lambda: with_ids(jpeg(), b"xyz"),
    "named from 0": lambda: with_ids(jpeg(), b"\0\1\2"),
    "1x1": lambda: jpeg(height=1, width=1),
    "1x1 gray": lambda: jpeg("L", height=1, width=1),
    "one row": lambda: jpeg(height=1, width=77),
    "one column": lambda: jpeg(height=77, width=1),
    "odd": lambda: jpeg(height=17, width=33),
    "large": lambda: jpeg(height=375, width=499),
}

# The others, whatever their names end in: Pillow reads these.
PILLOW = {
    "jpeg cmyk": lambda: jpeg("CMYK"),
    "jpeg ycck": lambda: with_transform(jpeg("CMYK"), 2),
    "jpeg arithmetic": lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc9"),
    "jpeg followed by bytes": lambda: jpeg() + b"\0\0\n",
    "jpeg twice": lambda: jpeg() + jpeg(),
    "jpeg mpo": lambda: saved(photo(), "MPO", save_all=True, append_images=[photo().rotate(9)]),
    "jpeg first of an mpo": lambda: (
        FILES["jpeg mpo"]().partition(b"\xff\xd9\xff\xd8")[0] + b"\xff\xd9"
    ),
    "jpeg with filling": lambda: b"\xff\xd8\xff" + jpeg()[2:],
    "jpeg 16-bit tables": lambda: with_wide_tables(jpeg()),
    "png": lambda: saved(photo(), "PNG"),
    "png rgba": lambda: saved(photo("RGBA"), "PNG"),
    "png gray": lambda: saved(photo("L"), "PNG"),
    "png gray alpha": lambda: saved(photo("LA"), "PNG"),
    "png 1 bit": lambda: saved(photo("1"), "PNG"),
    "png gray 2 bits": lambda: png(2, 0, array("L")[:, :14]),
    "png gray 4 bits": lambda: png(4, 0, array("L")[:, :27]),
    "png gray 16 bits": lambda: saved(Image.fromarray(deep()), "PNG"),
    "png rgb 16 bits": lambda: encoded(".png", deep(3)),
    "png rgba 16 bits": lambda: encoded(".png", deep(4)),
    "png gray alpha 16 bits": lambda: png(16, 4, deep(2).astype(">u2")),
    "png palette": lambda: saved(paletted(), "PNG"),
    "png palette 1 bit": lambda: saved(paletted(2), "PNG", bits=1),
    "png palette 2 bits": lambda: saved(paletted(4), "PNG", bits=2),
    "png palette 4 bits": lambda: saved(paletted(16), "PNG", bits=4),
    "png palette with alphas": lambda: saved(paletted(), "PNG", **transparent()),
    "png palette with a transparent color": lambda: saved(paletted(), "PNG", transparency=3),
    "png with a transparent color": lambda: saved(
        photo(), "PNG", transparency=photo().getpixel((5, 5))
    ),
    "png gray with a transparent value": lambda: saved(photo("L"), "PNG", transparency=128),
    "png interlaced": lambda: png(8, 2, None, interlaced=array()),
    "png interlaced 16 bits": lambda: png(16, 0, None, interlaced=deep().astype(">u2")),
    "png animated": lambda: saved(photo(), "PNG", save_all=True, append_images=[photo().rotate(9)]),
    "png turned": lambda: saved(photo(), "PNG", exif=exif(6)),
    "png 1x1": lambda: saved(photo("RGB", 1, 1), "PNG"),
    "png with rows missing": lambda: png(8, 2, array()[:20]),
    "bmp": lambda: saved(photo(), "BMP"),
    "bmp gray": lambda: saved(photo("L"), "BMP"),
    "bmp 1 bit": lambda: saved(photo("1"), "BMP"),
    "bmp palette": lambda: saved(paletted(), "BMP"),
    "bmp rgba": lambda: saved(photo("RGBA"), "BMP"),
    "ppm": lambda: saved(photo(), "PPM"),
    "ppm of text": lambda: b"P3\n2 2\n15\n" + b"1 2 3  4 5 6\n7 8 9  10 11 15\n",
    "pgm": lambda: saved(photo("L"), "PPM"),
    "pgm 16 bits": lambda: saved(Image.fromarray(deep()), "PPM"),
    "pbm": lambda: saved(photo("1"), "PPM"),
    "tiff": lambda: saved(photo(), "TIFF"),
    "tiff lzw": lambda: saved(photo(), "TIFF", compression="tiff_lzw"),
    "tiff jpeg": lambda: saved(photo(), "TIFF", compression="jpeg"),
    "tiff rgba": lambda: saved(photo("RGBA"), "TIFF"),
    "tiff gray": lambda: saved(photo("L"), "TIFF"),
    "tiff gray 16 bits": lambda: saved(Image.fromarray(deep()), "TIFF"),
    "tiff gray 16 bits big-endian": lambda: saved(Image.fromarray(deep().astype(">u2")), "TIFF"),
    "tiff gray 32 bits": lambda: saved(Image.fromarray(deep().astype(np.int32) * 9), "TIFF"),
    "tiff float": lambda: saved(Image.fromarray(deep().astype(np.float32) / 99), "TIFF"),
    "tiff cmyk": lambda: saved(photo("CMYK"), "TIFF"),
    "tiff 1 bit": lambda: saved(photo("1"), "TIFF"),
    "tiff palette": lambda: saved(paletted(), "TIFF"),
    "tiff turned": lambda: saved(photo(), "TIFF", exif=exif(6)),
    "tiff pages": lambda: saved(photo(), "TIFF", save_all=True, append_images=[photo().rotate(9)]),
    "gif": lambda: saved(photo(), "GIF"),
    "gif animated": lambda: saved(
        gif_frames()[0], "GIF", save_all=True, append_images=gif_frames()[1:]
    ),
    "gif transparent": lambda: saved(paletted(16), "GIF", transparency=2),
    "webp": lambda: saved(photo("RGBA"), "WEBP"),
}

FILES = OPENCV | PILLOW


# --- Comparing with Keras. ----------------------------------------------------------------------


def decoded(path, target):
    """Decodes into the middle of a larger array, which must stay as it was elsewhere."""
    fill = 77
    around = np.full((target.height + 2, *target.shape[1:]), fill, target.dtype)
    decode(path, target, around[1:-1])
    assert (around[0] == fill).all()
    assert (around[-1] == fill).all()
    return around[1:-1]


def keras_decoded(path, target):
    img = keras.utils.load_img(
        path,
        color_mode=target.color_mode,
        target_size=(target.height, target.width),
        interpolation=target.interpolation,
        keep_aspect_ratio=target.keep_aspect_ratio,
    )
    return keras.utils.img_to_array(img, "channels_last", "float32")


def outcome(function, path, target):
    """Pixels, or the error: its type and what it says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(path, target)
        except Exception as error:
            return error


def assert_as_keras(path, target):
    """The same pixels or the same error, with the path in its text; returns Keras's outcome."""
    ours, theirs = outcome(decoded, path, target), outcome(keras_decoded, path, target)
    if not isinstance(theirs, Exception):
        if isinstance(ours, Exception):
            raise AssertionError(f"only Keras can read it: {target}") from ours
        np.testing.assert_array_equal(ours, theirs, err_msg=str(target), strict=False)
        return theirs
    assert type(ours) is type(theirs), f"{ours!r} instead of {theirs!r}"
    text = str(theirs) if getattr(theirs, "filename", None) else f"{path}: {theirs}"
    assert str(ours) == without_object(text)
    return theirs


def without_object(text):
    """Without Pillow's name of the bytes that Keras gives it in the place of a path."""
    return re.sub(r" <_io\.BytesIO object at 0x[0-9a-f]+>", "", text)


def write(folder, data, name="photo.jpg"):
    path = folder / name
    path.write_bytes(data)
    return str(path)


def forbid(monkeypatch, owner, name):
    def called(*_, **__):
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(owner, name, called)


# --- Pixels. ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILES)
def test_pixels_are_those_of_keras(kind, tmp_path):
    path = write(tmp_path, FILES[kind]())
    for color_mode, interpolation, size, keep_aspect_ratio in itertools.product(
        COLOR_MODES, images.INTERPOLATIONS, SIZES, (False, True)
    ):
        target = Target(*size, color_mode, interpolation, keep_aspect_ratio)
        pixels = assert_as_keras(path, target)
        assert not isinstance(pixels, Exception), f"Keras cannot read it: {pixels!r}"


@pytest.mark.parametrize("color_mode", COLOR_MODES)
@given(data=st.data())
@settings(max_examples=60)
def test_sizes(color_mode, data, tmp_path_factory):
    sides = st.integers(1, 150)
    height, width = data.draw(sides), data.draw(sides)
    path = write(tmp_path_factory.mktemp("sizes"), jpeg("RGB", height, width))
    target = Target(
        data.draw(sides), data.draw(sides), color_mode, "nearest", data.draw(st.booleans())
    )
    assert_as_keras(path, target)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.data())
def test_picked_pixels_are_those_of_pillow(data):
    """Any size to any other, and any box cut out of it by the shape of the target."""
    size = (data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90)))
    target = Target(
        data.draw(st.integers(1, 120)), data.draw(st.integers(1, 120)), "rgb", "nearest",
        data.draw(st.booleans()),
    )  # fmt: skip
    image = np.random.default_rng(size).integers(0, 256, (*size, 3), dtype=np.uint8)
    out = np.zeros(target.shape, np.uint8)
    rows, columns = module._nearest_pixels(size, target)
    _core.pick_pixels(image, rows, columns, out)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    expected = images.load_img(
        file, "rgb", (target.height, target.width), "nearest", target.keep_aspect_ratio
    )
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("rows", "columns", "error", "text"),
    [
        ([0, 5], [0, 1, 2], IndexError, "row 5 is out of bounds for 5 rows"),
        ([-1, 0], [0, 1, 2], IndexError, "row -1"),
        ([0, 1], [0, 1, 7], IndexError, "column 7 is out of bounds for 7 columns"),
        ([0, 1], [2, 1, 3], IndexError, "column 1"),
        ([0, 1, 2], [0, 1, 2], ValueError, "No room for 3 x 3 pixels in 2 x 3"),
    ],
)
def test_pixels_that_are_not_there_are_not_picked(rows, columns, error, text):
    image, out = np.zeros((5, 7, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(error, match=text):
        _core.pick_pixels(
            image, np.array(rows, dtype=np.int32), np.array(columns, dtype=np.int32), out
        )


def test_gray_of_every_color(tmp_path, monkeypatch):
    """All 2**24 colours, a slice at a time, in place of what OpenCV decodes."""
    path = write(tmp_path, jpeg(height=256, width=256))
    colors = np.empty((256, 256, 3), np.uint8)
    colors[..., 1], colors[..., 2] = np.mgrid[:256, :256]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: colors)
    for red in range(256):
        colors[..., 0] = red
        gray = decoded(path, Target(256, 256, "grayscale"))[..., 0]
        np.testing.assert_array_equal(gray, Image.fromarray(colors).convert("L"))


def test_deep_gray_keeps_its_values(tmp_path):
    path = write(tmp_path, PILLOW["tiff gray 32 bits"]())
    pixels = decoded(path, Target(HEIGHT, WIDTH, "grayscale"))
    np.testing.assert_array_equal(pixels[..., 0], deep().astype(np.float32) * 9)
    assert pixels.max() > 2**17


@pytest.mark.parametrize(
    "convert", [str, str.encode, pathlib.Path], ids=["string", "bytes", "Path"]
)
def test_paths(convert, tmp_path):
    path = write(tmp_path, jpeg(), "Ein schönes Bild.JPG")
    expected = keras_decoded(path, Target(20, 30, "rgb"))
    np.testing.assert_array_equal(decoded(convert(path), Target(20, 30, "rgb")), expected)


# --- Which decoder. -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPENCV)
def test_opencv_takes(kind, tmp_path, monkeypatch):
    data = OPENCV[kind]()
    assert module._opencv_can(data)
    forbid(monkeypatch, images, "load_img")
    for color_mode in COLOR_MODES:
        decoded(write(tmp_path, data), Target(20, 30, color_mode))


@pytest.mark.parametrize("kind", PILLOW)
def test_opencv_leaves(kind, tmp_path, monkeypatch):
    data = PILLOW[kind]()
    assert not module._opencv_can(data)
    forbid(monkeypatch, cv2, "imdecode")
    decoded(write(tmp_path, data), Target(20, 30, "rgb"))


@pytest.mark.parametrize("length", [0, 1])
def test_opencv_leaves_a_scan_without_its_length(length):
    data = jpeg()
    before, scan, after = cut(data, 0xDA)
    assert module._opencv_can(before + scan + after)
    assert not module._opencv_can(before + scan[:2] + bytes([0, length]) + scan[4:] + after)


def test_opencv_leaves_12_bits():
    assert not module._opencv_can(unreadable()["jpeg of 12 bits"])


FILTERED = list(
    itertools.product(COLOR_MODES, [f for f in images.INTERPOLATIONS if f != "nearest"], (0, 1))
)


def photo_of(kind, folder):
    path = folder / f"photo.{kind}"
    Image.open(io.BytesIO(jpeg())).save(path)
    return str(path)


@pytest.mark.parametrize(("mode", "name", "cut"), FILTERED)
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_filters_are_the_core_s(kind, mode, name, cut, tmp_path, monkeypatch):
    """Pillow, whose order of the passes is asked for once, resizes nothing that is of 8 bits."""
    path = photo_of(kind, tmp_path)
    target = Target(20, 30, mode, name, bool(cut))
    expected = keras_decoded(path, target)
    assert module._passes_of_pillow() in ("rows first", "columns first")
    if kind == "jpeg" or mode != "rgba":  # Pillow weighs colours by alpha
        forbid(monkeypatch, Image.Image, "resize")
    np.testing.assert_array_equal(decoded(path, target), expected)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_filters_are_pillow_s_where_its_passes_are_others(kind, tmp_path, monkeypatch):
    path = photo_of(kind, tmp_path)
    monkeypatch.setattr(module, "_passes_of_pillow", lambda: None)
    forbid(monkeypatch, _core, "resample")
    for target in Target(20, 30, "rgb", "bilinear"), Target(20, 30, "grayscale", "lanczos"):
        np.testing.assert_array_equal(decoded(path, target), keras_decoded(path, target))


def test_the_passes_of_pillow_are_asked_for(monkeypatch):
    """Both orders are known, and that there may be another."""
    resize = Image.Image.resize
    columns = lambda image, size, *_: resize(  # noqa: E731
        resize(image, (size[0], image.size[1]), Image.Resampling.LANCZOS),
        size,
        Image.Resampling.LANCZOS,
    )
    rows = lambda image, size, *_: resize(  # noqa: E731
        resize(image, (image.size[0], size[1]), Image.Resampling.LANCZOS),
        size,
        Image.Resampling.LANCZOS,
    )
    other = lambda image, size, *_: resize(image, size, Image.Resampling.BOX)  # noqa: E731
    for order, answer in (columns, "columns first"), (rows, "rows first"), (other, None):
        monkeypatch.setattr(Image.Image, "resize", order)
        assert module._passes_of_pillow.__wrapped__() == answer


@pytest.mark.parametrize("answer", [None, cv2.error("no"), np.zeros((5, 5, 3), np.uint8)])
def test_pillow_decides_where_opencv_fails(answer, tmp_path, monkeypatch):
    path = write(tmp_path, jpeg())
    expected = keras_decoded(path, Target(20, 30, "rgb"))

    def fails(*_):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(cv2, "imdecode", fails)
    np.testing.assert_array_equal(decoded(path, Target(20, 30, "rgb")), expected)


# --- Errors. ------------------------------------------------------------------------------------


def unreadable():
    """Files that Keras cannot read, by name."""
    before, frame, after = cut(jpeg(), 0xC0)
    scans = cut(jpeg(), 0xDA)
    middle = len(scans[2]) // 2
    return {
        "empty": b"",
        "text": b"This is not a picture.\n",
        "zeros": bytes(5000),
        "jpeg start": b"\xff\xd8\xff",
        "jpeg ends": b"\xff\xd8\xff\xd9",
        "jpeg without a frame": before + after,
        "jpeg that ends in its frame": before + b"\xff\xc0\0\2",
        "jpeg of 12 bits": before + frame[:4] + b"\x0c" + frame[5:] + after,
        "jpeg without height": before + frame[:5] + b"\0\0" + frame[7:] + after,
        "jpeg of two components": before + frame[:9] + b"\2" + frame[10:-3] + after,
        "jpeg with too long a segment": with_segment(jpeg(), 0xE5, bytes(60))[:4] + b"\xff\xd9",
        "jpeg of two frames": before + frame + frame + after,
        "jpeg without tables": b"".join(
            cut(cut(jpeg(), 0xDB)[0] + cut(jpeg(), 0xDB)[2], 0xDB)[::2]
        ),
        "jpeg cut, then its frame again": b"".join(
            (*scans[:2], scans[2][:middle], frame, scans[2][middle:])
        ),
        "jpeg cut, then its scan again": b"".join((*scans[:2], scans[2][:middle], *scans[1:])),
        "jpeg of which metadata are broken": with_segment(
            jpeg(), 0xED, b"Photoshop 3.0\x008BIM\0\0"
        ),
        "jpeg of which the profile is broken": with_segment(jpeg(), 0xE2, b"ICC_PROFILE\0"),
        "jpeg of which JFIF is broken": with_segment(without_jfif(jpeg()), 0xE0, b"JFIF\0"),
        "png promising more": saved(photo(), "PNG")[:-1000],
        "png with a wrong checksum": saved(photo(), "PNG").replace(b"IHDR\0", b"IHDR\1"),
        "bmp promising more": saved(photo(), "BMP")[:-1000],
        "ppm promising more": b"P6\n5000 5000\n255\nabc",
        "tiff promising more": saved(photo(), "TIFF")[:-1000],
    }


@pytest.mark.parametrize("kind", unreadable())
def test_unreadable(kind, tmp_path):
    path = write(tmp_path, unreadable()[kind])
    for color_mode, size in itertools.product(COLOR_MODES, SIZES[:2]):
        for interpolation in ("nearest", "bicubic"):
            error = assert_as_keras(path, Target(*size, color_mode, interpolation))
            assert isinstance(error, Exception), "Keras can read it"


@pytest.mark.parametrize("kind", FILES)
def test_truncated(kind, tmp_path):
    data = FILES[kind]()
    whole = set()
    for share in (0.02, 0.3, 0.6, 0.9, 0.99):
        path = write(tmp_path, data[: int(len(data) * share)])
        for target in (Target(HEIGHT, WIDTH, "rgb"), Target(20, 30, "grayscale")):
            whole.add(isinstance(assert_as_keras(path, target), np.ndarray))
    assert False in whole


@given(data=st.data())
@settings(max_examples=300)
def test_damaged_jpegs(data, tmp_path_factory):
    """Bytes changed, removed and added: never a picture where Keras raises, never another one."""
    kinds = ("4:2:0", "gray", "progressive", "restarts", "turned, no JFIF", "photoshop", "kept RGB")
    damaged = bytearray(OPENCV[data.draw(st.sampled_from(kinds))]())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(2, len(damaged) - 3))
        removed = data.draw(st.sampled_from((0, 0, 1, 1, 2, 40, 400)))
        added = data.draw(st.one_of(st.binary(max_size=4), st.just(bytes(damaged[at - 40 : at]))))
        damaged[at : at + removed] = added
    if not damaged.endswith(b"\xff\xd9"):
        damaged += b"\xff\xd9"
    try:
        with Image.open(io.BytesIO(damaged)) as img:
            height, width = img.height, img.width
    except Exception:
        height, width = HEIGHT, WIDTH
    if height * width > 1_000_000:  # a byte of the size was hit: correct, but slow
        height, width = HEIGHT, WIDTH
    path = write(tmp_path_factory.mktemp("damaged"), bytes(damaged))
    assert_as_keras(path, Target(height, width, "rgb"))


def test_missing_file(tmp_path):
    path = str(tmp_path / "no such file.jpg")
    error = assert_as_keras(path, Target(20, 30, "rgb"))
    assert type(error) is FileNotFoundError
    with pytest.raises(FileNotFoundError) as ours:
        decoded(path, Target(20, 30, "rgb"))
    assert (ours.value.errno, ours.value.filename) == (error.errno, path)


def test_directory(tmp_path):
    error = assert_as_keras(str(tmp_path), Target(20, 30, "rgb"))
    assert type(error) is IsADirectoryError
    assert error.filename == str(tmp_path)


def test_forbidden_file(tmp_path, monkeypatch):
    path = str(tmp_path / "photo.jpg")  # root may read every file, so open has to say no

    def refuses(path, *_, **__):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuses)
    with pytest.raises(PermissionError, match=re.escape(path)) as error:
        decoded(path, Target(20, 30, "rgb"))
    assert (error.value.errno, error.value.filename) == (13, path)


def test_failing_read_names_the_file(tmp_path, monkeypatch):
    path = str(tmp_path / "photo.jpg")

    def fails(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.open", fails)
    with pytest.raises(OSError, match=re.escape(f"[Errno 5] Input/output error: '{path}'")):
        decoded(path, Target(20, 30, "rgb"))


@pytest.mark.parametrize(
    "error",
    [
        OSError("image file is truncated"),
        OSError(5, "Input/output error"),
        Image.UnidentifiedImageError("cannot identify it"),
        Image.DecompressionBombError("too large"),
        ValueError("no"),
        SyntaxError("broken PNG file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        MemoryError(),
        zlib.error("incorrect header"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("path", ["/data/cat.jpg", b"/data/cat.jpg"], ids=["string", "bytes"])
def test_errors_with_a_path_cross_to_other_processes(error, path):
    kind, text = type(error), error.args[-1] if error.args else ""
    error = pickle.loads(pickle.dumps(error))
    module._put_path(error, path)
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert type(each) is kind
        assert "/data/cat.jpg" in str(each)
        assert text in str(each)


@pytest.mark.parametrize("kind", ["4:2:0", "png"])
def test_decompression_bombs(kind, tmp_path, monkeypatch):
    path = write(tmp_path, FILES[kind]())
    target = Target(20, 30, "rgb")
    expected = keras_decoded(path, target)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        np.testing.assert_array_equal(decoded(path, target), expected)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 2 - 1)
    assert type(assert_as_keras(path, target)) is Image.DecompressionBombError
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    np.testing.assert_array_equal(decoded(path, target), expected)


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((20, 30, 4), np.uint8),
        np.zeros((30, 20, 3), np.uint8),
        np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 3), np.float32),
    ],
    ids=["channels", "turned", "rank", "dtype"],
)
def test_wrong_out(out, tmp_path):
    path = write(tmp_path, jpeg())
    expected = f"shape (20, 30, 3) and dtype uint8, not {out.shape} and {out.dtype}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        decode(path, Target(20, 30, "rgb"), out)
    with pytest.raises(ValueError, match="C-contiguous"):
        decode(path, Target(20, 30, "rgb"), np.zeros((30, 20, 3), np.uint8).transpose(1, 0, 2))


def test_target():
    assert [Target(4, 5, mode).shape for mode in COLOR_MODES] == [(4, 5, 3), (4, 5, 4), (4, 5, 1)]
    assert [Target(4, 5, mode).dtype for mode in COLOR_MODES] == [np.uint8, np.uint8, np.float32]
    assert Target(4, 5, "rgb") == Target(4, 5, "rgb", "nearest", False)
    assert pickle.loads(pickle.dumps(Target(4, 5, "rgb"))) == Target(4, 5, "rgb")
    with pytest.raises(ValueError, match='"grayscale", "rgb", or "rgba", not \'hsv\''):
        Target(4, 5, "hsv")
    with pytest.raises(ValueError, match="at least 1, not 0 and 5"):
        Target(0, 5, "rgb")


READ_EVERYTHING = """
import sys
{before}
import numpy as np
import fastaug.data.readers
found = [name for name in ("keras", "scipy", "numpy.random") if name in sys.modules]
from fastaug.data.decode import Target, decode
for path in sys.argv[1:]:
    for mode in ("rgb", "rgba", "grayscale"):
        for interpolation in ("nearest", "bilinear", "lanczos"):
            for cut in (False, True):
                target = Target(5, 4, mode, interpolation, cut)
                try:
                    decode(path, target, np.empty(target.shape, target.dtype))
                except OSError:
                    assert path.endswith("broken.jpg"), path
names = "keras", "tensorflow", "jax", "torch", "scipy"
print(found + [name for name in names if name in sys.modules])
"""


@pytest.mark.parametrize("before", ["", "sys.modules['cv2'] = None"], ids=["", "without cv2"])
def test_a_decode_process_imports_no_more_than_it_needs(before, tmp_path):
    """Whatever it reads: Keras takes seconds, and hundreds of megabytes."""
    image = Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3))
    paths = [str(tmp_path / f"image.{ending}") for ending in ("jpg", "png", "bmp", "tif", "gif")]
    for path in paths:
        image.save(path)
    paths.append(str(tmp_path / "broken.jpg"))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    code = READ_EVERYTHING.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
