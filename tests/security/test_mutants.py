"""Thousands of slightly damaged and forged files: nothing but a good answer or a refusal in one line.

Every mutant has its seed in its name. The number per test is small here; DLTOOL_MUTANTS multiplies it.
"""

import os
import random
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from dltool.modelfile.writing import write
from tests.modelfile.models import images, keras_file, residual, trained
from tests.security.forging import flipped, forge_texts
from tests.security.fork_server import ForkServer, Run

FACTOR = int(os.environ.get("DLTOOL_MUTANTS", "1"))
SUMMARY, DATA = (0, 4), (0, 3)


def check(runs: list[Run], codes: tuple[int, ...]) -> dict[int, int]:
    """Each run has one of the codes, and if it failed one line that names its file. Gives the number of each code."""
    wrong, counts = [], dict.fromkeys(codes, 0)
    for run in runs:
        lines, file = run.err.splitlines(), next(word for word in run.args if "mutant" in word)
        told = len(lines) == 1 and lines[0].startswith("dltool: error: ") and Path(file).name in lines[0]
        if run.code not in codes or (run.code and not told):
            wrong.append(f"{' '.join(run.args)}: exit {run.code}: {run.err[:300]}")
        else:
            counts[run.code] += 1
    assert not wrong, "\n".join(wrong[:20])
    return counts


@pytest.fixture
def sources(tmp_path) -> list[Path]:
    """A file of dltool, one of two inputs and outputs, and one as Keras writes it."""
    write(trained(images()), tmp_path / "chain.h5")
    write(trained(residual()), tmp_path / "twins.h5")
    keras_file(tmp_path / "keras.h5").close()
    return [tmp_path / name for name in ("chain.h5", "twins.h5", "keras.h5")]


def test_models_with_flipped_bits_are_read_or_refused(quick_server: ForkServer, sources, tmp_path):
    rng, commands = np.random.default_rng(1), []
    for number in range(500 * FACTOR):
        path = tmp_path / f"mutant{number}.h5"
        path.write_bytes(flipped(sources[number % 3].read_bytes(), rng))
        commands.append(("summary", path))
    counts = check(quick_server.run_all(commands, seconds=120 * FACTOR), SUMMARY)
    assert counts[0] > 20 * FACTOR
    assert counts[4] > 20 * FACTOR


def test_models_with_forged_descriptions_are_read_or_refused(quick_server: ForkServer, sources, tmp_path):
    rng, commands = random.Random(2), []
    for number in range(250 * FACTOR):
        path = tmp_path / f"mutant{number}.h5"
        shutil.copy(sources[number % 3], path)
        forge_texts(path, rng)
        commands.append(("summary", path))
    counts = check(quick_server.run_all(commands, seconds=120 * FACTOR), SUMMARY)
    assert counts[0] > 20 * FACTOR
    assert counts[4] > 20 * FACTOR


def test_forged_models_that_are_read_can_be_used_or_refuse_the_data(quick_server: ForkServer, sources, tmp_path):
    """Whatever a description says, the commands end in a result or in a refusal; never in an error of ours."""
    np.save(tmp_path / "x.npy", np.ones((3, 8, 8, 1), np.float32))
    np.save(tmp_path / "y.npy", np.arange(3))
    rng, commands = random.Random(3), []
    for number in range(40 * FACTOR):
        path = tmp_path / f"mutant{number}.h5"
        shutil.copy(sources[0], path)
        forge_texts(path, rng)
        last = ("--jobs", 1, "-q")
        commands.append(("predict", path, tmp_path / "x.npy", *last))
        commands.append(("evaluate", path, "--data", tmp_path / "x.npy", *last))
        fit = ("--epochs", 1, "--val-split", 0, "-o", tmp_path / "new.h5", "-f")
        commands.append(("fit", path, "--data", tmp_path / "x.npy", *fit, *last))
    codes = [run.code for run in quick_server.run_all(commands, seconds=120 * FACTOR)]
    wrong = [(c[0], c[1].name, code) for c, code in zip(commands, codes, strict=True) if code not in (0, 1, 2, 3, 4, 6)]
    assert not wrong
    assert codes.count(0) > 10 * FACTOR


def test_arrays_with_damaged_headers_are_read_or_refused(quick_server: ForkServer, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((6, 4), np.float32))
    np.save(tmp_path / "y.npy", np.arange(6) % 3)
    assert quick_server.run("build", "m.h5", "--input", "4", "dense:3,softmax", "-q", cwd=tmp_path).code == 0
    data, rng, commands = (tmp_path / "x.npy").read_bytes(), np.random.default_rng(4), []
    for number in range(300 * FACTOR):
        path = tmp_path / f"mutant{number}.npy"
        path.write_bytes(flipped(data[:80], rng, most=4) + data[80:])
        words = ("--labels", tmp_path / "y.npy", "--jobs", 1, "-q")
        commands.append(("evaluate", tmp_path / "m.h5", "--data", path, *words))
    counts = check(quick_server.run_all(commands, seconds=120 * FACTOR), DATA)
    assert counts[3] > 100 * FACTOR


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_with_flipped_bits_are_read_or_refused(quick_server: ForkServer, tmp_path, save):
    save(tmp_path / "good.npz", x=np.random.default_rng(0).random((6, 4), np.float32), y=np.arange(6) % 3)
    assert quick_server.run("build", "m.h5", "--input", "4", "dense:3,softmax", "-q", cwd=tmp_path).code == 0
    data, rng, commands = (tmp_path / "good.npz").read_bytes(), np.random.default_rng(8), []
    for number in range(100 * FACTOR):
        path = tmp_path / f"mutant{number}.npz"
        path.write_bytes(flipped(data, rng, most=4))
        commands.append(("evaluate", tmp_path / "m.h5", "--data", path, "--jobs", 1, "-q"))
    counts = check(quick_server.run_all(commands, seconds=120 * FACTOR), DATA)
    assert counts[3] > 50 * FACTOR


LISTS = {
    "csv": 'path,label,weight\n"good0.png",cat,1\ngood1.png,dog,0.5\ngood2.png,cat,1\n',
    "tsv": "path\tlabel\ngood0.png\tcat\ngood1.png\tdog\ngood2.png\tdog\n",
    "jsonl": '{"path": "good0.png", "label": "cat"}\n{"path": "good1.png", "label": "dog", "weight": 2}\n',
}


@pytest.mark.parametrize("suffix", LISTS)
def test_lists_with_flipped_bits_are_read_or_refused(quick_server: ForkServer, tmp_path, suffix):
    words = ("--input", "4x4x1", "--class-names", "cat,dog", "flatten", "dense:2,softmax", "-q")
    assert quick_server.run("build", "m.h5", *words, cwd=tmp_path).code == 0
    for number in range(3):
        Image.new("L", (4, 4), number).save(tmp_path / f"good{number}.png")
    rng, commands = np.random.default_rng(9), []
    for number in range(100 * FACTOR):
        path = tmp_path / f"mutant{number}.{suffix}"
        path.write_bytes(flipped(LISTS[suffix].encode(), rng, most=3))
        commands.append(("evaluate", "m.h5", "--data", path, "--jobs", 1, "-q"))
    runs = quick_server.run_all(commands, seconds=120 * FACTOR, cwd=tmp_path)
    assert {run.code for run in runs} <= {0, 3}
    wrong = [r for r in runs if r.code and not (r.err.startswith("dltool: error: ") and r.err.count("\n") == 1)]
    assert not wrong


IMAGES = {
    "jpg": {"quality": 80},
    "png": {},
    "gif": {},
    "bmp": {},
    "webp": {"lossless": True},
    "tif": {"compression": "tiff_lzw"},
}


def test_images_with_flipped_bits_are_read_or_refused(quick_server: ForkServer, tmp_path):
    """Damaged pixels may look like pixels; whatever else happens in a decoder ends as a row without a label."""
    rng = np.random.default_rng(5)
    picture = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    words = ("--input", "9x7x3", "flatten", "dense:2,softmax")
    assert quick_server.run("build", "m.h5", *words, "-q", cwd=tmp_path).code == 0
    for suffix, options in IMAGES.items():
        picture.save(tmp_path / f"good.{suffix}", **options)
        data = (tmp_path / f"good.{suffix}").read_bytes()
        for number in range(100 * FACTOR):
            (tmp_path / f"{number:04}mutant.{suffix}").write_bytes(flipped(data, rng, most=8))
    paths = sorted(tmp_path.glob("*mutant.*"))
    run = quick_server.run("predict", "m.h5", *paths, "--jobs", 1, "-q", "--format", "csv", cwd=tmp_path)
    rows, failures = run.out.decode().splitlines()[1:], run.err.splitlines()
    assert run.code == 1
    assert run.peak_mb < 1500  # a flipped bit may promise 50 megapixels, and several files are decoded at a time
    assert [row.split(",")[0] for row in rows] == [str(path) for path in paths]
    bad = [row.split(",")[0] for row in rows if row.endswith(",,")]
    assert [line.partition(": ")[2].partition(": ")[0] for line in failures] == bad
    assert 50 * FACTOR < len(bad) < len(rows) - 50 * FACTOR


# -- one bit


def content_bytes(path: Path) -> np.ndarray:
    """(size,) bool: the bytes of a dltool file that hold its configs, descriptions, weights, state and digests."""
    data = path.read_bytes()
    marked = np.zeros(len(data), bool)
    with h5py.File(path) as file:
        for holder in (file, file["dltool"], file["dltool/state"]):
            for name in set(holder.attrs) - {"keras_version", "backend", "version", "dltool"}:
                text = holder.attrs[name].encode()
                start = data.index(text)
                marked[start : start + len(text)] = True

        def mark(name: str, dataset: object) -> None:
            if isinstance(dataset, h5py.Dataset):
                start = dataset.id.get_offset()
                marked[start : start + dataset.nbytes] = True

        file.visititems(mark)
    return marked


def flip_each(
    data: bytes, positions: np.ndarray, rng: np.random.Generator, folder: Path, words: tuple = ("summary", "--json")
) -> list[tuple]:
    """One command and file per position, with one flipped bit there."""
    commands = []
    for number, position in enumerate(positions.tolist()):
        mutant = bytearray(data)
        mutant[position] ^= 1 << rng.integers(8)
        path = folder / f"mutant{number}at{position}.h5"
        path.write_bytes(mutant)
        commands.append((words[0], path, *words[1:]))
    return commands


def test_every_flipped_bit_in_config_weights_and_state_is_found(quick_server: ForkServer, sources, tmp_path):
    """By fit, the command that reads the training state; the others leave it in the file."""
    np.save(tmp_path / "x.npy", np.ones((3, 8, 8, 1), np.float32))
    np.save(tmp_path / "y.npy", np.arange(3))
    fit = ("fit", "--data", tmp_path / "x.npy", "--val-split", 0, "--dry-run", "-q")
    assert quick_server.run(fit[0], sources[0], *fit[1:]).code == 0
    marked = content_bytes(sources[0])
    assert marked.mean() > 0.2
    rng = np.random.default_rng(6)
    positions = rng.choice(np.flatnonzero(marked), 300 * FACTOR)
    commands = flip_each(sources[0].read_bytes(), positions, rng, tmp_path, fit)
    assert check(quick_server.run_all(commands, seconds=120 * FACTOR), (4,)) == {4: 300 * FACTOR}


def test_a_flipped_bit_elsewhere_is_found_or_changes_nothing(quick_server: ForkServer, sources, tmp_path):
    """Names, addresses and unused room: the model is refused, or exactly the one that was written."""
    marked = content_bytes(sources[0])
    rng = np.random.default_rng(7)
    positions = rng.choice(np.flatnonzero(~marked), 300 * FACTOR)
    commands = flip_each(sources[0].read_bytes(), positions, rng, tmp_path)
    runs = quick_server.run_all(commands, seconds=240 * FACTOR)
    counts = check(runs, SUMMARY)
    assert counts[0] > 100 * FACTOR
    expected = quick_server.run("summary", sources[0], "--json").out
    assert {run.out for run in runs if run.code == 0} == {expected}
