"""Size and colour decided from the headers of images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.headers import decide_size, read_header, read_headers, unusual_notes


def test_the_common_size_is_taken_as_it_is() -> None:
    assert decide_size(np.array([[28, 30], [28, 30]])) == ((28, 30), None)


def test_different_sizes_give_the_median_rounded_to_32() -> None:
    size, note = decide_size(np.array([[10, 100], [50, 300], [1000, 500]]))
    assert size == (64, 288)  # 50 / 32 = 1.56 -> 2; 300 / 32 = 9.375 -> 9
    assert note.startswith("image sizes differ (10x100 to 1000x500); all become 64x288")
    assert decide_size(np.array([[3, 4], [5, 6]]))[0] == (32, 32)  # never below 32


@pytest.mark.parametrize(
    ("mode", "suffix", "grey"),
    [("1", "png", True), ("L", "jpg", True), ("LA", "png", True), ("I;16", "png", True), ("RGB", "png", False),
     ("P", "png", False), ("RGBA", "png", False), ("CMYK", "jpg", False)],
)  # fmt: skip
def test_grey_is_what_stores_no_colour(tmp_path: Path, mode: str, suffix: str, grey: bool) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.new(mode, (3, 2)).save(path)
    assert read_header(str(path)) == (2, 3, grey)


def test_bad_headers_are_errors_of_their_row(tmp_path: Path) -> None:
    paths = []
    for row in range(600):
        paths.append(str(tmp_path / f"{row}.bmp"))
        Image.new("L", (row % 7 + 1, 2)).save(paths[-1])
    Path(paths[300]).write_bytes(b"BMnonsense")
    found = read_headers(paths, workers=2)
    assert list(found.errors) == [300]
    assert "300.bmp" in str(found.errors[300])
    assert len(found.good_rows) == 599
    assert found.sizes[599].tolist() == [2, 599 % 7 + 1]


def test_unusual_images_are_counted_by_kind(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("L", (2, 2), value) for value in (10, 200)]
    deep = Image.fromarray(np.array([[0, 65535]], np.uint16))
    pictures = {
        "plain.png": (Image.new("RGB", (2, 2)), {}),
        "palette.png": (Image.new("P", (2, 2)), {}),
        "cmyk1.jpg": (Image.new("CMYK", (2, 2)), {}),
        "cmyk2.tif": (Image.new("CMYK", (2, 2)), {}),
        "deep.png": (deep, {}),
        "clear.png": (Image.new("LA", (2, 2)), {}),
        "key.gif": (Image.new("P", (2, 2)), {"transparency": 0}),
        "moving.gif": (frames[0], {"save_all": True, "append_images": frames[1:]}),
        "turned.jpg": (Image.new("RGB", (2, 2)), {"exif": exif}),
    }
    for name, (image, options) in pictures.items():
        image.save(tmp_path / name, **options)
    found = read_headers([str(tmp_path / name) for name in pictures], 0)
    assert found.unusual == {"cmyk": 2, "deep": 1, "transparent": 2, "animated": 1, "turned": 1}
    assert unusual_notes(found.unusual) == [
        "2 images converted from CMYK",
        "1 image scaled from 16 bits to 8",
        "2 images laid over white where transparent",
        "1 image read by the first frame only",
        "1 image turned upright as the camera says (EXIF)",
    ]
    assert unusual_notes({}) == []
