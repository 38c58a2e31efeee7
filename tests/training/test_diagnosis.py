"""Curves as they come out of real trainings, drawn by formula, and what a teacher would say to them."""

import math

import pytest

from dltool.training.diagnosis import diagnose


def curves(loss, val=None, accuracy=None, val_accuracy=None, epochs=20, rate=0.001):
    """A history from functions of the epoch, counted from 1."""
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "loss": loss(epoch), "learning_rate": rate}
        for name, curve in (("val_loss", val), ("accuracy", accuracy), ("val_accuracy", val_accuracy)):
            if curve is not None:
                row[name] = curve(epoch)
        rows.append(row)
    return rows


def good(epoch):
    return 0.1 + 1.5 * math.exp(-epoch / 2.5)


def wave(epoch):
    return (-1) ** epoch


CASES = {
    "a training as it should be": (curves(good, lambda e: good(e) + 0.03), None),
    "the same with a little noise": (curves(lambda e: good(e) + 0.01 * wave(e), lambda e: good(e) + 0.04), None),
    "good accuracy although the loss is high": (curves(lambda e: 0.9 + good(e), accuracy=lambda e: 0.97), None),
    "validation turns round": (curves(lambda e: 1 / e, lambda e: 0.5 + 0.02 * abs(e - 6)), "overfit"),
    "stopped three epochs after its best": (
        curves(lambda e: math.exp(-e / 3), lambda e: 0.4 + 0.05 * abs(e - 9), epochs=12),
        "overfit",
    ),
    "validation stands still far above": (
        curves(lambda e: math.exp(-e / 4), lambda e: 0.6, lambda e: 1 - 0.5 / e, lambda e: 0.75),
        "overfit",
    ),
    "up and down": (curves(lambda e: 2 + 0.8 * wave(e)), "oscillating"),
    "up and down while it falls": (curves(lambda e: 2 / e**0.5 + 0.4 * wave(e)), "oscillating"),
    "only up": (curves(lambda e: 1 + 0.3 * e), "oscillating"),
    "a slow straight line": (curves(lambda e: 2.3 - 0.01 * e, lambda e: 2.31 - 0.01 * e), "slow"),
    "stands still at a bad value": (
        curves(lambda e: 1.2 + math.exp(-e), lambda e: 1.22 + math.exp(-e), lambda e: 0.5),
        "underfit",
    ),
    "stands still where it began": (curves(lambda e: 2.3 + 0.001 * wave(e)), "underfit"),
    "ended too early": (
        curves(lambda e: 2 * math.exp(-e / 6), lambda e: 2.1 * math.exp(-e / 6), epochs=8),
        "unfinished",
    ),
    "too short to say": (curves(lambda e: 5.0 - wave(e), epochs=3), None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_diagnosis_is_a_teachers(name):
    history, kind = CASES[name]
    found = diagnose(history)
    assert (found and found.kind) == kind


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("up and down", "oscillating: try a tenth of the rate (--lr 1e-04)"),
        ("a slow straight line", "slow: try ten times the rate (--lr 1e-02)"),
        ("validation turns round", "overfit since epoch 6: more data, augmentation, L2, then dropout"),
        ("validation stands still far above", "overfit: more data, augmentation, L2, then dropout"),
        ("stands still where it began", "underfit: a bigger model, more epochs, or a restart with a higher --lr"),
        ("ended too early", "still improving: more epochs would help"),
    ],
)
def test_it_says_what_to_try(name, words):
    found = diagnose(CASES[name][0])
    assert found.words == words
    assert len(f"diagnosis  {words}") <= 85
