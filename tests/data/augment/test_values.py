"""Colours, hidden parts and RandAugment against plain arithmetic and Pillow."""

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from dltool.data.augment import Augment, parse
from dltool.data.augment.randaugment import CHANGES, RandAugment
from tests.data.augment.plain import warped
from tests.data.augment.test_geometry import augmented, images, numbers_of


def test_brightness_contrast_and_saturation_are_their_formulas():
    rows, augment = images(), Augment(parse("brightness=0.3,contrast=0.5,saturation=0.4"))
    u = numbers_of(augment, 6)
    for row, (before, after) in enumerate(zip(rows, augmented(augment, rows), strict=True)):
        x = before + (0.6 * u["brightness"][row, 0] - 0.3) * 255
        mean = x.mean(axis=(0, 1))
        x = mean + (0.5 + u["contrast"][row, 0]) * (x - mean)
        grey = (x @ (0.299, 0.587, 0.114))[..., None]
        x = grey + (0.6 + 0.8 * u["saturation"][row, 0]) * (x - grey)
        assert np.abs(after - np.clip(x, 0, 255)).max() <= 0.502


def test_numbers_keep_their_range():
    rows = images().astype(np.float32) / 255
    augment = Augment(parse("brightness=0.5,contrast=0.9"), span=(0.0, 1.0))
    found = augmented(augment, rows)
    assert found.dtype == np.float32 and found.min() == 0 and found.max() == 1
    mean = rows.mean(axis=(1, 2), keepdims=True)
    quiet = augmented(Augment(parse("contrast=0.5"), span=(-9.0, 9.0)), rows)
    assert np.allclose(quiet.mean(axis=(1, 2), keepdims=True), mean, atol=1e-5)


def test_cutout_hides_a_square_around_any_pixel_with_the_mean_colour():
    rows, augment = images(200), Augment(parse("cutout=5"))
    u, hidden = numbers_of(augment, 200)["cutout"], 0
    for before, after, (down, across) in zip(rows, augmented(augment, rows), u, strict=True):
        expected, y, x = before.copy(), math.floor(11 * down), math.floor(14 * across)
        expected[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = np.rint(before.mean(axis=(0, 1)))
        assert np.abs(after.astype(int) - expected).max() <= 1
        hidden += (after != before).any(axis=-1).sum()
    assert 10 < hidden / 200 < 25


def test_erasing_hides_rectangles_of_one_colour():
    rows, augment = images(300, 30, 40), Augment(parse("erase=0.25"))
    drawn = numbers_of(augment, 300)["erase"]
    erased = 0
    for before, after, u in zip(rows, augmented(augment, rows), drawn, strict=True):
        changed = (after != before).any(axis=-1)
        if u[0] >= 0.25:
            assert not changed.any()
            continue
        erased += 1
        tall, wide = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        box = after[tall[0] : tall[-1] + 1, wide[0] : wide[-1] + 1]
        assert (box == np.rint(255 * u[5:8])).all()
        area, ratio = 0.02 + 0.31 * u[1], 0.3 ** (1 - 2 * u[2])
        assert box.shape[0] == min(30, round(math.sqrt(1200 * area * ratio)))
        assert box.shape[1] == min(40, round(math.sqrt(1200 * area / ratio)))
    assert 50 < erased < 100


PILLOW = {
    "brightness": lambda picture, sign: ImageEnhance.Brightness(picture).enhance(1 + sign * 0.27),
    "colour": lambda picture, sign: ImageEnhance.Color(picture).enhance(1 + sign * 0.27),
    "contrast": lambda picture, sign: ImageEnhance.Contrast(picture).enhance(1 + sign * 0.27),
    "posterize": lambda picture, sign: ImageOps.posterize(picture, 7),
    "solarize": lambda picture, sign: ImageOps.solarize(picture, 229.5),
    "autocontrast": lambda picture, sign: ImageOps.autocontrast(picture),
    "nothing": lambda picture, sign: picture,
}


@pytest.mark.parametrize("name", PILLOW)
def test_the_colour_changes_of_randaugment_are_pillows(name):
    rows = images(4, 20, 20) // 2 + 40
    planes = np.ascontiguousarray(np.moveaxis(rows, -1, 0), np.float32)
    place = (CHANGES.index(name) + 0.5) / len(CHANGES)
    RandAugment(1, 9).recolour(planes, np.array([[place, 0.2], [place, 0.7]] * 2), (0.0, 255.0))
    found = np.moveaxis(np.clip(planes, 0, 255), 0, -1)
    for before, after, sign in zip(rows, found, (-1, 1, -1, 1), strict=True):
        expected = np.asarray(PILLOW[name](Image.fromarray(before), sign)).astype(float)
        # Pillow rounds grey and the mean to whole levels, and cuts off instead of rounding.
        assert np.abs(after - expected).max() <= 1.6


@pytest.mark.parametrize("name", ["shear x", "shear y", "shift x", "shift y", "rotate"])
def test_the_moves_of_randaugment_are_the_matrices_of_torchvision(name):
    rows, place = images(), (CHANGES.index(name) + 0.5) / len(CHANGES)
    matrices = RandAugment(1, 9).matrices(np.array([[place, 0.2], [place, 0.7]]), (11, 14))
    angle = math.radians(9)
    expected = {
        "shear x": [[1, 0.09, 0], [0, 1, 0], [0, 0, 1]],
        "shear y": [[1, 0, 0], [0.09, 1, 0], [0, 0, 1]],
        "shift x": [[1, 0, 150 / 331 * 14 * 0.3], [0, 1, 0], [0, 0, 1]],
        "shift y": [[1, 0, 0], [0, 1, 150 / 331 * 11 * 0.3], [0, 0, 1]],
        "rotate": [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]],
    }[name]
    assert np.allclose(matrices[1], expected)
    assert np.allclose(matrices[0] @ matrices[1], np.eye(3), atol=0.01)  # the other way
    assert warped(rows[0], matrices[1]).shape == rows[0].shape


def test_randaugment_draws_every_change():
    augment = Augment(parse("randaugment=2:9"))
    which = np.floor(numbers_of(augment, 300)["randaugment"][:, ::2] * len(CHANGES))
    assert set(which.reshape(-1).astype(int)) == set(range(len(CHANGES)))
