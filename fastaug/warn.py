"""Warnings that name the line that called the package, however deep in it they arise."""

import os
import sys
import warnings

_PACKAGE = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120 (a prefix)


class UsageWarning(UserWarning):
    """Says that settings and data are surely not meant so, and what to write in their place.

    Of this class is what Keras is silent about; its own warnings are as they are there.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("ignore", fastaug.UsageWarning)
    """


def warn(message, category=UserWarning):
    """Warns as `warnings.warn` does, of the first caller outside the package.

    Args:
        message: Text.
        category: Class of the warning.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
