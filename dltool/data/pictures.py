"""Arrays as PNG files. Imports numpy and Pillow."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def png_of(pixels: np.ndarray) -> bytes:
    """A PNG of (height, width, 1, 3 or 4) values from 0 to 255, which are rounded and cut to that."""
    values = np.rint(np.clip(np.nan_to_num(pixels), 0, 255)).astype(np.uint8)
    picture = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(picture, "PNG")
    return picture.getvalue()
