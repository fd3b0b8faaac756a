"""Ops that move pixels."""

import dataclasses

import numpy as np

from fastaug.ops.base import Draws, Op, check_number, check_probability

__all__: list[str] = ["Perspective", "Rot90"]

_ORDERS = {"nearest": 0, "bilinear": 1}


@dataclasses.dataclass(frozen=True)
class Perspective(Op):
    """Looks at an image from another side: its corners move inwards, each by its own distance.

    As `torchvision.transforms.v2.RandomPerspective`, but for half of a pixel at the border of what
    'bilinear' shows: that is a blend with `fill`, which torchvision does twice. For uint8 and float
    images.

    Args:
        distortion_scale: How far corners move at most, in parts of half of the image: from 0 to 1.
        p: Probability with which an image is changed.
        interpolation: 'nearest' or 'bilinear'.
        fill: Value outside of the image, from 0 to 255.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If an argument is of another type.

    Example:
        >>> fastaug.Perspective(distortion_scale=0.3, p=1)(x[0], seed=1).shape
        (32, 32, 3)
    """

    distortion_scale: float = 0.5
    p: float = 0.5
    interpolation: str = "bilinear"
    fill: float = 0

    def __post_init__(self) -> None:
        check_number("distortion_scale", self.distortion_scale, 0, 1)
        check_probability(self.p)
        if self.interpolation not in tuple(_ORDERS):
            raise ValueError(
                f"`interpolation` should be one of {tuple(_ORDERS)}. Received: "
                f"interpolation={self.interpolation!r}"
            )
        check_number("fill", self.fill, 0, 255)

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return ("perspective",)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the first 8 numbers of the matrices, the order of interpolation and the fill."""
        corners = self.corners(draws.uniform(8), *draws.size)
        columns = np.empty((len(draws), 10))
        columns[:, :8] = _matrices(corners, *draws.size)
        columns[:, 8:] = _ORDERS[self.interpolation], self.fill
        return columns

    def corners(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns where the corners of images come to lie, float64 `(n, 4, 2)`.

        Upper left, upper right, lower right and lower left, each as (x, y), whole numbers.

        Args:
            numbers: Numbers in [0, 1), `(n, 8)`.
            height: Height of the images.
            width: Width of the images.
        """
        corners = numbers.reshape(-1, 4, 2).copy()
        for axis, side, far in (0, width, [1, 2]), (1, height, [2, 3]):
            bound = int(self.distortion_scale * (side // 2)) + 1
            corners[:, :, axis] = np.floor(corners[:, :, axis] * bound)
            corners[:, far, axis] += side - bound
        return corners


def _matrices(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns 8 numbers of each matrix that takes corners to those of the image, from its centre.

    The last number is 1. NaN: there is no such matrix.
    """
    # Heckbert, "Fundamentals of texture mapping and image warping" (1989), 2.2.3: from the unit
    # square to a quadrilateral; here without its divisions, as a matrix may have any scale
    a, b, c, d = corners.transpose(1, 2, 0)
    u, v, rest = b - c, d - c, a - b + c - d
    denominator = u[0] * v[1] - v[0] * u[1]
    g = rest[0] * v[1] - v[0] * rest[1]
    h = u[0] * rest[1] - rest[0] * u[1]
    first, second = (b - a) * denominator + g * b, (d - a) * denominator + h * d
    # in rows and columns; the columns of the matrix are the images of down, right and the origin
    down, right = np.array([second[1], second[0], h]), np.array([first[1], first[0], g])
    origin = np.array([a[1], a[0], np.ones(len(corners))]) * denominator
    down, right, origin = down.T / max(height - 1, 1), right.T / max(width - 1, 1), origin.T
    # the other way round, up to scale
    inverse = np.stack(
        [np.cross(right, origin), np.cross(origin, down), np.cross(down, right)], axis=1
    )
    centre = np.array([height / 2, width / 2])
    inverse[:, :, 2] += inverse[:, :, :2] @ centre
    inverse[:, :2] -= centre[:, np.newaxis] * inverse[:, 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        matrices = inverse.reshape(-1, 9) / inverse[:, 2, 2:]
    matrices[~np.isfinite(matrices).all(axis=1)] = np.nan
    return matrices[:, :8]


@dataclasses.dataclass(frozen=True)
class Rot90(Op):
    """Turns a square image by 0, 1, 2 or 3 quarters counterclockwise, each as likely.

    As `numpy.rot90` with a random `k`: exact. For uint8 and float images.

    Args:
        p: Probability with which one of the four is drawn.

    Raises:
        ValueError: If `p` is no probability; with images, if they are not square.

    Example:
        >>> fastaug.Rot90()(np.array([[1, 2], [3, 4]], dtype="uint8"), seed=1).shape
        (2, 2)
    """

    p: float = 1.0

    def __post_init__(self) -> None:
        check_probability(self.p)

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return ("affine",)

    def check_size(self, size: tuple[int, int]) -> None:
        """Raises a ValueError unless images are square."""
        if size[0] != size[1]:
            raise ValueError(f"{self!r} needs square images. Received images of {tuple(size)}")

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the matrices, the order of interpolation and the fill."""
        turns = np.floor(4 * draws.uniform(1)[:, 0]).astype(int)
        c, s = np.array([1.0, 0, -1, 0])[turns], np.array([0.0, 1, 0, -1])[turns]
        columns = np.zeros((len(draws), 8))
        columns[:, [0, 1, 3, 4]] = np.stack([c, s, -s, c], axis=1)
        return columns
