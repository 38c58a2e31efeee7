"""Rows that are joined, and the share that labels follow."""

import numpy as np
import pytest

from dltool.data.augment import Augment, parse
from dltool.data.augment.mixing import beta
from dltool.engine.batch import Batch

U = (np.arange(100_000) + 0.5) / 100_000


def flat_rows(count=50, side=12):
    """Images of one value each, so that a mean tells the shares."""
    values = np.arange(count, dtype=np.float32) * 4
    return np.broadcast_to(values[:, None, None, None], (count, side, side, 3)).copy(), np.arange(count)


@pytest.mark.parametrize("text", ["mixup=0.4", "cutmix=1", "mixup=0.4,cutmix=1"])
def test_the_share_of_the_labels_is_that_of_the_pixels(text):
    rows, labels = flat_rows()
    batch = Augment(parse(text))(Batch((rows,), (labels,), rows=labels), 1)
    share, other = batch.mixed.share, np.roll(rows, -1, axis=0)[:, 0, 0, 0]
    assert np.array_equal(batch.mixed.targets[0], np.roll(labels, -1))
    assert np.array_equal(batch.targets[0], labels)
    expected = share * rows[:, 0, 0, 0] + (1 - share) * other
    assert np.allclose(batch.inputs[0].mean(axis=(1, 2, 3)), expected, atol=1e-3)
    assert len(np.unique(share)) > 15 and share.min() >= 0 and share.max() <= 1


def test_cutmix_takes_one_rectangle_and_mixup_everything():
    rows, labels = flat_rows()
    batch = Batch((rows,), (labels,), rows=labels)
    patched = Augment(parse("cutmix"))(batch, 1).inputs[0]
    for row in range(49):
        taken = patched[row, ..., 0] == rows[row + 1, 0, 0, 0]
        assert (taken | (patched[row, ..., 0] == rows[row, 0, 0, 0])).all()
        assert taken.sum() == taken.any(axis=0).sum() * taken.any(axis=1).sum()
    blended = Augment(parse("mixup"))(batch, 1).inputs[0]
    assert (blended.max(axis=(1, 2, 3)) == blended.min(axis=(1, 2, 3))).all()
    assert rows.dtype == blended.dtype == np.float32


def test_bytes_are_rounded_and_tables_can_be_mixed():
    rows = np.array([[0, 100], [255, 100]], np.uint8)
    batch = Augment(parse("mixup=5"))(Batch((rows,), (np.array([0, 1]),), rows=np.arange(2)), 0)
    share = batch.mixed.share
    assert batch.inputs[0].dtype == np.uint8
    assert batch.inputs[0].tolist() == [[round(255 * (1 - share[0])), 100], [round(255 * share[1]), 100]]


def test_shares_follow_the_beta_distribution():
    assert np.allclose(beta(1.0, U), U, atol=1e-6)
    assert np.allclose(beta(0.5, U), np.sin(np.pi * U / 2) ** 2, atol=1e-5)  # the arcsine distribution
    for alpha in (0.1, 0.2, 0.4, 2.0, 8.0):
        values = beta(alpha, U)
        assert (np.diff(values) >= 0).all()
        assert values.mean() == pytest.approx(0.5, abs=1e-6)
        assert values.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=1e-3)
