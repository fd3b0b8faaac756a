"""OpenCV, where there is one whose results are known, of whatever distribution.

It is an extra: pip would put one distribution's `cv2` over another's without a word. Without one,
Pillow decodes every file, to the same pixels.
"""

import functools
import re
from typing import Any

# The oldest that the tests decode with; the lower bound of the extra `opencv`.
OLDEST = (4, 11)

# Before it, `warpAffine` takes coordinates in steps of 1/32 pixel: up to 6 levels from SciPy.
OLDEST_WARP = (5, 0)


def find() -> Any:
    """Returns the module `cv2` to decode with, or None: there is none, or an old or broken one."""
    cv2, version, _ = _found()
    return cv2 if version >= OLDEST else None


def require() -> Any:
    """Returns the module `cv2` to warp with.

    Raises:
        ImportError: If there is none, or an old or broken one.
    """
    cv2, version, about = _found()
    if version < OLDEST_WARP:
        raise ImportError(
            f'warp="opencv" needs OpenCV, a `cv2` of version {OLDEST_WARP[0]} or newer: {about}. '
            "`pip install -U opencv-python-headless` brings one, or -U with the name of the "
            "distribution that you have; the default warp needs none."
        )
    return cv2


@functools.cache
def _found() -> tuple[Any, tuple[int, ...], str]:
    """Returns the module, the first numbers of its version, and what there is, in words."""
    try:
        import cv2
    except Exception as error:  # libraries of the system that it lacks, another NumPy's build
        return None, (), f"`import cv2` fails: {error}"
    # what remains of an uninstalled one may be a folder without anything to import
    version = str(getattr(cv2, "__version__", ""))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        return cv2, (), "the one that is there has no version"
    return cv2, tuple(map(int, numbers.groups())), f"the one that is there is of version {version}"
