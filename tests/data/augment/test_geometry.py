"""Moves against the plain way, Pillow, and NumPy's own flips, turns and padding."""

import math

import numpy as np
import pytest
from PIL import Image

from dltool.data.augment import Augment, parse
from dltool.engine.batch import Batch
from tests.data.augment.plain import warped

RNG = np.random.default_rng(0)


def images(count=6, height=11, width=14, channels=3):
    return RNG.integers(0, 256, (count, height, width, channels), np.uint8)


def numbers_of(augment, count, epoch=3):
    """The random numbers of each operation, by its name."""
    drawn = augment.draw(epoch, np.arange(count))
    return {operation.name: u for operation, u in drawn.items() if operation is not None}


def augmented(augment, rows, epoch=3):
    return augment(Batch((rows,), rows=np.arange(len(rows))), epoch).inputs[0]


def test_flips_are_those_of_numpy():
    for text, axis in (("hflip", 1), ("vflip", 0)):
        rows, augment = images(40), Augment(parse(text))
        u, found = numbers_of(augment, 40)[text][:, 0], augmented(augment, rows)
        assert 10 < (u < 0.5).sum() < 30
        for before, after, number in zip(rows, found, u, strict=True):
            assert np.array_equal(after, np.flip(before, axis) if number < 0.5 else before)


def test_quarter_turns_are_those_of_numpy():
    rows, augment = images(40, 9, 9), Augment(parse("turn"))
    turns = np.floor(4 * numbers_of(augment, 40)["turn"][:, 1]).astype(int)
    assert set(turns) == {0, 1, 2, 3}
    for before, after, count in zip(rows, augmented(augment, rows), turns, strict=True):
        assert np.array_equal(after, np.rot90(before, count))


def test_an_oblong_image_is_turned_upside_down_or_not_at_all():
    rows = images(20)
    for before, after in zip(rows, augmented(Augment(parse("turn")), rows), strict=True):
        assert np.array_equal(after, before) or np.array_equal(after, np.rot90(before, 2))


@pytest.mark.parametrize(("text", "most"), [("crop=3", (3, 3)), ("shift=0.2", (2, 3)), ("crop=0.25", (3, 4))])
def test_crops_and_shifts_are_cuts_from_the_mirrored_image(text, most):
    rows, augment = images(60), Augment(parse(text))
    u = numbers_of(augment, 60)[text.partition("=")[0]]
    places = set()
    for before, after, (across, down) in zip(rows, augmented(augment, rows), u, strict=True):
        y, x = math.floor((2 * most[0] + 1) * down), math.floor((2 * most[1] + 1) * across)
        padded = np.pad(before, [(most[0], most[0]), (most[1], most[1]), (0, 0)], "reflect")
        assert np.array_equal(after, padded[y : y + 11, x : x + 14])
        places |= {("y", y), ("x", x)}
    assert len(places) == 2 * most[0] + 1 + 2 * most[1] + 1  # every place comes up


def rotate(u):
    angle = math.radians(-30 + 60 * u[0])
    return [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]


def zoom(u):
    return np.diag([1.4 ** (2 * u[0] - 1)] * 2 + [1])


def shear(u):
    return [[1, math.tan(math.radians(-20 + 40 * u[0])), 0], [math.tan(math.radians(-20 + 40 * u[1])), 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(("text", "matrix"), [("rotate=30", rotate), ("zoom=0.4", zoom), ("shear=20", shear)])
@pytest.mark.parametrize("channels", [1, 3])
def test_warps_are_those_of_the_plain_way(text, matrix, channels):
    rows, augment = images(channels=channels), Augment(parse(text))
    u = numbers_of(augment, 6)[text.partition("=")[0]]
    for before, after, number in zip(rows, augmented(augment, rows), u, strict=True):
        expected = warped(before, np.array(matrix(number)))
        assert np.abs(after - expected).max() <= 0.502  # rounded to whole levels


def test_several_warps_are_one_resampling_by_the_product_of_their_matrices():
    rows = images().astype(np.float32)
    augment = Augment(parse("rotate=30,zoom=0.4,shear=20,hflip,crop=2"))
    u = numbers_of(augment, 6)
    for row, (before, after) in enumerate(zip(rows, augmented(augment, rows), strict=True)):
        flip = np.diag([-1 if u["hflip"][row, 0] < 0.5 else 1, 1, 1])
        crop = np.eye(3)
        crop[:2, 2] = np.floor(5 * u["crop"][row]) - 2
        product = np.array(rotate(u["rotate"][row])) @ zoom(u["zoom"][row]) @ shear(u["shear"][row]) @ flip @ crop
        assert np.abs(after - warped(before, product)).max() < 5e-3


def test_a_rotation_agrees_with_pillow_inside_the_image():
    rows, augment = RNG.random((1, 40, 40, 1)).astype(np.float32) * 255, Augment(parse("rotate=30"))
    matrix = np.array(rotate(numbers_of(augment, 1)["rotate"][0]))
    # Pillow counts from the corner of the first pixel.
    to_centre = np.array([[1, 0, -20], [0, 1, -20], [0, 0, 1]])
    pillow = np.linalg.inv(to_centre) @ matrix @ to_centre
    picture = Image.fromarray(rows[0, :, :, 0])
    turned = picture.transform(
        (40, 40), Image.Transform.AFFINE, pillow[:2].reshape(-1).tolist(), Image.Resampling.BILINEAR
    )
    inner = (slice(10, 30), slice(10, 30))
    assert np.abs(augmented(augment, rows)[0, :, :, 0][inner] - np.asarray(turned)[inner]).max() < 0.05


def test_a_positive_angle_turns_against_the_clock():
    """A dot on the right goes up."""
    rows = np.zeros((30, 21, 21, 1), np.float32)
    rows[:, 10, 18] = 255
    augment = Augment(parse("rotate=40"))
    up = numbers_of(augment, 30)["rotate"][:, 0] > 0.6
    places = augmented(augment, rows).argmax(axis=1).max(axis=1)[:, 0]
    assert (places[up] < 10).all()
