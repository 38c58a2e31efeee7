"""Order, batches and threads of the loader."""

import threading
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.dataset import ArrayDataset, Subset
from dltool.data.folder import list_classes
from dltool.data.image_folder import ImageFolder
from dltool.data.images import ImageReader
from dltool.data.loader import Loader
from dltool.errors import DataError

NUM_ROWS = 50


@pytest.fixture
def images(tmp_path: Path) -> ImageFolder:
    """Fifty 2x2 grey images whose value is their row, ten to a class."""
    for row in range(NUM_ROWS):
        path = tmp_path / str(row // 10) / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2), row).save(path)
    return ImageFolder(list_classes(str(tmp_path)), ImageReader(2, 2, "gray"), limit=1 << 20)


def values(loader: Loader, n: int) -> list[list[int]]:
    return [batch.inputs[0][:, 0, 0, 0].tolist() for batch in loader.epoch(n)]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dltool")]


def test_without_shuffling_rows_come_in_order(images: ImageFolder) -> None:
    loader = Loader(images, 16, shuffle=False, workers=2)
    batches = values(loader, 0)
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    assert list(chain(*batches)) == list(range(NUM_ROWS))
    assert (len(loader), loader.num_rows) == (4, NUM_ROWS)


def test_an_epoch_depends_on_seed_and_number_only(images: ImageFolder) -> None:
    loader = Loader(images, 16, seed=1, workers=2)
    first, second = values(loader, 0), values(loader, 1)
    assert sorted(chain(*first)) == list(range(NUM_ROWS))
    assert first != second
    assert values(loader, 0) == first
    assert values(Loader(images, 16, seed=1, workers=0), 1) == second
    assert values(Loader(images, 16, seed=2, workers=0), 0) != first


def test_targets_and_rows_belong_to_the_inputs(images: ImageFolder) -> None:
    for batch in Loader(images, 7, workers=3).epoch(0):
        assert batch.inputs[0][:, 0, 0, 0].tolist() == batch.rows.tolist()
        assert batch.targets[0].tolist() == (batch.rows // 10).tolist()


def test_an_epoch_can_be_taken_up_in_the_middle(images: ImageFolder) -> None:
    loader = Loader(images, 16, workers=2)
    rest = [batch.rows.tolist() for batch in loader.epoch(5, first_batch=2)]
    assert rest == [batch.rows.tolist() for batch in loader.epoch(5)][2:]


def test_threads_end_with_the_epoch(images: ImageFolder) -> None:
    loader = Loader(Subset(images, np.arange(40)), 4, workers=2)
    assert not threads()
    epoch = loader.epoch(0)
    next(epoch)
    assert threads()
    for _ in epoch:
        pass
    assert not threads()


def test_data_in_memory_need_no_threads(images: ImageFolder) -> None:
    values(Loader(images, 16, workers=2), 0)
    epoch = Loader(images, 16, workers=2).epoch(1)
    next(epoch)
    assert not threads()


def test_an_epoch_left_half_way_leaves_no_threads(images: ImageFolder) -> None:
    for _ in Loader(images, 4, workers=2).epoch(0):
        break
    assert not threads()
    with Loader(images, 4, workers=2) as loader:
        epoch = loader.epoch(0)
        next(epoch)
    assert not threads()


def test_a_broken_file_stops_its_own_batch_with_its_name(images: ImageFolder, tmp_path: Path) -> None:
    (tmp_path / "3/33.png").write_bytes(b"broken")
    loader = Loader(images, 10, shuffle=False, workers=2)
    epoch = loader.epoch(0)
    assert [len(next(epoch)) for _ in range(3)] == [10, 10, 10]
    with pytest.raises(DataError, match=r"33\.png: not a JPEG"):
        next(epoch)
    assert not threads()


def test_batches_own_their_arrays(images: ImageFolder) -> None:
    kept = list(Loader(images, 16, shuffle=False).epoch(0))
    assert np.concatenate([batch.inputs[0][:, 0, 0, 0] for batch in kept]).tolist() == list(range(NUM_ROWS))


def test_mapped_arrays_are_read_ahead() -> None:
    data = ArrayDataset([np.arange(20.0)], np.zeros(20, np.int64), ("a",), ["x.npy"], limit=0)
    batches = [batch.inputs[0][:, 0].tolist() for batch in Loader(data, 8, shuffle=False, workers=1).epoch(0)]
    assert list(chain(*batches)) == list(range(20))
