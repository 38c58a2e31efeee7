"""Write the model file: a Keras whole-model HDF5 file that Keras 3 and tf_keras open, with ``/dltool`` beside it.

Layout of ``/dltool`` (version 1): attributes ``version``, ``sha256`` over everything but the state, and JSON texts
``graph``, ``classes``, ``preprocessing``, ``training``, ``recipe``, ``history``, ``split``, ``fingerprint``; group
``state`` with the JSON text ``counters``, its own ``sha256``, ``weights`` (when not the model's) and ``slot.NAME``.
The root's attribute ``dltool`` says that the group must be there: a flipped bit in the group's name would hide it and
its digest.
Nothing depends on time, host or path: the same model gives the same bytes. ``/optimizer_weights`` is never written,
because Keras 3 then loads the file but cannot train it.
"""

from __future__ import annotations

import io
import json
import os
from typing import Any

import numpy as np

from dltool.errors import OutputError
from dltool.modelfile.atomic import check_target, replacing
from dltool.modelfile.digest import content_digest
from dltool.modelfile.graph_json import graph_to_json
from dltool.modelfile.keras_config import KERAS_VERSION, keras_model_config, keras_names
from dltool.modelfile.own_texts import LAYOUT_VERSION
from dltool.modelfile.saved import SavedModel, TrainingState
from dltool.modelfile.training_config import keras_training_config, training_to_json

ATTRIBUTE_BYTES = 64512
"""The longest list of fixed-length names that one HDF5 attribute takes; Keras splits longer ones."""


def check_model_target(path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Find out before the work whether a model can be written to ``path``. Raises OutputError."""
    path = os.fspath(path)
    for suffix in (".keras", ".weights.h5"):
        if path.endswith(suffix):
            better = f"{path.removesuffix(suffix)}.h5"
            raise OutputError(f"{path}: Keras expects another format under a name in {suffix}; write to {better}")
    check_target(path, overwrite=overwrite)


def write(saved: SavedModel, path: str | os.PathLike[str], *, overwrite: bool = True, keep_state: bool = True) -> None:
    """Write ``saved`` to ``path``, whole or not at all.

    Args:
        overwrite: False refuses to replace a file.
        keep_state: False leaves out the optimizer's slots and the last weights, a half to three quarters of the file.

    Raises:
        OutputError: the folder is missing or read-only, the path is a link or no regular file, the disk is full.
    """
    state = saved.state if keep_state else None
    size = 4 * saved.model.weights.num_parameters + (0 if state is None else state_bytes(state))
    with replacing(path, size, overwrite=overwrite) as descriptor:
        sink = Sink(descriptor)
        try:
            write_hdf5(saved, state, sink)
        except Exception:
            sink.check()  # a failed write may surface as any error of libhdf5; the disk's own error says more
            raise
        sink.check()


class Sink(io.RawIOBase):
    """A file for h5py that never fails towards libhdf5, which cannot close a file whose last writes fail.

    The first error is kept and raised by ``check`` after libhdf5 has finished.
    """

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self.error: OSError | None = None
        self.position = 0
        self.end = 0

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = offset + (self.position if whence == os.SEEK_CUR else self.end if whence == os.SEEK_END else 0)
        return self.position

    def tell(self) -> int:
        return self.position

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            os.lseek(self.descriptor, self.position, os.SEEK_SET)
            while len(view) and self.error is None:
                view = view[os.write(self.descriptor, view[: 2**30]) :]
        except OSError as error:
            self.error = error
        self.position += size
        self.end = max(self.end, self.position)
        return size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = b""
        try:
            os.lseek(self.descriptor, self.position, os.SEEK_SET)
            data = os.read(self.descriptor, len(view))
        except OSError as error:
            self.error = self.error or error
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))  # reserved and never written: zeros, as on disk
        self.position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self.end = self.position if size is None else size
        try:
            os.ftruncate(self.descriptor, self.end)
        except OSError as error:
            self.error = self.error or error
        return self.end

    def flush(self) -> None:
        pass


def write_hdf5(saved: SavedModel, state: TrainingState | None, sink: Sink) -> None:
    """The whole content, through h5py."""
    os.environ.setdefault("HDF5_PLUGIN_PRELOAD", "::")  # this process may read files with h5py later
    import h5py

    graph = saved.model.graph
    texts = file_texts(saved)
    with h5py.File(sink, "w") as file:
        for name in ("model_config", "training_config"):
            if f"/{name}" in texts:
                file.attrs[name] = texts[f"/{name}"]
        file.attrs["dltool"] = np.int64(LAYOUT_VERSION)
        weights = file.create_group("model_weights")
        for group in (file, weights):
            group.attrs["keras_version"] = KERAS_VERSION
            group.attrs["backend"] = "tensorflow"
        write_weights(weights, saved, keras_names(graph))
        own = file.create_group("dltool")
        for name, text in texts.items():
            if name.startswith("/dltool/") and name != "/dltool/version":
                own.attrs[name.removeprefix("/dltool/")] = text
        own.attrs["version"] = np.int64(LAYOUT_VERSION)
        views = [view for name in graph.layers for view in saved.model.weights.views[name]]
        own.attrs["sha256"] = content_digest(texts, ((str(i), view) for i, view in enumerate(views)))
        if state is not None:
            write_state(own.create_group("state"), saved, state)


def file_texts(saved: SavedModel) -> dict[str, str]:
    """All texts that the digest covers, by their place in the file."""
    graph = saved.model.graph
    compiled = keras_training_config(saved.training_config, graph.output_names)
    own = {
        "graph": graph_to_json(graph),
        "classes": None if saved.classes is None else list(saved.classes),
        "preprocessing": saved.preprocessing,
        "training": None if saved.training_config is None else training_to_json(saved.training_config),
        "recipe": saved.recipe,
        "history": saved.history,
        "split": saved.split,
        "fingerprint": saved.fingerprint,
    }
    texts = {"/model_config": json.dumps(keras_model_config(graph))}
    if compiled is not None:
        texts["/training_config"] = json.dumps(compiled)
    texts |= {f"/dltool/{name}": json.dumps(value) for name, value in own.items()}
    return texts | {"/dltool/version": str(LAYOUT_VERSION)}


def write_weights(group: Any, saved: SavedModel, names: dict[str, str]) -> None:
    """One group per layer, in the order of the config; Keras loads by this order, not by the names."""
    put_names(group, "layer_names", list(names.values()))
    for name, found in saved.model.graph.specs.items():
        if name not in names:  # a part of a layer's output
            continue
        layer = group.create_group(names[name])
        paths = [f"{names[name]}/{spec.name}:0" for spec in found]
        put_names(layer, "weight_names", paths)
        for path, spec, view in zip(paths, found, saved.model.weights.views[name], strict=True):
            # Keras counts the adapted samples of a Normalization in an integer.
            data = np.int64(view) if spec.name == "count" and spec.shape == () else view
            layer.create_dataset(path, data=data, track_times=False)
    put_names(group.create_group("top_level_model_weights"), "weight_names", [])


def write_state(group: Any, saved: SavedModel, state: TrainingState) -> None:
    arrays = {f"slot.{name}": slot for name, slot in state.slots.items()}
    if not np.array_equal(state.weights, saved.model.weights.vector, equal_nan=True):
        arrays["weights"] = state.weights
    if state.averaged is not None:
        arrays["averaged"] = state.averaged
    counters = {"memory": state.memory, "step": state.step, "epoch": state.epoch, "callbacks": state.callbacks}
    text = json.dumps(counters)
    arrays = dict(sorted(arrays.items()))
    for name, array in arrays.items():
        group.create_dataset(name, data=np.asarray(array, np.float32), track_times=False)
    group.attrs["counters"] = text
    group.attrs["sha256"] = content_digest({"counters": text}, arrays.items())


def state_bytes(state: TrainingState) -> int:
    averaged = 0 if state.averaged is None else state.averaged.size
    return 4 * (state.weights.size + averaged + sum(slot.size for slot in state.slots.values()))


def put_names(group: Any, key: str, names: list[str]) -> None:
    """A list of names as fixed-length bytes, split into ``key0``, ``key1``... when it is too long for one attribute."""
    array = np.asarray([name.encode() for name in names]) if names else np.zeros(0, "S1")
    chunks = [array]
    if array.itemsize > ATTRIBUTE_BYTES:
        raise ValueError(f"a name of {array.itemsize} bytes does not fit into an attribute")
    while any(chunk.nbytes > ATTRIBUTE_BYTES for chunk in chunks):
        chunks = np.array_split(array, len(chunks) + 1)
    if len(chunks) == 1:
        group.attrs[key] = array
        return
    for position, chunk in enumerate(chunks):
        group.attrs[f"{key}{position}"] = chunk
