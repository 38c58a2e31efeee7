"""Size and colour decided from the headers of images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.headers import decide_size, read_header, read_headers


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
