"""Folders of small image files: plain ones, and one with every oddity that people have."""

import pathlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 20, 30  # of the files


def picture(number, mode="RGB", height=HEIGHT, width=WIDTH):
    """A smooth picture that tells its number: none is another's mirror image."""
    y, x = np.mgrid[:height, :width]
    phase = number * 1.7
    waves = [
        np.sin(x / 5 + y / 9 + phase),
        np.cos(x / 7 - y / 4 - phase),
        np.sin(y / 6 + 2 * phase),
    ]
    waves.append(np.cos(x / 9 + phase))
    pixels = 128 + 110 * np.stack(waves, -1) + np.random.RandomState(number).normal(0, 6, (4,))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA").convert(mode)


def write(root, name, number, mode="RGB", size=(HEIGHT, WIDTH), **options):
    path = pathlib.Path(root) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number, mode, *size).save(path, **options)
    return path


def plain_tree(root, counts=(5, 4, 4), extension="jpg"):
    """One folder for each count, so many files in it; returns the root."""
    number = 0
    for name, count in zip(("ants", "bees", "cats"), counts, strict=False):
        for k in range(count):
            write(root, f"{name}/{k}.{extension}", number)
            number += 1
    return root


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def odd_tree(root):
    """Every kind of file that can be read, in every kind of place; returns the root."""
    jpeg = {"format": "JPEG"}
    write(root, "a b/plain.jpg", 0)
    write(root, "a b/upper.JPG", 1, **jpeg)
    write(root, "a b/Mixed.JpEg", 2, **jpeg)
    write(root, "a b/with space .jpg", 3)
    write(root, "a b/gray.jpeg", 4, "L")
    write(root, "a b/cmyk.jpg", 5, "CMYK")
    write(root, "a b/turned.jpg", 6, exif=exif(6))
    write(root, "a b/progressive.jpg", 7, progressive=True)
    write(root, "a b/4-4-4.jpg", 8, quality=95, subsampling=0)
    write(root, "a b/same size.jpg", 9, size=(17, 23))
    write(root, "a b/pixel.jpg", 10, size=(1, 1))
    write(root, "a b/tall.jpg", 11, size=(61, 9))
    write(root, "é日本/ü ñ.png", 12)
    write(root, "é日本/rgba.png", 13, "RGBA")
    write(root, "é日本/gray alpha.png", 14, "LA")
    write(root, "é日本/gray.png", 15, "L")
    write(root, "é日本/one bit.png", 16, "1")
    deep = np.asarray(picture(17, "L")).astype(np.uint16) * 257 + 5
    Image.fromarray(deep).save(root / "é日本/16 bit.png")
    Image.fromarray(deep).save(root / "é日本/16 bit.tiff")
    picture(18).quantize(32).save(root / "é日本/palette.png")
    picture(19).quantize(32).save(root / "é日本/clear.png", transparency=bytes(range(0, 256, 8)))
    write(root, "é日本/deeper/nested/x.bmp", 20)
    write(root, "é日本/deeper/y.ppm", 21)
    write(root, "é日本/deeper/z.tif", 22)
    write(root, "é日本/lzw.TIFF", 23, compression="tiff_lzw")
    write(root, "wrong/really a png.jpg", 24, format="PNG")
    write(root, "wrong/really a jpeg.png", 25, **jpeg)
    write(root, "wrong/really a gif.bmp", 26, "P", format="GIF")
    write(root, "wrong/.hidden.jpg", 27)
    write(root, "wrong/.hidden folder/x.jpg", 28)
    write(root, ".hidden class/x.jpg", 29)
    (root / "empty class").mkdir()
    (root / "wrong/notes.txt").write_text("no image")
    (root / "a file beside the classes.jpg").write_bytes(b"")
    (root / "wrong/link.jpg").symlink_to(root / "a b/plain.jpg")
    (root / "wrong/linked folder").symlink_to(root / "é日本/deeper")
    return root


def truncated(path):
    """A JPEG cut off in the middle of its scan, in the place of the file."""
    write(path.parent, path.name, 90, size=(60, 90))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def text(path):
    path.write_text("<html>404</html>")


def empty(path):
    path.write_bytes(b"")
