"""Augmentations the plain way: one image, one pixel at a time, in float64."""

import math

import numpy as np


def mirrored(place: float, side: int) -> float:
    """A coordinate folded back until it lies on the image."""
    while not 0 <= place <= side - 1:
        place = -place if place < 0 else 2 * (side - 1) - place
    return place


def warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """An image (height, width, channels) resampled by a matrix in pixels from its centre."""
    height, width, _ = image.shape
    result = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            x, y, _ = matrix @ (column - (width - 1) / 2, row - (height - 1) / 2, 1)
            x, y = mirrored(x + (width - 1) / 2, width), mirrored(y + (height - 1) / 2, height)
            left, top = math.floor(x), math.floor(y)
            for other_row, down in ((top, 1 - y + top), (min(top + 1, height - 1), y - top)):
                for other_column, across in ((left, 1 - x + left), (min(left + 1, width - 1), x - left)):
                    result[row, column] += down * across * image[other_row, other_column]
    return result
