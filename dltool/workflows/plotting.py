"""Pictures of curves, with matplotlib, which is there only where the extra ``plot`` is installed."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from dltool.errors import UsageError
from dltool.modelfile.atomic import check_target, replacing
from dltool.training.range_test import RangeTest, Suggestions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf")


def check_plot(path: str, overwrite: bool) -> None:
    """Raises UsageError for another kind of file or without matplotlib, OutputError when it cannot be written."""
    if not path.lower().endswith(PICTURES):
        raise UsageError(f"--plot: {path} is none of {', '.join(PICTURES)}; name it so")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("--plot: needs matplotlib; install it with pip install 'dltool[plot]'") from None
    check_target(path, overwrite=overwrite)


def save(figure: Figure, path: str) -> None:
    """Write a figure, whole or not at all, in the format that the name says. Raises OutputError."""
    picture = io.BytesIO()
    figure.savefig(picture, format=os.path.splitext(path)[1][1:].lower(), dpi=150)
    with replacing(path, len(picture.getvalue())) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(picture.getvalue())


def learning_rate_curve(test: RangeTest, suggestions: Suggestions, path: str) -> None:
    """Losses over the rates of a range test, with the suggestions. Raises OutputError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(test.rates, test.losses, color="0.8", label="batch")
    axes.semilogx(test.rates, test.smoothed, label="smoothed")
    for place, (name, rate) in enumerate(asdict(suggestions).items()):
        axes.axvline(rate, color=f"C{place + 1}", linestyle="--", label=f"{name} {rate:.2e}")
    lowest, first = test.smoothed.min(), test.smoothed[0]
    axes.set_ylim(lowest - 0.1 * (first - lowest), first + 0.5 * (first - lowest))
    axes.set(xlabel="learning rate", ylabel="loss")
    axes.legend()
    save(figure, path)


def training_curves(history: Sequence[dict[str, float]], path: str) -> None:
    """Curves of the loss and of each metric over the epochs, training and validation together.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    every = dict.fromkeys(name for row in history for name in row if name not in ("epoch", "learning_rate"))
    panels = [name for name in every if not name.startswith("val_")]
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in every:
                axes.plot(epochs, [row.get(key, math.nan) for row in history], label=label)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(name.replace("_", " "))
        axes.grid(alpha=0.3)
        axes.legend()
    save(figure, path)
