"""A contact sheet: what augmentation makes of some images. Imports numpy, Pillow and ``dltool.engine.batch``."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from dltool.data.augment.pipeline import Augment
from dltool.data.dataset import Dataset

ROWS, COLUMNS = 8, 8
GAP = 4
TILE = 96
"""Pixels that a small image is enlarged to."""
SAMPLED = 256


def value_span(dataset: Dataset) -> tuple[float, float]:
    """The lowest and highest value that a pixel may have: 0..255 for bytes, else judged by some rows.

    Numbers within 0..1 or 0..255 are taken to have that range; others that of the rows looked at.
    """
    first = dataset.fetch(np.array([0])).inputs[0]
    if first.dtype == np.uint8:
        return 0.0, 255.0
    rows = np.unique(np.linspace(0, len(dataset) - 1, SAMPLED).astype(np.int64))
    values = dataset.fetch(rows).inputs[0]
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 255:
        return 0.0, 1.0 if high <= 1 else 255.0
    return low, high


def contact_sheet(dataset: Dataset, augment: Augment) -> bytes:
    """A PNG: one row for each of eight images, the original first, then how it looks in epochs 1 to 7."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, ROWS).astype(np.int64))
    batch = dataset.fetch(chosen)
    columns = [batch.inputs[0], *(augment(batch, epoch, chosen).inputs[0] for epoch in range(1, COLUMNS))]
    tiles = np.stack([visible(images, augment.span) for images in columns], axis=1)
    rows, count, height, width, _ = tiles.shape
    factor = max(1, -(-TILE // max(height, width)))
    tiles = tiles.repeat(factor, axis=2).repeat(factor, axis=3)
    step_y, step_x = height * factor + GAP, width * factor + GAP
    sheet = np.full((rows * step_y + GAP, count * step_x + GAP, 3), 255, np.uint8)
    for row in range(rows):
        for column in range(count):
            top, left = GAP + row * step_y, GAP + column * step_x
            sheet[top : top + height * factor, left : left + width * factor] = tiles[row, column]
    picture = io.BytesIO()
    Image.fromarray(sheet).save(picture, "PNG")
    return picture.getvalue()


def visible(images: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """(n, height, width, 3) uint8: values of ``span`` as 0..255; one channel as grey, of others the first three."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.shape[-1] < 3:
        images = images[..., :1].repeat(3, axis=-1)
    images = images[..., :3]
    if images.dtype == np.uint8:
        return images
    scaled = (images - span[0]) * (255 / max(span[1] - span[0], 1e-12))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
