"""One case recorded from Keras: model, rows, weights after three steps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from dltool.data.dataset import ArrayDataset
from dltool.engine.batch import Batch
from dltool.engine.optimizers import optimizer
from dltool.engine.reference import ReferenceExecutor
from dltool.modelfile.reading import read
from dltool.training.loop import train
from dltool.training.objective import make_objective
from dltool.training.run import Run


class InOrder:
    """The rows of a case in batches of four, as Keras was given them."""

    def __init__(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None):
        self.dataset = ArrayDataset((x,), y, None, ("x.npy",))
        self.weights, self.num_rows = weights, len(x)

    def __len__(self) -> int:
        return self.num_rows // 4

    def epoch(self, number: int):
        for start in range(0, self.num_rows, 4):
            batch = self.dataset.fetch(np.arange(start, start + 4))
            weights = None if self.weights is None else self.weights[start : start + 4].astype(np.float32)
            yield Batch(batch.inputs, batch.targets, weights, batch.rows)


class Recorded:
    """``NAME.dual.h5`` and ``NAME.npz`` of the recorded cases."""

    def __init__(self, folder: Path, name: str):
        self.arrays = np.load(folder / f"{name}.npz")
        entry = next(e for e in json.loads((folder / "INDEX.json").read_text()) if e["name"] == name)
        self.saved = read(str(folder / f"{name}.dual.h5"))
        self.class_weight = entry.get("class_weight")
        # The file for both Kerases leaves some settings out; the index has what Keras 3 trained with.
        self.optimizer = optimizer({"class_name": entry["optimizer"]["class"], "config": entry["optimizer"]["config"]})

    def fit(self, epochs: int) -> list[dict]:
        model, config = self.saved.model, self.saved.training_config
        y = self.arrays["y"]
        objective = make_objective(model, [y], losses=config.losses, metrics=())
        if self.class_weight:
            weights = np.array([self.class_weight[str(c)] for c in range(len(self.class_weight))], np.float32)
            objective = replace(objective, class_weights=weights)
        weights = self.arrays.get("sw")
        executor = ReferenceExecutor(model, batch_size=4, losses=objective.losses, optimizer=self.optimizer)
        run = Run(model, epochs, self.optimizer.learning_rate)
        return train(executor, InOrder(self.arrays["x0"], y, weights), objective, run).history

    def weights(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Ours and Keras's after three steps, by Keras's name."""
        store, found = self.saved.model.weights, {}
        for slot in store.slots:
            keys = [k for k in self.arrays if k.startswith(f"w3:{slot.layer}/") and k.endswith(f"/{slot.spec.name}")]
            found[keys[0]] = store.views[slot.layer][slot.index], self.arrays[keys[0]]
        return found
