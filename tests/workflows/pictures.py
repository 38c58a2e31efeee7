"""Small generated data for the tests of the workflows."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image


def picture_folder(root: Path, classes: dict[str, int], per_class: int = 8, size: int = 8, seed: int = 0) -> Path:
    """``root/NAME/0.png ...``: grey noise around each class's brightness."""
    random = np.random.default_rng(seed)
    for name, brightness in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            noise = random.integers(-20, 21, (size, size))
            pixels = np.clip(brightness + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def table(folder: Path, name: str, x: np.ndarray, y: np.ndarray) -> Path:
    """``folder/x_NAME.npy`` with its labels beside it."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"x_{name}.npy", x)
    np.save(folder / f"y_{name}.npy", y)
    return folder / f"x_{name}.npy"


DARK_AND_BRIGHT = {"dark": 40, "mid": 128, "bright": 215}

CLOSE = {"dark": 80, "mid": 128, "bright": 176}
"""Brightness of classes that a model often tells apart: noise of +-20 in each pixel, and of the whole picture below."""


def uneven(root: Path, classes: dict[str, int], per_class: int, seed: int, shift: int = 0) -> Path:
    """Pictures whose brightness scatters around their class's, so that some are told wrongly."""
    random = np.random.default_rng(seed)
    for name, brightness in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            level = brightness + shift + random.normal(0, 16)
            pixels = np.clip(level + random.integers(-20, 21, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def pool(folder: Path, seed: int, shift: int = 0, per_class: int = 120) -> Path:
    """``folder/dark-7.png``: unlabelled, but the name tells."""
    uneven(folder / "by_class", CLOSE, per_class, seed, shift)
    for name in CLOSE:
        for path in (folder / "by_class" / name).iterdir():
            path.rename(folder / f"{name}-{path.name}")
    shutil.rmtree(folder / "by_class")
    return folder
