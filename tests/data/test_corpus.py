"""The shared corpus of broken, odd and hostile images, arrays and folders."""

import contextlib
import importlib.util
import io
import warnings
from pathlib import Path

import numpy as np
import pytest

from dltool.data.images import ImageReader
from dltool.data.loader import Loader
from dltool.data.opening import open_data
from dltool.errors import DataError

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def corpus(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """The folder with the samples and their manifest entries."""
    spec = importlib.util.spec_from_file_location("make_corpus", shared / "security" / "make_corpus.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    maker.OUT = tmp_path_factory.mktemp("corpus")
    (maker.OUT / "canary").mkdir()
    (maker.OUT / "secret.txt").write_text(maker.MARKER)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for make in (maker.arrays, maker.images, maker.folders):
            make()
    return maker.OUT, maker.MANIFEST


def open_sample(root: Path, sample: dict) -> None:
    path = root / sample["path"]
    if sample["kind"] == "image":
        ImageReader(32, 48).read(str(path))
        return
    if sample["kind"] == "folder":
        opened = open_data([path])
    elif "labels" in sample["id"]:
        single = "one_class" in sample["id"]
        opened = open_data(
            [root / "arrays/a00_good.npy"], labels=path, wants="classes", num_classes=None if single else 4
        )
    else:
        large = "sparse" in sample["id"]
        labels = root / "labels.npy"
        np.save(labels, (np.arange((1 << 36) // (4 * 4096) if large else 8) % 2).astype(np.uint8))
        opened = open_data([path], labels=labels, limit=100 if large else None)
    for _ in Loader(opened.train, 4).epoch(0):
        pass


def test_every_sample_gets_its_verdict(corpus: tuple[Path, list[dict]]) -> None:
    root, manifest = corpus
    wrong = []
    for sample in manifest:
        try:
            open_sample(root, sample)
            verdict = "load"
        except DataError as error:
            verdict = "reject"
            assert Path(sample["path"]).name in str(error) or "a00_good" in str(error)
            assert "SECRET-MARKER" not in str(error)
        if verdict != sample["expect"].replace("skip", "reject"):
            wrong.append(sample["id"])
    assert not wrong
    assert len(manifest) > 70
    assert not list((root / "canary").iterdir())
