"""The views of test-time augmentation."""

import numpy as np
import pytest

from dltool.data.augment import parse
from dltool.data.augment.views import shifted, views

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("rotate,brightness", 1),
        ("hflip", 2),
        ("hflip,vflip", 4),
        ("turn", 4),
        ("turn,hflip,vflip", 8),
        ("crop=4", 3),
        ("medium", 6),
        ("top-down", 24),
    ],
)
def test_views_are_what_training_did(text, count):
    images = RNG.integers(0, 256, (2, 16, 16, 3), np.uint8)
    found = [view(images) for view in views(parse(text), (16, 16))]
    assert np.array_equal(found[0], images)
    assert len(found) == count == len({view.tobytes() for view in found})
    assert all(view.shape == images.shape for view in found)


def test_oblong_images_are_not_laid_on_their_side():
    images = RNG.integers(0, 256, (2, 8, 16, 1), np.uint8)
    found = [view(images) for view in views(parse("turn"), (8, 16))]
    assert len(found) == 2 and np.array_equal(found[1], images[:, ::-1, ::-1])


def test_a_shifted_image_is_mirrored_at_its_border():
    image = np.arange(12).reshape(1, 3, 4, 1)
    assert shifted(image, 1)[0, :, :, 0].tolist() == [[5, 4, 5, 6], [1, 0, 1, 2], [5, 4, 5, 6]]
    assert shifted(image, -1)[0, :, :, 0].tolist() == [[5, 6, 7, 6], [9, 10, 11, 10], [5, 6, 7, 6]]
