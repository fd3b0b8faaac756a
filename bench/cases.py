"""The registry of cases: what is augmented, with which settings. It imports no peer."""

from dataclasses import dataclass, field, replace

import numpy as np


def preprocess_img(img):
    """Scales pixels from 0..255 to -1..1, as the article's own function does."""
    img = img.astype(np.float32) / 255
    img -= 0.5
    return img * 2


@dataclass(frozen=True)
class Case:
    """One comparison: a set of images, the generator's settings, a batch size."""

    name: str  # on the command line
    title: str  # for people
    size: int  # height and width of the images, in pixels
    images: int  # photographs to make
    settings: dict  # arguments of Keras's ImageDataGenerator
    scale: float = 1 / 255  # factor from a pixel of 0..255 to a pixel of the result
    offset: float = 0.0  # what is added after the factor
    from_files: bool = False  # files in class folders, of any size until read
    batch_size: int = 32
    quick_batch_size: int | None = None  # of a quick run; None: as in any run
    rounds: int | None = None  # at most, unless the user asks for more; None: no limit
    seconds: float = 0.4  # least length of a round: large batches take some to use their memory
    by_default: bool = True  # whether it is run when no case is named
    fastaug_settings: dict = field(default_factory=dict)  # further ones, which only fastaug takes
    fastaug_pool: bool = False  # whether fastaug is given a process pool, as in the article's code


DEFAULT_SETTINGS = {
    "rotation_range": 20,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "zoom_range": 0.2,
    "channel_shift_range": 30,
    "horizontal_flip": True,
    "fill_mode": "nearest",
    "rescale": 1 / 255,
}

ARTICLE_GEOMETRY = {
    "rotation_range": 45,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "horizontal_flip": True,
    "fill_mode": "nearest",
}
ARTICLE_SETTINGS = {**ARTICLE_GEOMETRY, "preprocessing_function": preprocess_img}
TO_MINUS_ONE = {"scale": 2 / 255, "offset": -1.0}  # what preprocess_img does

SMALL = Case("32", "32x32, common settings", 32, 4096, DEFAULT_SETTINGS)
LARGE = Case("299", "299x299, common settings", 299, 128, DEFAULT_SETTINGS, rounds=3, seconds=0.8)
MIDDLE = replace(
    LARGE, name="224", title="224x224, common settings", size=224, images=192, by_default=False
)
DIRECTORY = Case(
    "directory", "299x299 from JPEG files, the article's settings", 299, 384, ARTICLE_SETTINGS,
    **TO_MINUS_ONE, from_files=True, batch_size=64, quick_batch_size=16, rounds=2, seconds=1.6,
)  # fmt: skip

CASES = {
    case.name: case
    for case in (
        SMALL,
        MIDDLE,
        replace(
            MIDDLE,
            name="224-cubic",
            title="224x224, common settings, cubic splines",
            settings={**DEFAULT_SETTINGS, "interpolation_order": 3},
        ),
        LARGE,
        replace(
            LARGE,
            name="299-uint8",
            title="299x299, common settings without rescaling, as bytes",
            settings={
                **{name: DEFAULT_SETTINGS[name] for name in DEFAULT_SETTINGS if name != "rescale"},
                "dtype": "uint8",
            },
            scale=1.0,
            by_default=False,
        ),
        replace(
            SMALL,
            name="article",
            title="32x32, the article's settings",
            settings=ARTICLE_SETTINGS,
            **TO_MINUS_ONE,
            rounds=3,
            fastaug_settings={"dim_ordering": "default"},
            fastaug_pool=True,
        ),
        DIRECTORY,
        replace(
            DIRECTORY,
            name="directory-rescale",
            title="299x299 from JPEG files, the article's geometry and rescale",
            settings={**ARTICLE_GEOMETRY, "rescale": 1 / 255},
            scale=1 / 255,
            offset=0.0,
            by_default=False,
        ),
    )
}
