"""``dltool predict``: one row per input, in the order of the inputs, failures included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltool.data.inputs import InputRow, Inputs
from dltool.data.opening import named, open_inputs, open_named_inputs
from dltool.engine.executor import Executor
from dltool.engine.graph import describe
from dltool.errors import DataError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.settings import PredictSettings
from dltool.workflows.model_data import class_names, image_options, label_names, probabilities, sized

Progress = Callable[[int, int], None]
"""Called with rows done and rows in total."""


@dataclass(frozen=True)
class PredictRow:
    """One input's prediction.

    Attributes:
        path: the input's name: a file, or ``x.npy[17]``.
        label, prob: the most probable class and its probability; None for regression and failures.
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
    output_names: of the model's outputs.
    num_rows: how many rows will come.
    rows: the predictions, computed while they are read; lanes and threads live as long as that takes.
    notes: sentences for the user.
    """

    classes: tuple[str, ...] | None
    output_names: tuple[str, ...]
    num_rows: int
    rows: Iterator[PredictRow]
    notes: tuple[str, ...] = field(default=())

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


def run(settings: PredictSettings, progress: Progress | None = None) -> PredictResult:
    """Predict for files, folders and arrays.

    Raises:
        ModelFileError: the model cannot be read. UsageError: inputs or options contradict it.
    """
    saved = read(settings.model, with_state=False)
    graph = saved.model.graph
    names = None
    if len(graph.outputs) == 1:
        saved.classes = class_names(settings.data, saved)
        names = label_names(saved)
    options = image_options(settings.data, saved)
    reading = options if {"height", "width", "color"} <= set(options) else None
    if len(graph.inputs) > 1:
        inputs = open_named_inputs(settings.inputs, graph.input_names, graph.input_shapes)
    else:
        paths = [named(path, graph.input_names)[1] for path in settings.inputs]
        inputs = open_inputs(paths, reading, graph.input_shapes[0])
    ignored = f"ignored {inputs.ignored_files:,} files or folders that are not images"
    return PredictResult(
        classes=names,
        output_names=graph.output_names,
        num_rows=inputs.num_rows,
        rows=predictions(settings, saved, names, inputs, progress),
        notes=(ignored,) if inputs.ignored_files else (),
    )


def predictions(
    settings: PredictSettings,
    saved: SavedModel,
    names: tuple[str, ...] | None,
    inputs: Inputs,
    progress: Progress | None,
) -> Iterator[PredictRow]:
    """The rows, batch by batch. The executor comes before the threads that read, because its lanes may be forked."""
    shape = row_shape(saved, inputs)
    size = max(1, min(settings.batch_size, inputs.num_rows))
    done = 0
    with Executor(sized(saved.model, shape), batch_size=size, jobs=settings.jobs, backend=settings.backend) as executor:
        for rows in inputs.batches(size):
            checked = [_checked(row, shape) for row in rows]
            good = [(row.value, *row.others) for row in checked if row.error is None]
            outputs = executor.forward(tuple(map(_stacked, zip(*good, strict=True)))) if good else ()
            place = 0
            for row in checked:
                if row.error is not None:
                    yield PredictRow(row.name, error=str(row.error))
                else:
                    yield described(saved, names, row.name, tuple(o[place] for o in outputs), settings.top)
                    place += 1
            done += len(rows)
            if progress is not None:
                progress(done, inputs.num_rows)


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
    saved: SavedModel, names: tuple[str, ...] | None, path: str, outputs: tuple[np.ndarray, ...], top: int
) -> PredictRow:
    """One row's outputs as label and probabilities, where the model tells classes apart."""
    if names is None:
        return PredictRow(path, outputs=outputs)
    probs = probabilities(saved, outputs[0][None])[0]
    order = np.argsort(-probs, kind="stable")[:top]
    best = tuple((names[i], float(probs[i])) for i in order.tolist())
    return PredictRow(path, best[0][0], best[0][1], best, probs, outputs)


def _checked(row: InputRow, shape: tuple[int, ...]) -> InputRow:
    """The row, as an error when it does not have the shape that the lanes were planned for."""
    if row.value is None or row.value.shape == tuple(shape):
        return row
    message = f"{row.name}: is {describe(row.value.shape)}, the rows before are {describe(shape)}; predict it alone"
    return InputRow(row.name, None, DataError(message))


def _stacked(values: Sequence[np.ndarray]) -> np.ndarray:
    """(n, ...) uint8 when all are, else float32."""
    kind = np.uint8 if all(value.dtype == np.uint8 for value in values) else np.float32
    return np.stack(values).astype(kind, copy=False)


def _plain(output: np.ndarray) -> Any:
    return output.reshape(-1)[0].item() if output.size == 1 else output.tolist()
