"""Batches out of a folder of images, decoded anew: dltool's loader, torch's DataLoader with Pillow, Keras's tf.data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.workloads import NUM_CLASSES, Workload

Steps = Callable[[int], None]

GENERATED_IMAGES = 2000


def make_folder(folder: Path, shape: tuple[int, ...], count: int = GENERATED_IMAGES) -> None:
    """Fill a folder with JPEG images of smooth noise, a sub-folder per class; for machines without a real data set."""
    from PIL import Image

    generator = np.random.default_rng(0)
    height, width, channels = shape
    for index in range(count):
        small = generator.integers(0, 256, (height // 4, width // 4, channels), np.uint8)
        image = Image.fromarray(small[..., 0] if channels == 1 else small).resize((width, height))
        path = folder / str(index % NUM_CLASSES) / f"{index:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=92)


def opened(workload: Workload, images: str, keeps: bool = False) -> Any:
    """dltool's data set of the folder, in the workload's size and colour."""
    from dltool.data.folder import list_classes
    from dltool.data.image_folder import ImageFolder
    from dltool.data.images import ImageReader

    height, width, channels = workload.input_shape
    reader = ImageReader(height, width, "gray" if channels == 1 else "rgb")
    return ImageFolder(list_classes(images), reader, limit=None if keeps else 0)


def endless(epoch: Callable[[int], Iterator[Any]]) -> Iterator[Any]:
    """The batches of epoch after epoch."""
    number = 0
    while True:
        yield from epoch(number)
        number += 1


def read(batches: Iterator[Any]) -> Steps:
    def steps(count: int) -> None:
        for _ in islice(batches, count):
            pass

    return steps


def dltool(workload: Workload, jobs: int, images: str) -> Steps:
    """Batches of the loader that ``dltool fit`` trains from; nothing decoded is kept."""
    from dltool.data.loader import Loader

    return read(endless(Loader(opened(workload, images), workload.batch_size, workers=jobs).epoch))


def peer(name: str, workload: Workload, jobs: int, images: str) -> Steps:
    return torch_steps(workload, jobs, images) if name == "torch" else keras_steps(workload, images)


def torch_steps(workload: Workload, jobs: int, images: str) -> Steps:
    """A DataLoader with ``jobs`` worker processes that stay, on a data set that opens files with Pillow."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        PillowFolder(images, workload.input_shape),
        workload.batch_size,
        shuffle=True,
        num_workers=jobs,
        persistent_workers=True,
    )
    return read(endless(lambda _: iter(loader)))


class PillowFolder:
    """A data set as a torch user writes it: float32 (channels, height, width) from 0 to 1, and the class."""

    def __init__(self, images: str, shape: tuple[int, ...]):
        self.height, self.width, channels = shape
        self.mode = "L" if channels == 1 else "RGB"
        classes = enumerate(sorted(os.listdir(images)))
        self.files = [(str(path), number) for number, name in classes for path in Path(images, name).iterdir()]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        import torch
        from PIL import Image

        path, label = self.files[index]
        with Image.open(path) as image:
            pixels = np.array(image.convert(self.mode).resize((self.width, self.height)))
        tensor = torch.from_numpy(pixels.reshape(self.height, self.width, -1)).permute(2, 0, 1)
        return tensor.float() / 255, label


def keras_dataset(workload: Workload, images: str) -> Any:
    """``image_dataset_from_directory`` with prefetching, as Keras's guides use it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    channels = workload.input_shape[-1]
    dataset = keras.utils.image_dataset_from_directory(
        images,
        batch_size=workload.batch_size,
        image_size=workload.input_shape[:2],
        color_mode="grayscale" if channels == 1 else "rgb",
        verbose=False,
    )
    return dataset.prefetch(-1)  # tf.data.AUTOTUNE


def keras_steps(workload: Workload, images: str) -> Steps:
    dataset = keras_dataset(workload, images)
    return read(endless(lambda _: iter(dataset)))
