"""``dltool pseudo-label --rounds``: label the pool, train with the list, label again with what came out.

Nothing is trained or labelled here: each round is what ``pseudo-label`` and ``fit --extra`` do. Every training begins
anew (the labels of a model pull its own weights towards its own mistakes), except where the weights have been trained
elsewhere, by ``finetune`` or by another program: those go on.

Sources: D.-H. Lee, Pseudo-label, 2013; training anew in every round: Xie, Luong, Hovy and Le, Self-training with noisy
student, 2020.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any, get_type_hints

from dltool.errors import DataError, DivergedError, ShortError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import check_model_target, write
from dltool.settings import BuildSettings, FitSettings, PseudoLabelSettings
from dltool.training.callbacks import Events
from dltool.workflows import build, fit, pseudo_label
from dltool.workflows.fitting.augmenting import augment_for
from dltool.workflows.fitting.run_record import fits
from dltool.workflows.pseudo_labels.path_lists import write_list
from dltool.workflows.pseudo_labels.result import PseudoLabelResult, Round
from dltool.workflows.pseudo_labels.scoring import Examined, Progress, examine

LEAST_EPOCHS = 5
"""Of a training with the list, if the model's own had so many: its rows are many and differ."""
TAKEN = (
    "batch_size",
    "schedule",
    "warmup",
    "early_stop",
    "min_delta",
    "monitor",
    "class_weight",
    "balance",
    "decision_threshold",
    "augment",
    "ema",
    "seed",
    "shuffle",
    "exact",
)
"""What a training takes from the model's own; loss, optimizer and rate are in its compile step."""


class RoundEvents(Events):
    """Events of the trainings, and of the rounds."""

    def round_begin(self, result: PseudoLabelResult, number: int, epochs: int) -> None:
        """The pool is labelled; ``epochs`` of training with the list begin."""

    def round_end(self, found: Round) -> None:
        """The new model is measured."""

    def stopped(self, text: str) -> None:
        """A signal ended the command."""


@dataclass(frozen=True)
class Kept:
    """The best so far: a model, how it does on the validation rows, and the list that it was trained with, if any."""

    path: str
    saved: SavedModel
    examined: Examined
    result: PseudoLabelResult | None = None


def run(
    settings: PseudoLabelSettings, progress: Progress | None = None, events: RoundEvents | None = None
) -> PseudoLabelResult:
    """Up to ``settings.rounds`` rounds; write the last good model, its list and links.

    A round that makes the model worse on the validation rows is the last one, and what was there before it is kept:
    right on fewer of them, or on as many and less sure of it (log loss after calibration). After each good round the
    model and the list are written, so that a signal loses one round only.

    Raises:
        ShortError: the first training already made the model worse; nothing is written.
        UsageError: ``augment`` does not fit the rows.
        DivergedError: the first training diverged. KeyboardInterrupt, SystemExit: a signal came.
        Also what ``pseudo_label.run`` and ``fit.run`` raise in the first round.
    """
    events = events or RoundEvents()
    check(settings)
    task = pseudo_label.prepared(settings)
    augment_for(settings.augment, 0, task.known.opened.train)
    first = Kept(settings.model, task.saved, examine(settings, task.saved, task.known.validation))
    with TemporaryDirectory(prefix="dltool-") as folder:
        kept, rounds, stop = repeat(settings, task, first, folder, progress, events)
    if kept.result is None:
        raise ShortError(f"{settings.model}: {stop}, so nothing was written; give more --val rows, or --min-precision")
    notes = (*kept.result.notes, f"{stop}; what was there before it is kept") if stop else kept.result.notes
    result = replace(kept.result, rounds=tuple(rounds), notes=notes)
    pseudo_label.link_result(task, result)
    return result


def repeat(
    settings: PseudoLabelSettings,
    task: pseudo_label.Task,
    kept: Kept,
    folder: str,
    progress: Progress | None,
    events: RoundEvents,
) -> tuple[Kept, list[Round], str]:
    """The rounds: the best there was, what became of each, and why they ended early, "" where they did not."""
    rounds: list[Round] = []
    for number in range(1, settings.rounds + 1):
        try:
            new = one_round(settings, task, kept, number, folder, progress, events)
        except (ShortError, DataError, DivergedError) as error:
            if kept.result is None:
                raise
            reason = str(error).replace(kept.path, "its model").partition("; ")[0]
            return kept, rounds, f"round {number} ended early ({reason})"
        except (KeyboardInterrupt, SystemExit):
            there = f"{settings.train_to} is that of round {number - 1}" if kept.result else "nothing was written"
            events.stopped(f"stopped in round {number}; {there}")
            raise
        is_kept = new.examined.merit >= kept.examined.merit
        rounds.append(Round(number, len(new.result.rows), kept.examined.accuracy, new.examined.accuracy, is_kept))
        events.round_end(rounds[-1])
        if not is_kept:
            return kept, rounds, worsened(rounds[-1])
        kept = new
        write_kept(settings, kept, settings.force or number > 1)
    return kept, rounds, ""


def worsened(found: Round) -> str:
    if found.after < found.before:
        return f"round {found.number} is right on fewer validation rows ({found.before:.3f} -> {found.after:.3f})"
    return f"round {found.number} is less sure of as many validation rows ({found.after:.3f} right)"


def check(settings: PseudoLabelSettings) -> None:
    """Raise what can be found out without opening the model."""
    pseudo_label.check(settings)
    if settings.train_to is None:
        raise UsageError("--rounds: needs --train-to FILE, a name for the model that is trained")
    if not settings.data.data:
        raise UsageError("--train-to: needs --data; give the labelled rows that the list is added to")
    check_model_target(settings.train_to, overwrite=settings.force)
    if settings.output is not None and os.path.abspath(settings.output) == os.path.abspath(settings.train_to):
        raise UsageError("--train-to: is the same file as -o, which gets the list; give another name")


def one_round(
    settings: PseudoLabelSettings,
    task: pseudo_label.Task,
    kept: Kept,
    number: int,
    folder: str,
    progress: Progress | None,
    events: RoundEvents,
) -> Kept:
    """Label with the model, train with the list, measure what came out."""
    result = pseudo_label.label(replace(settings, model=kept.path), task, kept.examined, progress)
    listed, path = os.path.join(folder, f"{number}.csv"), os.path.join(folder, f"{number}.h5")
    write_list([(os.path.abspath(name), label, weight) for name, label, weight in result.rows], listed, True)
    wanted = training(settings, task, len(result.rows), number, listed, path)
    events.round_begin(result, number, wanted.epochs)
    fit.run(wanted, events)
    saved = read(path, with_state=False)
    return Kept(path, saved, examine(settings, saved, task.known.validation), result)


def training(
    settings: PseudoLabelSettings, task: pseudo_label.Task, accepted: int, number: int, listed: str, path: str
) -> FitSettings:
    """What ``fit`` is asked for; the model to train lies in ``path`` afterwards."""
    taken = recipe_of(task.saved)
    if settings.augment is not None:
        taken["augment"] = settings.augment
    split = task.saved.split or {}
    fresh = not task.saved.foreign and "finetune" not in task.saved.recipe
    if fresh:
        build.run(BuildSettings(path, like=settings.model, seed=taken.get("seed", 0) + number))
    else:
        write(replace(task.saved, history=[], state=None), path)
    held_out = {}
    if settings.val:
        held_out = {"val": settings.val, "val_labels": settings.val_labels}
    elif split.get("fraction"):
        held_out = {"val_split": split["fraction"]}
        taken["seed"] = split["seed"]
    rows = len(task.known.opened.train)
    wanted = FitSettings(path, settings.data, jobs=settings.jobs, backend=settings.backend, **held_out, **taken)
    epochs = settings.epochs or fewer_epochs(max(1, len(task.saved.history)), rows, rows + accepted)
    return replace(wanted, extra=(listed,), epochs=epochs, plugins=settings.plugins)


def recipe_of(saved: SavedModel) -> dict[str, Any]:
    """The options of the model's own training that hold for another one; checked, for a file may say anything."""
    hints, recipe = get_type_hints(FitSettings), saved.recipe
    return {name: recipe[name] for name in TAKEN if name in recipe and fits(recipe[name], hints[name])}


def fewer_epochs(trained: int, before: int, now: int) -> int:
    """Epochs for ``now`` rows, where ``trained`` were right for ``before``: the steps grow with the root of the rows.

    Measured with 240 labelled MNIST images and 1,603 accepted ones, where the model had 40 epochs and was right on
    91.5 % of the test images: as many steps as it had (6 epochs) gave 91.0 %, 12 epochs 93.5 %, 20 epochs 94.1 % (two
    seeds); the rule says 14.
    """
    return max(min(trained, LEAST_EPOCHS), round(trained * math.sqrt(before / now)))


def write_kept(settings: PseudoLabelSettings, kept: Kept, overwrite: bool) -> None:
    """Write the model, as ``fit`` wrote it, and the list."""
    write(read(kept.path), settings.train_to, overwrite=overwrite)
    pseudo_label.write_result(settings, kept.result, overwrite)
