"""Size and colour for images that come without a model: read from the headers, nothing is decoded.

Imports numpy, Pillow (through ``images``) and ``dltool.errors``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dltool.data.images import (
    FORMATS,
    check_pixels,
    check_regular,
    explain,
    is_grey,
    silence_pillow,
    stored_turn,
    unusual_kinds,
)
from dltool.data.parallel import map_in_order
from dltool.errors import DataError

ROUNDING = 32
UNUSUAL = {
    "cmyk": "{} converted from CMYK",
    "deep": "{} scaled from 16 bits to 8",
    "transparent": "{} laid over white where transparent",
    "animated": "{} read by the first frame only",
    "turned": "{} turned upright as the camera says (EXIF)",
}
"""Kinds of images that are read in a way the user should know of, with the sentence that says it."""
_TURNED = frozenset((5, 6, 7, 8))


@dataclass(frozen=True)
class Headers:
    """What the headers of some images say.

    Attributes:
        sizes: (n, 2) int64 upright height and width; zeros where ``errors`` has an entry.
        grey: (n,) bool, the file stores no colour.
        errors: position -> what is wrong with that file.
        unusual: kind of image (a key of ``UNUSUAL``) -> how many there are.
    """

    sizes: np.ndarray
    grey: np.ndarray
    errors: dict[int, DataError]
    unusual: Counter[str]

    @property
    def good_rows(self) -> np.ndarray:
        """(m,) int64 positions without an error."""
        return np.setdiff1d(np.arange(len(self.sizes)), list(self.errors)).astype(np.int64)


def read_header(path: str) -> tuple[int, int, bool]:
    """(height, width, is grey) of one image. Raises DataError as ``ImageReader.read`` does."""
    return look_at(path)[:3]


def look_at(path: str) -> tuple[int, int, bool, tuple[str, ...]]:
    """(height, width, is grey, keys of ``UNUSUAL``) of one image. Raises DataError as ``ImageReader.read`` does."""
    check_regular(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            check_pixels(image, path)
            width, height = image.size
            turn = stored_turn(image)
            if turn in _TURNED:
                width, height = height, width
            return height, width, is_grey(image), unusual_kinds(image)
    except DataError:
        raise
    except Exception as error:  # see ImageReader.read
        raise DataError(f"{path}: {explain(error, path)}") from error


def unusual_notes(counts: Mapping[str, int]) -> list[str]:
    """One sentence for each kind of image that is there."""
    found = []
    for kind, sentence in UNUSUAL.items():
        if counts.get(kind):
            found.append(sentence.format(f"{counts[kind]:,} {'image' if counts[kind] == 1 else 'images'}"))
    return found


def read_headers(paths: Sequence[str], workers: int) -> Headers:
    """The headers of many files, read in threads (which pays on slow disks; 60,000 small local files take 2 s)."""
    silence_pillow()
    sizes, grey, errors = np.zeros((len(paths), 2), np.int64), np.zeros(len(paths), bool), {}
    unusual: Counter[str] = Counter()
    for row, result in enumerate(map_in_order(look_at, paths, workers, chunk=256)):
        if isinstance(result, DataError):
            errors[row] = result
        else:
            sizes[row], grey[row] = result[:2], result[2]
            unusual.update(result[3])
    return Headers(sizes, grey, errors, unusual)


def decide_size(sizes: np.ndarray) -> tuple[tuple[int, int], str | None]:
    """The size for (n, 2) heights and widths: the common one, else the median rounded to a multiple of 32.

    Returns:
        (height, width) and, when sizes differ, a sentence for the user.
    """
    low, high = sizes.min(axis=0), sizes.max(axis=0)
    if (low == high).all():
        return (int(low[0]), int(low[1])), None
    median = np.median(sizes, axis=0)
    height, width = (max(ROUNDING, int(side / ROUNDING + 0.5) * ROUNDING) for side in median)
    note = (
        f"image sizes differ ({low[0]}x{low[1]} to {high[0]}x{high[1]}); all become {height}x{width}, "
        "the rounded median (--image-size HxW to choose)"
    )
    return (height, width), note
