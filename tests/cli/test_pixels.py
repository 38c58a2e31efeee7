"""Odd images through the command line: evaluate and predict see the golden pixels of every mode.

A model of one Flatten layer gives the pixels themselves. Another adds them up with weights of its own for each place;
evaluate must find no difference to what the golden pixels give.
"""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.modelfile.reading import read
from dltool.modelfile.writing import write

UPRIGHT = [[10, 20, 30], [40, 50, 60]]
STORED = {  # what a camera stores so that the orientation tag brings back UPRIGHT
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],
    3: [[60, 50, 40], [30, 20, 10]],
    4: [[40, 50, 60], [10, 20, 30]],
    5: [[10, 40], [20, 50], [30, 60]],
    6: [[30, 60], [20, 50], [10, 40]],
    7: [[60, 30], [50, 20], [40, 10]],
    8: [[40, 10], [50, 20], [60, 30]],
}


def in_grey(rows: list) -> np.ndarray:
    return np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=-1)


def putpixels(mode: str, values: list) -> Image.Image:
    image = Image.new(mode, (3, 2))
    image.putdata(values)
    return image


def png_of_16_bit_colour(path: Path, pixels: list) -> None:
    """A PNG that Pillow cannot write: three channels of 16 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + np.array(row, ">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def make_pictures(folder: Path) -> dict[str, np.ndarray]:
    """Write one 3x2 picture of each kind; name -> the pixels it stands for, worked out by hand."""
    golden: dict[str, np.ndarray] = {}

    def add(name: str, image: Image.Image, pixels: object, **options: object) -> None:
        image.save(folder / name, **options)
        golden[name] = np.broadcast_to(np.array(pixels, np.uint8), (2, 3, 3))

    for orientation, rows in STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        add(f"exif{orientation}.png", Image.fromarray(np.array(rows, np.uint8)), in_grey(UPRIGHT), exif=exif)
    values = np.array([[0, 128, 129], [257, 32768, 65535]], np.uint16)
    add("sixteen.png", Image.fromarray(values), in_grey([[0, 0, 1], [1, 128, 255]]))  # v / 257, rounded
    png_of_16_bit_colour(folder / "deep.png", [[[0, 257, 65535]] * 3, [[514, 5140, 51400]] * 3])
    golden["deep.png"] = np.array([[[0, 1, 255]] * 3, [[2, 20, 200]] * 3], np.uint8)
    # Ink lets (255 - c) (255 - k) / 255 through: 204 * 229 / 255 = 183.2, 153 * 229 / 255 = 137.4, 229.
    add("ink.jpg", Image.new("CMYK", (3, 2), (51, 102, 0, 26)), (183, 137, 229), quality=100)
    palette = putpixels("P", [0, 1, 2, 3, 0, 1])
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 100, 100, 100])
    # Alpha 51 is 0.2: blue over white is (204, 204, 255).
    red, clear, blue, grey = [255, 0, 0], [255] * 3, [204, 204, 255], [100] * 3
    add("palette.png", palette, [[red, clear, blue], [grey, red, clear]], transparency=bytes([255, 0, 51, 255]))
    halves = putpixels("LA", [(100, 255), (100, 0), (0, 51), (0, 255), (255, 0), (7, 255)])
    add("alpha.png", halves, in_grey([[100, 255, 204], [0, 255, 7]]))
    add("bits.png", putpixels("1", [0, 255, 0, 255, 255, 0]), in_grey([[0, 255, 0], [255, 255, 0]]))
    frames = [Image.new("L", (3, 2), value) for value in (10, 128, 255)]
    add("moving.gif", frames[0], (10, 10, 10), save_all=True, append_images=frames[1:])
    return golden


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("pixels")
    return folder, make_pictures(folder)


def test_predict_and_evaluate_see_the_golden_pixels(pictures, run_dltool):
    folder, golden = pictures
    (folder / "odd,\n\udcff .png").write_bytes((folder / "alpha.png").read_bytes())
    names = [*golden, "odd,\n\udcff .png"]
    expected = {**golden, names[-1]: golden["alpha.png"]}
    for words in (["pixels.h5", "flatten"], ["sums.h5", "flatten", "dense:1"]):
        assert run_dltool("build", *words, "--input", "2x3x3", "--no-rescale", cwd=folder).returncode == 0
    done = run_dltool("predict", "pixels.h5", *names, "--format", "jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for name, row in zip(names, rows, strict=True):
        assert row["value"] == expected[name].reshape(-1).tolist(), name
    assert done.stderr.splitlines() == notes_on(transparent=3)

    saved = read(str(folder / "sums.h5"))
    saved.model.weights.views["dense"][0][...] = np.arange(1, 19)[:, None]
    write(saved, str(folder / "sums.h5"))
    sums = {name: int((pixels.reshape(-1) * np.arange(1, 19)).sum()) for name, pixels in golden.items()}
    lines = [json.dumps({"path": name, "label": f"{total}.0"}) for name, total in sums.items()]
    (folder / "sums.jsonl").write_text("\n".join(lines))
    done = run_dltool("evaluate", "sums.h5", "--data", "sums.jsonl", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["n"], found["loss"]) == (len(golden), 0)
    assert [line for line in done.stderr.splitlines() if line.startswith("note")] == notes_on(transparent=2)


def notes_on(transparent):
    """What both commands say of the pictures."""
    return [
        "note    1 image converted from CMYK",
        "note    2 images scaled from 16 bits to 8",
        f"note    {transparent} images laid over white where transparent",
        "note    1 image read by the first frame only",
        "note    7 images turned upright as the camera says (EXIF)",
    ]
