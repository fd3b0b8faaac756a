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
    """One comparison: a set of images, the generator's settings, a batch size.

    Attributes:
        name: The name on the command line.
        title: One line for people.
        size: Height and width of the images, in pixels.
        images: Number of photographs to make.
        from_files: Whether the images are files in class folders, and of any size until read.
        settings: Arguments of Keras's ImageDataGenerator.
        scale: Factor from a pixel of 0..255 to a pixel of the result.
        offset: What is added after the factor.
        batch_size: Images in a batch.
        quick_batch_size: Images in a batch of a quick run; None: as many as in any run.
        rounds: Rounds at most, unless the user asks for more; None: no limit.
        seconds: Least length of a round: large batches take some until their memory is in use.
        by_default: Whether it is run when no case is named.
        fastaug_settings: Further arguments, which only fastaug takes.
        fastaug_pool: Whether fastaug is given a process pool, as the article's code does.
    """

    name: str
    title: str
    size: int
    images: int
    settings: dict
    scale: float
    offset: float = 0.0
    from_files: bool = False
    batch_size: int = 32
    quick_batch_size: int | None = None
    rounds: int | None = None
    seconds: float = 0.4
    by_default: bool = True
    fastaug_settings: dict = field(default_factory=dict)
    fastaug_pool: bool = False


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

DIRECTORY = Case(
    name="directory",
    title="299x299 from JPEG files, the article's settings",
    size=299,
    images=384,
    from_files=True,
    settings=ARTICLE_SETTINGS,
    scale=2 / 255,
    offset=-1.0,
    batch_size=64,
    quick_batch_size=16,
    rounds=2,
    seconds=1.6,
)

CASES = {
    case.name: case
    for case in (
        Case(
            name="32",
            title="32x32, common settings",
            size=32,
            images=4096,
            settings=DEFAULT_SETTINGS,
            scale=1 / 255,
        ),
        Case(
            name="224",
            title="224x224, common settings",
            size=224,
            images=192,
            settings=DEFAULT_SETTINGS,
            scale=1 / 255,
            rounds=3,
            seconds=0.8,
            by_default=False,
        ),
        Case(
            name="224-cubic",
            title="224x224, common settings, cubic splines",
            size=224,
            images=192,
            settings={**DEFAULT_SETTINGS, "interpolation_order": 3},
            scale=1 / 255,
            rounds=3,
            seconds=0.8,
            by_default=False,
        ),
        Case(
            name="299",
            title="299x299, common settings",
            size=299,
            images=128,
            settings=DEFAULT_SETTINGS,
            scale=1 / 255,
            rounds=3,
            seconds=0.8,
        ),
        Case(
            name="299-uint8",
            title="299x299, common settings without rescaling, as bytes",
            size=299,
            images=128,
            settings={
                **{name: DEFAULT_SETTINGS[name] for name in DEFAULT_SETTINGS if name != "rescale"},
                "dtype": "uint8",
            },
            scale=1.0,
            rounds=3,
            seconds=0.8,
            by_default=False,
        ),
        Case(
            name="article",
            title="32x32, the article's settings",
            size=32,
            images=4096,
            settings=ARTICLE_SETTINGS,
            scale=2 / 255,
            offset=-1.0,
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
