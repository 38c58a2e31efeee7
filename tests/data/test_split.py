"""Stratified, seeded splits."""

import numpy as np
import pytest

from dltool.data.split import limit_rows, stratified_split

LABELS = np.array([0] * 10 + [1] * 25 + [2] * 2 + [3])


def test_every_class_gives_its_share() -> None:
    train, valid = stratified_split(LABELS, 0.2, seed=0)
    # 10 * .2 = 2; 25 * .2 = 5; 2 * .2 = .4, at least one; a single row stays in training
    assert np.bincount(LABELS[valid], minlength=4).tolist() == [2, 5, 1, 0]
    assert sorted([*train, *valid]) == list(range(len(LABELS)))
    assert train.dtype == valid.dtype == np.int64


def test_halves_are_rounded_up_and_no_class_is_used_up() -> None:
    labels = np.repeat([0, 1], [5, 2])
    assert np.bincount(labels[stratified_split(labels, 0.5, 0)[1]]).tolist() == [3, 1]
    assert np.bincount(labels[stratified_split(labels, 0.99, 0)[1]]).tolist() == [4, 1]


def test_the_split_depends_on_the_seed_only() -> None:
    first, again, other = (stratified_split(LABELS, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_class_is_drawn_the_same_whatever_the_others_are() -> None:
    _, alone = stratified_split(LABELS[:10], 0.2, seed=3)
    _, together = stratified_split(LABELS, 0.2, seed=3)
    assert together[:2].tolist() == alone.tolist()


def test_the_rows_are_drawn_not_cut_off_the_end() -> None:
    _, valid = stratified_split(np.zeros(1000, np.int64), 0.2, seed=0)
    assert 400 < np.mean(valid) < 600


def test_no_fraction_holds_out_nothing() -> None:
    train, valid = stratified_split(LABELS, 0.0, seed=0)
    assert (len(train), len(valid)) == (38, 0)


@pytest.mark.parametrize("shape", [(10, 1), (10,), (10, 3)])
def test_regression_targets_are_drawn_alike(shape: tuple[int, ...]) -> None:
    train, valid = stratified_split(np.zeros(shape, np.float32), 0.25, seed=0)
    assert (len(train), len(valid)) == (7, 3)  # 2.5 rounded up


def test_a_limit_keeps_the_proportions_and_the_exact_number() -> None:
    rows = limit_rows(LABELS, 19)
    assert np.bincount(LABELS[rows]).tolist() == [5, 13, 1]  # shares 5, 12.5, 1, .5: the first half wins
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert limit_rows(LABELS, 100).tolist() == list(range(38))
    assert len(limit_rows(np.zeros((50, 2), np.float32), 7)) == 7
