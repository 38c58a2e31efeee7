"""Outputs with one answer for every step, read as a text: strings of CTC, or the class of each step."""

from __future__ import annotations

import numpy as np

from dltool.engine.losses import CTC
from dltool.engine.losses.core import log_softmax
from dltool.engine.losses.ctc import beam_decode, greedy_decode
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel
from dltool.training.labels import heads
from dltool.training.strings import text_of
from dltool.workflows.model_data import probabilities, reads_strings


class StringReading:
    """Strings from the logits of CTC.

    Attributes:
        names: the alphabet. beam: so many beginnings are followed; None: the likeliest symbol of each step is taken.
    """

    def __init__(self, saved: SavedModel, beam: int | None = None):
        count = heads(saved.model.graph)[0].size - 1
        known = saved.classes if saved.classes is not None and len(saved.classes) == count else None
        self.names, self.beam = known or tuple(map(str, range(count))), beam

    def symbols(self, output: np.ndarray) -> list[list[int]]:
        """The symbols, from 1, of each row of (n, steps, symbols + 1) logits."""
        if self.beam is None:
            return greedy_decode(output)
        return beam_decode(log_softmax(output.astype(np.float64))[1], self.beam)

    def __call__(self, output: np.ndarray, mask: np.ndarray | None = None) -> list[tuple[str, float]]:
        """(text, its probability over all ways to read it) of each row; the steps of CTC are never masked."""
        found = self.symbols(output)
        labels = np.zeros((len(found), max(1, max(map(len, found)))), np.int64)
        for row, symbols in zip(labels, found, strict=True):
            row[: len(symbols)] = symbols
        chances = np.exp(-CTC()(labels, output.astype(np.float64))[0])
        texts = [text_of(symbols, self.names) for symbols in found]
        return list(zip(texts, chances.tolist(), strict=True))


class StepReading:
    """The class of every step.

    Attributes:
        names: of the classes.
    """

    def __init__(self, saved: SavedModel):
        count = heads(saved.model.graph)[0].num_classes
        known = saved.classes if saved.classes is not None and len(saved.classes) == count else None
        self._saved, self.names = saved, known or tuple(map(str, range(count)))

    def __call__(self, output: np.ndarray, mask: np.ndarray | None = None) -> list[tuple[str, float]]:
        """(the names of a row's steps, the product of their probabilities) of each row, without steps of padding."""
        probs = probabilities(self._saved, output)
        best = probs.argmax(axis=-1)
        chances = np.take_along_axis(probs, best[..., np.newaxis], axis=-1)[..., 0].astype(np.float64)
        counts = np.ones(best.shape, bool) if mask is None else mask
        return [
            (" ".join(self.names[c] for c in classes[on]), float(chance[on].prod()))
            for classes, chance, on in zip(best, chances, counts, strict=True)
        ]


def text_reading(saved: SavedModel, beam: int | None = None) -> StringReading | StepReading | None:
    """How the model's one output is read as a text; None where it is none.

    Raises:
        UsageError: ``beam`` for a model that reads no strings.
    """
    graph = saved.model.graph
    head = heads(graph)[0]
    sequence = len(graph.outputs) == 1 and len(head.shape) == 2
    if sequence and reads_strings(saved):
        return StringReading(saved, beam)
    if beam is not None:
        raise UsageError("--beam: the model reads no strings (its loss is not ctc); leave it out")
    return StepReading(saved) if sequence and head.num_classes is not None else None
