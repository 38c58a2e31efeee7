"""``dltool predict``: one row per input, in the order of the inputs, failures included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dltool.data.folder import ignored_notes
from dltool.data.headers import unusual_notes
from dltool.data.inputs import InputRow, Inputs
from dltool.data.opening import named, open_inputs, open_named_inputs
from dltool.data.tokens import token_error
from dltool.engine.graph import describe
from dltool.errors import DataError, UsageError
from dltool.modelfile.hdf5 import ModelSource
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.settings import PredictSettings
from dltool.training.waiting import Waiting
from dltool.workflows.data_kinds import cut_of, token_inputs
from dltool.workflows.drawing import Pictures, drawn
from dltool.workflows.layer_output import up_to_layer
from dltool.workflows.model_data import class_names, image_options
from dltool.workflows.scoring import Progress, Reading, open_executor
from dltool.workflows.sorting import Sorter, check_inputs, folder_names
from dltool.workflows.texts import StepReading, StringReading, text_reading

UNSURE = "?"
"""The label of a row whose probability is below the least one that was asked for."""


@dataclass(frozen=True)
class PredictRow:
    """One input's prediction.

    Attributes:
        path: the input's name: a file, or ``x.npy[17]``.
        label, prob: the most probable class ("?" below the least probability) and its probability; None for
            regression and failures.
        top: the best classes with their probabilities, as many as were asked for.
        probs: (classes,) float32 probabilities in the order of the classes.
        outputs: what the model gave, one array per output; () for failures.
        error: why there is no prediction.
    """

    path: str
    label: str | None = None
    prob: float | None = None
    top: tuple[tuple[str, float], ...] = ()
    probs: np.ndarray | None = None
    outputs: tuple[np.ndarray, ...] = ()
    error: str | None = None

    @property
    def values(self) -> np.ndarray:
        """All numbers of the first output in one row; empty for failures."""
        return self.outputs[0].reshape(-1) if self.outputs else np.empty(0, np.float32)


@dataclass(frozen=True)
class PredictResult:
    """Attributes:
    classes: names in the order of the outputs; None when the model gives numbers or has several outputs.
    output_names: of the model's outputs. output_shapes: of one row; None is a size known only from the rows.
    num_rows: how many rows will come.
    rows: the predictions, computed while they are read; lanes and threads live as long as that takes.
    remarks: sentences for the user. unusual: kinds of images that were met, counted while rows are read.
    waiting: how long the inputs took to come, likewise.
    """

    classes: tuple[str, ...] | None
    output_names: tuple[str, ...]
    output_shapes: tuple[tuple[int | None, ...], ...]
    num_rows: int
    rows: Iterator[PredictRow]
    remarks: tuple[str, ...] = ()
    unusual: Counter[str] = field(default_factory=Counter)
    waiting: Waiting = field(default_factory=Waiting)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user; complete when all rows are read."""
        return (*self.remarks, *unusual_notes(self.unusual))

    def as_json(self, row: PredictRow, with_probs: bool = False) -> dict[str, Any]:
        """The documented form of one line of ``jsonl``."""
        if row.error is not None:
            return {"path": row.path, "error": row.error}
        if self.classes is None:
            names = self.output_names if len(self.output_names) > 1 else ("value",)
            values = {name: _plain(output) for name, output in zip(names, row.outputs, strict=True)}
            return {"path": row.path, **values}
        found: dict[str, Any] = {"path": row.path, "label": row.label, "prob": row.prob}
        if with_probs:
            found["probs"] = dict(zip(self.classes, row.probs.tolist(), strict=True))
        return found


def run(
    settings: PredictSettings, progress: Progress | None = None, source: ModelSource | None = None
) -> PredictResult:
    """Predict for files, folders and arrays.

    Args:
        source: the model's file, if it is open already; it is closed here.

    Raises:
        ModelFileError: the model cannot be read. UsageError: inputs or options contradict it.
    """
    return run_in_memory(read(source or settings.model, with_state=False), settings, progress)


def run_in_memory(saved: SavedModel, settings: PredictSettings, progress: Progress | None = None) -> PredictResult:
    """The same for a model in memory. Raises UsageError."""
    reading, cut = None, cut_of(settings.data, saved)
    if settings.layer is not None:
        saved = replace(saved, model=up_to_layer(saved.model, settings.layer))
    elif len(saved.model.graph.outputs) == 1:
        saved = replace(saved, classes=class_names(settings.data, saved))
        reading = text_reading(saved, settings.beam) or Reading(saved)
    names = reading.names if reading is not None else None
    check_options(settings, names, isinstance(reading, StringReading | StepReading))
    graph = saved.model.graph
    options = image_options(settings.data, saved)
    pixels = options if {"height", "width", "color"} <= set(options) else None
    if len(graph.inputs) > 1:
        inputs = open_named_inputs(settings.inputs, graph.input_names, graph.input_shapes)
    else:
        paths = [named(path, graph.input_names)[1] for path in settings.inputs]
        inputs = open_inputs(paths, pixels, graph.input_shapes[0], window=cut.window if cut is not None else None)
    waiting = Waiting()
    rows = predictions(settings, saved, reading if names is not None else None, inputs, progress, waiting)
    if settings.sort_into is not None:
        rows = linked(rows, Sorter(settings.sort_into, folder_names(names)))
    if settings.pictures is not None:
        rows = drawn(rows, Pictures(settings.pictures, saved.model, settings.force))
    return PredictResult(
        classes=names,
        output_names=graph.output_names,
        output_shapes=graph.output_shapes,
        num_rows=inputs.num_rows,
        rows=rows,
        remarks=(*saved.remarks, *ignored_notes(inputs.ignored_files)),
        unusual=inputs.unusual,
        waiting=waiting,
    )


def check_options(settings: PredictSettings, names: tuple[str, ...] | None, texts: bool = False) -> None:
    """Raises UsageError for options about labels where there are none or ``texts``, and for what cannot be sorted."""
    asked = {"--probs": settings.probs, "--top": settings.top > 1, "--min-prob": settings.min_prob > 0}
    asked |= {"--sort-into": settings.sort_into is not None}
    option = next((name for name, given in asked.items() if given), None)
    if texts and option not in (None, "--min-prob"):
        raise UsageError(f"{option}: the model reads a text in each row, not one class; leave it out")
    if settings.beam is not None and names is None:
        raise UsageError("--beam: the model reads no strings; leave it out")
    if names is None and option is not None:
        what = f"layer {settings.layer!r} gives features" if settings.layer else "the model gives numbers"
        raise UsageError(f"{option}: {what}, not classes; leave it out")
    if settings.sort_into is not None:
        check_inputs(settings.inputs)


def predictions(
    settings: PredictSettings,
    saved: SavedModel,
    reading: Reading | StringReading | StepReading | None,
    inputs: Inputs,
    progress: Progress | None,
    waiting: Waiting,
) -> Iterator[PredictRow]:
    """The rows, batch by batch. The executor comes before the threads that read, because its lanes may be forked."""
    shape, vocabularies = row_shape(saved, inputs), token_inputs(saved.model.graph)
    done, started = 0, False
    with open_executor(saved, shape, inputs.num_rows, settings) as executor:
        for rows in waiting.watch(inputs.batches(executor.batch_size)):
            checked = [_checked(row, shape, vocabularies) for row in rows]
            good = [(row.value, *row.others) for row in checked if row.error is None]
            outputs = executor.forward(tuple(map(_stacked, zip(*good, strict=True))), started) if good else ()
            started = started or bool(good)
            found = read_outputs(reading, outputs, executor) if good else []
            place = 0
            for row in checked:
                if row.error is not None:
                    yield PredictRow(row.name, error=str(row.error))
                else:
                    given = tuple(output[place] for output in outputs)
                    yield described(reading, row.name, given, found[place], settings)
                    place += 1
            done += len(rows)
            if progress is not None:
                progress(done, inputs.num_rows)


def read_outputs(
    reading: Reading | StringReading | StepReading | None, outputs: tuple[np.ndarray, ...], executor: Any
) -> Sequence[Any]:
    """Of each row: probabilities of classes, or a text and its probability; None where the model gives numbers."""
    if reading is None:
        return [None] * len(outputs[0])
    return reading(outputs[0]) if isinstance(reading, Reading) else reading(outputs[0], executor.masks[0])


def linked(rows: Iterator[PredictRow], sorter: Sorter) -> Iterator[PredictRow]:
    """The same rows; each file gets its link when its row is read."""
    try:
        for row in rows:
            if row.label is not None:
                sorter.link(row.path, row.label)
            yield row
    finally:
        rows.close()


def row_shape(saved: SavedModel, inputs: Inputs) -> tuple[int, ...]:
    """The model's input shape; sides that it leaves open are those of the first row that can be read."""
    shape = saved.model.graph.input_shapes[0]
    if None not in shape:
        return shape
    rows = iter(inputs)
    try:
        first = next((row.value for row in rows if row.value is not None), None)
    finally:
        rows.close()
    return first.shape if first is not None else tuple(side or 1 for side in shape)


def described(
    reading: Reading | StringReading | StepReading | None,
    path: str,
    outputs: tuple[np.ndarray, ...],
    found: Any,
    settings: PredictSettings,
) -> PredictRow:
    """One row's outputs, as label and probabilities where the model tells classes apart, or as the text it reads.

    Args:
        found: what ``read_outputs`` gave for the row.
    """
    if reading is None:
        return PredictRow(path, outputs=outputs)
    if not isinstance(reading, Reading):
        text, chance = found
        said = text if chance >= settings.min_prob else UNSURE
        return PredictRow(path, said, chance, ((said, chance),), outputs=outputs)
    probs: np.ndarray = found
    order = np.argsort(-probs, kind="stable")
    if reading.threshold is not None:
        said = int(reading.decide(probs[None])[0])
        order = np.array([said, 1 - said])
    order = order[: settings.top].tolist()
    best = tuple((reading.names[i] if probs[i] >= settings.min_prob else UNSURE, float(probs[i])) for i in order)
    return PredictRow(path, best[0][0], best[0][1], best, probs, outputs)


def _checked(row: InputRow, shape: tuple[int, ...], vocabularies: dict[int, int]) -> InputRow:
    """The row, as an error when it has another shape than the lanes were planned for, or tokens without an entry."""
    if row.value is None:
        return row
    if row.value.shape == tuple(shape):
        values = (row.value, *row.others)
        errors = (token_error(values[number][np.newaxis], size) for number, size in vocabularies.items())
        error = next(filter(None, errors), None)
        return row if error is None else InputRow(row.name, None, DataError(f"{row.name}: {error[1]}"))
    message = f"{row.name}: is {describe(row.value.shape)}, the rows before are {describe(shape)}; predict it alone"
    return InputRow(row.name, None, DataError(message))


def _stacked(values: Sequence[np.ndarray]) -> np.ndarray:
    """(n, ...) uint8 when all are, else float32."""
    kind = np.uint8 if all(value.dtype == np.uint8 for value in values) else np.float32
    return np.stack(values).astype(kind, copy=False)


def _plain(output: np.ndarray) -> Any:
    return output.reshape(-1)[0].item() if output.size == 1 else output.tolist()
