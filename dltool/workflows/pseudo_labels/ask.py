"""``dltool pseudo-label --ask N``: a list of the rows that are worth a person's time.

The candidates are the rows that the model doubts most, ten times as many as were asked for. Of them those are taken
that lie far from each other in what the network's last layer sees, so that no two ask the same question. The first rows
of the list are a good choice of their own, for a person who stops early.

Source: prefiltering by doubt before diversity is chosen: F. Zhdanov, Diverse mini-batch active learning, 2019.
"""

from __future__ import annotations

import csv
import io
import os
from contextlib import closing
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dltool.engine.graph import Graph
from dltool.engine.layers import InputLayer
from dltool.engine.surgery import head_start
from dltool.errors import UsageError
from dltool.modelfile.atomic import check_target
from dltool.modelfile.saved import SavedModel
from dltool.settings import PseudoLabelSettings
from dltool.training.asking import margins, most_doubtful, spread, unit_length
from dltool.training.pseudo_labels import Scores
from dltool.workflows import predict
from dltool.workflows.model_data import open_for_model
from dltool.workflows.plugin_record import differences
from dltool.workflows.pseudo_label import check_pool, classifier
from dltool.workflows.pseudo_labels.path_lists import seen_from, write_list, write_text
from dltool.workflows.pseudo_labels.scoring import Progress, image_files, open_val, pool_settings, score_pool
from dltool.workflows.scoring import Reading

SCHEMA = "dltool.pseudo-label-ask/1"
CANDIDATES = 10
"""Times as many rows as are asked for."""


@dataclass(frozen=True)
class Question:
    """A row to label: the model's guess, its probability, and how far it is ahead of the second.

    Where a model says the second of two classes from another probability than 1/2 on, how far it is from that.
    """

    path: str
    guess: str
    prob: float
    margin: float


@dataclass(frozen=True)
class AskResult:
    """Attributes:
    questions: in the order in which they are worth asking.
    scored: rows that could be read. failed: what is wrong with the others.
    margin: the mean of all rows that were scored, to compare the questions' with.
    notes: sentences for the user.
    """

    questions: tuple[Question, ...]
    scored: int
    failed: tuple[str, ...]
    margin: float
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The documented form of ``--json``."""
        return {
            "schema": SCHEMA,
            "scored": self.scored,
            "failed": len(self.failed),
            "margin": self.margin,
            "asked": [vars(question) for question in self.questions],
        }


def run(settings: PseudoLabelSettings, progress: Progress | None = None) -> AskResult:
    """Choose rows and, with ``settings.output``, write the list. No validation rows are needed.

    Raises:
        UsageError: the model gives no classes. ShortError: no row could be read.
    """
    check_pool(settings)
    if settings.output is not None:
        check_target(settings.output, overwrite=settings.force)
    saved, names = classifier(settings)
    if len(names) < 2:
        raise UsageError(f"{settings.model}: has one class only, of which nothing is in doubt; leave --ask out")
    known = known_files(settings, saved)
    doubts: list[np.ndarray] = []
    reading = Reading(saved)

    def judge(probs: np.ndarray) -> Scores:
        said, limit = reading.decide(probs), reading.threshold
        doubts.append(margins(probs) if limit is None else np.abs(probs[:, 1] - limit))
        return Scores(said, probs[np.arange(len(probs)), said])

    pool = score_pool(settings, known, judge, progress)
    margin = np.concatenate(doubts)
    wanted = settings.ask or 1
    rows = most_doubtful(margin, CANDIDATES * wanted)
    rows = rows[spread(features(settings, saved, [pool.paths[row] for row in rows.tolist()]), wanted)]
    predicted, confidence = pool.scores.predicted[rows].tolist(), pool.scores.confidence[rows].tolist()
    columns = ([pool.paths[row] for row in rows.tolist()], predicted, confidence, margin[rows].tolist())
    questions = tuple(Question(path, names[c], p, m) for path, c, p, m in zip(*columns, strict=True))
    notes = (*differences(saved.recipe, settings.plugins), *pool.notes)
    if len(rows) < wanted:
        notes = (*notes, f"{len(rows):,} rows are all there are")
    result = AskResult(questions, len(margin), tuple(pool.failed), float(margin.mean()), notes)
    if settings.output is not None:
        write_text(ask_text(result, os.path.dirname(settings.output)), settings.output, settings.force)
    return result


def known_files(settings: PseudoLabelSettings, saved: SavedModel) -> frozenset[str]:
    """The files that are labelled already, in ``data`` and ``val`` as far as they are given."""
    found = [open_for_model(settings.data, saved)] if settings.data.data else []
    found += [open_val(settings, saved)] if settings.val else []
    return frozenset().union(*map(image_files, found))


def features(settings: PseudoLabelSettings, saved: SavedModel, paths: list[str]) -> np.ndarray:
    """(n, features) what the last layer with weights gets for each path, in unit length; its output where that is the
    input itself."""
    with TemporaryDirectory(prefix="dltool-") as folder:
        listed = os.path.join(folder, "candidates.csv")
        write_list([(os.path.abspath(path), "", 1.0) for path in paths], listed, True)
        wanted = replace(pool_settings(settings), inputs=(listed,), layer=last_features(saved.model.graph))
        with closing(predict.run(wanted).rows) as rows:
            return unit_length(np.stack([row.values for row in rows]))


def last_features(graph: Graph) -> str | None:
    """The layer before the head; None where there is none, or where it is used in several places."""
    try:
        node = graph.nodes[head_start(graph)]
    except UsageError:
        return None
    is_shared = sum(other.name == node.name for other in graph.nodes) > 1
    return None if is_shared or isinstance(node.layer, InputLayer) else node.name


def ask_text(result: AskResult, folder: str = "") -> str:
    """``path,label,guess,prob`` as CSV, the labels left empty; relative paths are written as seen from ``folder``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "guess", "prob"])
    for question in result.questions:
        writer.writerow([seen_from(question.path, folder), "", question.guess, f"{question.prob:.4f}"])
    return text.getvalue()
