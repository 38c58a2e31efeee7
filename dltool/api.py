"""dltool from Python: the functions beneath the commands, on models in memory and arrays or paths.

    import dltool

    model = dltool.build("dense:64,relu", "dense:3,softmax", input=(20,))
    model.fit(x, y, epochs=20, early_stop=3)
    model.evaluate(x_test, y_test).metrics["accuracy"].value
    model.save("m.h5")

Options are those of the commands, by their names in ``dltool.settings``: ``fit --batch-size 32 --lr 0.01`` is
``fit(..., batch_size=32, learning_rate=0.01)``. The same options, seed and rows give the same file, bit for bit, as the
command. Errors are those of ``dltool.errors``. Nothing is printed. May import workflows and all beneath them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, get_origin

import numpy as np

from dltool.data.arrays import InMemory
from dltool.errors import DataError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import check_model_target, write
from dltool.registry import nearest
from dltool.settings import BuildSettings, DataSettings, EvaluateSettings, FitSettings, PredictSettings
from dltool.training.callbacks import Callback, Events
from dltool.training.run import Run
from dltool.workflows import build as building
from dltool.workflows import evaluate as evaluating
from dltool.workflows import fit as fitting
from dltool.workflows import predict as predicting
from dltool.workflows.evaluation import EvaluateResult
from dltool.workflows.fit import FitResult
from dltool.workflows.predict import PredictRow
from dltool.workflows.summary import SummaryResult, describe_model

__all__ = ["Callback", "Events", "Model", "Run", "build", "load"]

Data = str | os.PathLike[str] | np.ndarray | Sequence[Any] | Mapping[str, Any]
"""Rows: an array (n, ...) of numbers, a path as --data takes, or a dict with one of these for each input of a model."""

OF_FILES = ("model", "output", "force", "arch", "resume", "given", "plugins", "augment_preview", "data", "labels")
"""Fields of settings that are no options here: a model is in memory, and rows are arguments."""


class Model:
    """A model in memory, with all that a model file remembers.

    Made by ``load`` and ``build``.

    Attributes:
        saved: graph and weights, compile step, recipe, state of the training.
        name: what messages call the model, its path if it has one.
    """

    def __init__(self, saved: SavedModel, name: str = "the model"):
        self.saved, self.name = saved, name

    def __repr__(self) -> str:
        graph = self.saved.model.graph
        return f"<dltool.Model {self.name}: {len(graph.layers)} layers, {graph.num_parameters:,} parameters>"

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the outputs; None for numbers and where nobody named them."""
        return self.saved.classes

    @property
    def history(self) -> list[dict[str, float]]:
        """One dict for each epoch of the training so far: epoch, loss, metrics, learning_rate."""
        return [dict(row) for row in self.saved.history]

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """``"layer/weight"`` -> float32 array; a view, so that ``weights["dense/bias"][:] = 0`` changes the model."""
        views = self.saved.model.weights.views
        return {
            f"{name}/{spec.name}": views[name][place]
            for name, specs in self.saved.model.graph.specs.items()
            for place, spec in enumerate(specs)
        }

    def fit(
        self,
        data: Data,
        labels: Data | None = None,
        *,
        val: Data | None = None,
        val_labels: Data | None = None,
        callbacks: Sequence[Callback] = (),
        events: Events | None = None,
        **options: Any,
    ) -> FitResult:
        """Train in memory; afterwards the model has the best epoch's weights, as ``dltool fit`` would write them.

        Args:
            data: (n, ...) numbers, uint8 or any float or integer type, or a path. labels: (n,) classes or class names,
                (n, classes) one-hot rows or (n, ...) numbers; None where the path says them.
            val, val_labels: rows to validate on; without them a fifth of the data (``val_split=0.2``) from 50 rows up.
            callbacks: told of the six moments of a training in this order, each with the ``Run`` record; setting
                ``run.stop`` to a reason ends the training after the batch.
            events: receives what the command would show.
            options: fields of ``dltool.settings.FitSettings`` and ``DataSettings``: ``epochs=10``, ``batch_size=64``,
                ``learning_rate``, ``schedule="1cycle"``, ``seed=0``, ``time`` in seconds ...

        Returns:
            history (of earlier trainings too), best_epoch, stopped, seconds.

        Raises:
            UsageError, DataError: before the first batch, and the model is as it was. DivergedError: the loss was not
            finite; the best finished epoch is kept. KeyboardInterrupt: Ctrl-C; what was reached is kept.
        """
        given = tuple(options)
        rows = _data("data", data, labels, options)
        held_out = {} if val is None else {"val": _named("val", val), "val_labels": _labels("val_labels", val_labels)}
        if val is None and val_labels is not None:
            raise UsageError("val_labels: needs val; give the rows that the labels belong to")
        settings = _settings(FitSettings, "fit", options, model=self.name, data=rows, given=given, **held_out)
        return fitting.run_in_memory(settings, self.saved, events, callbacks)

    def evaluate(self, data: Data, labels: Data | None = None, **options: Any) -> EvaluateResult:
        """Measure on labelled rows, which are given as for ``fit``.

        Args:
            options: fields of ``dltool.settings.EvaluateSettings`` and ``DataSettings``.

        Returns:
            ``loss``; ``metrics``, name -> ``value`` with its 95 % interval ``low`` to ``high``; ``confusion`` (rows
            true, columns predicted), ``scores`` of each class, and the rest of ``dltool evaluate``.

        Raises:
            UsageError, DataError: rows, labels or options do not fit the model.
        """
        rows = _data("data", data, labels, options)
        return evaluating.run_in_memory(self.saved, _settings(EvaluateSettings, "evaluate", options, self.name, rows))

    def predict(self, data: Data, **options: Any) -> np.ndarray | tuple[np.ndarray, ...]:
        """What the model gives for each row: (n, ...) float32, several arrays for several outputs.

        Args:
            data: (n, ...) numbers, or a path as ``dltool predict`` takes: image, folder, array, list.
            options: fields of ``dltool.settings.PredictSettings`` and of ``DataSettings``: ``layer="dense"`` gives that
                layer's output.

        Raises:
            DataError: a row cannot be read; it is named. UsageError: rows or options do not fit the model.
        """
        found = [self._readable(row).outputs for row in self.rows(data, **options)]
        outputs = tuple(np.stack(column) for column in zip(*found, strict=True))
        return outputs if len(outputs) > 1 else outputs[0]

    def rows(self, data: Data, **options: Any) -> Iterator[PredictRow]:
        """The same row by row, as ``dltool predict`` prints them: ``path``, ``label``, ``prob``, ``top``, ``error``.

        A row that cannot be read has an ``error`` and no label.
        """
        image = _data("data", (), None, options)
        settings = _settings(PredictSettings, "predict", options, self.name, _named("data", data), data=image)
        return predicting.run_in_memory(self.saved, settings).rows

    def _readable(self, row: PredictRow) -> PredictRow:
        if row.error is not None:
            raise DataError(row.error)
        return row

    def summary(self) -> SummaryResult:
        """Layers, shapes and parameters (``rows``), computation and memory, and ``facts`` as (word, text)."""
        return describe_model(self.saved)

    def save(self, path: str | os.PathLike[str], *, force: bool = False, state: bool = True) -> None:
        """Write a model file, which Keras opens too.

        Args:
            force: replace an existing file. state: keep what more training needs to go on exactly.

        Raises:
            OutputError: the file exists, or cannot be written.
        """
        target = os.fspath(path)
        check_model_target(target, overwrite=force)
        write(self.saved, target, overwrite=force, keep_state=state)


def load(path: str | os.PathLike[str]) -> Model:
    """The model in a file of dltool or Keras. Raises ModelFileError."""
    return Model(read(path), os.fspath(path))


def build(*words: str, data: Data | None = None, labels: Data | None = None, **options: Any) -> Model:
    """An untrained model from layer words, or from ``arch="cnn"``.

    Args:
        words: ``"conv2d:32,3,relu"`` and so on, see ``dltool help layer-words``.
        data, labels: rows to take the shape, the classes and the kind of head from, as for ``Model.fit``.
        options: fields of ``dltool.settings.BuildSettings``: ``input=(28, 28, 1)``, ``classes=10``, ``arch``, ``loss``,
            ``optimizer``, ``learning_rate``, ``metrics``, ``seed`` ...; and of ``DataSettings``.

    Raises:
        UsageError: words, shapes or names do not fit. DataError: the rows cannot be used.
    """
    rows = _data("data", () if data is None else data, labels, options)
    wanted = {"arch": options.pop("arch", None), "words": tuple(words), "data": rows}
    return Model(building.run(_settings(BuildSettings, "build", options, None, **wanted)).saved)


def _settings(cls: type, command: str, options: dict[str, Any], *values: Any, **more: Any) -> Any:
    """The settings of a command. Raises UsageError for an option that it does not have."""
    known = {field.name: field.type for field in fields(cls) if field.name not in OF_FILES}
    for name in options:
        if name not in known:
            also = [field.name for field in fields(DataSettings) if field.name not in OF_FILES]
            close = nearest({"lr": "learning_rate"}.get(name, name), [*known, *also])
            advice = f"did you mean {close!r}?" if close else f"see dltool.settings.{cls.__name__}"
            raise UsageError(f"{command}: has no option {name!r}; {advice}")
    return cls(*values, **{name: _plain(value, known[name]) for name, value in options.items()}, **more)


def _plain(value: Any, kind: Any) -> Any:
    """Lists as tuples, paths as text, NumPy's numbers as Python's; one text where several may be given as a tuple."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return (value,) if get_origin(kind) is tuple else value
    return tuple(value) if isinstance(value, list) else value


def _data(name: str, data: Data, labels: Data | None, options: dict[str, Any]) -> DataSettings:
    """The rows, with the options about them, which are taken out of ``options``."""
    known = {field.name: field.type for field in fields(DataSettings) if field.name not in OF_FILES}
    taken = {key: _plain(options.pop(key), kind) for key, kind in known.items() if key in options}
    return DataSettings(_named(name, data), _labels("labels", labels), **taken)


def _named(name: str, data: Data) -> tuple[str, ...]:
    """Rows as settings take them: texts, of which some carry an array."""
    if isinstance(data, Mapping):
        return tuple(_one(f"{name} {key!r}", value, key) for key, value in data.items())
    if isinstance(data, list | tuple) and all(isinstance(entry, str | os.PathLike) for entry in data):
        return tuple(map(os.fspath, data))
    return (_one(name, data),)


def _one(name: str, data: Any, key: str = "") -> str:
    if isinstance(data, str | os.PathLike):
        return f"{key}={os.fspath(data)}" if key else os.fspath(data)
    try:
        values = np.asarray(data)
    except ValueError as error:
        raise DataError(f"{name}: is no array ({error}); give rows of one shape") from None
    return InMemory(name, values, key)


def _labels(name: str, labels: Data | None) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if isinstance(labels, list | tuple) and all(isinstance(entry, str) for entry in labels):
        return (InMemory(name, np.asarray(labels)),)  # class names of the rows, not paths
    return _named(name, labels)
