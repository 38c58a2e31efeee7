"""From image files to pixels: every mode against values worked out by hand."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.headers import read_header
from dltool.data.images import ImageReader
from dltool.errors import DataError

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (100, 100, 100)
LUMA = {RED: 76, GREEN: 150, BLUE: 29, GREY: 100}  # 0.299 R + 0.587 G + 0.114 B, rounded

Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a picture and give its path."""

    def write(image: Image.Image, suffix: str = ".png", **options: object) -> str:
        path = tmp_path / f"picture{suffix}"
        image.save(path, **options)
        return str(path)

    return write


def read(path: str, color: str = "rgb") -> np.ndarray:
    """Pixels in the file's own size."""
    height, width, _ = read_header(path)
    return ImageReader(height, width, color).read(path)


def colours() -> Image.Image:
    """2x2: red green / blue grey."""
    image = Image.new("RGB", (2, 2))
    image.putdata([RED, GREEN, BLUE, GREY])
    return image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_rgb_is_kept_and_turned_to_luma(save: Save, suffix: str) -> None:
    path = save(colours(), suffix, **({"lossless": True} if suffix == ".webp" else {}))
    assert read(path).tolist() == [[list(RED), list(GREEN)], [list(BLUE), list(GREY)]]
    assert read(path).dtype == np.uint8
    assert read(path, "gray")[..., 0].tolist() == [[LUMA[RED], LUMA[GREEN]], [LUMA[BLUE], LUMA[GREY]]]


def test_grey_becomes_equal_channels(save: Save) -> None:
    image = Image.new("L", (3, 1))
    image.putdata([0, 7, 255])
    path = save(image)
    assert read(path, "gray").tolist() == [[[0], [7], [255]]]
    assert read(path).tolist() == [[[0, 0, 0], [7, 7, 7], [255, 255, 255]]]


def test_one_bit_is_black_and_white(save: Save) -> None:
    image = Image.new("1", (2, 1))
    image.putdata([0, 255])
    path = save(image)
    assert read(path, "gray").tolist() == [[[0], [255]]]
    assert read(path).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_transparent_pixels_are_laid_over_white(save: Save) -> None:
    image = Image.new("RGBA", (4, 1))
    image.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51), (10, 200, 30, 128)])
    path = save(image)
    # alpha 51 = 0.2: 0.8 * 255 = 204; alpha 128: (128 c + 127 * 255) / 255 = 132.02, 227.39, 142.06
    expected = [[255, 0, 0], [255, 255, 255], [204, 204, 204], [132, 227, 142]]
    assert read(path)[0].tolist() == expected
    assert read(path, "gray")[0, :, 0].tolist() == [76, 255, 204, 189]  # 0.299*132 + 0.587*227 + 0.114*142 = 188.9


def test_grey_with_alpha_is_laid_over_white(save: Save) -> None:
    image = Image.new("LA", (3, 1))
    image.putdata([(100, 255), (100, 0), (0, 51)])
    path = save(image)
    assert read(path, "gray")[0, :, 0].tolist() == [100, 255, 204]
    assert read(path)[0].tolist() == [[100] * 3, [255] * 3, [204] * 3]


def palette() -> Image.Image:
    image = Image.new("P", (4, 1))
    image.putpalette([*RED, *GREEN, *BLUE, *GREY])
    image.putdata([0, 1, 2, 3])
    return image


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp"])
def test_palettes_are_looked_up(save: Save, suffix: str) -> None:
    path = save(palette(), suffix)
    assert read(path)[0].tolist() == [list(RED), list(GREEN), list(BLUE), list(GREY)]
    assert read(path, "gray")[0, :, 0].tolist() == [76, 150, 29, 100]


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_the_transparent_colour_of_a_palette_is_white(save: Save, suffix: str) -> None:
    path = save(palette(), suffix, transparency=2)
    assert read(path)[0].tolist() == [list(RED), list(GREEN), [255] * 3, list(GREY)]
    assert read(path, "gray")[0, :, 0].tolist() == [76, 150, 255, 100]


def test_a_palette_with_degrees_of_transparency(save: Save) -> None:
    path = save(palette(), transparency=bytes([255, 0, 51, 255]))
    # blue at alpha 0.2: red and green 204, blue 255
    assert read(path)[0].tolist() == [list(RED), [255] * 3, [204, 204, 255], list(GREY)]


@pytest.mark.parametrize(("mode", "colour", "pixel"), [("L", 7, [7]), ("RGB", GREEN, list(GREEN))])
def test_the_transparent_colour_of_a_plain_png_is_white(save: Save, mode: str, colour: object, pixel: list) -> None:
    image = Image.new(mode, (2, 1), colour)
    image.putpixel((1, 0), 9 if mode == "L" else RED)
    path = save(image, transparency=9 if mode == "L" else RED)
    assert read(path, "gray" if mode == "L" else "rgb")[0].tolist() == [pixel, [255] * len(pixel)]


def test_cmyk_becomes_rgb(save: Save) -> None:
    image = Image.new("CMYK", (3, 1))
    image.putdata([(0, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255)])
    path = save(image, ".tif")
    assert read(path)[0].tolist() == [[255, 255, 255], [255, 0, 0], [0, 0, 0]]
    assert read(path, "gray")[0, :, 0].tolist() == [255, 76, 0]


def test_ycbcr_becomes_rgb(save: Save) -> None:
    image = Image.new("YCbCr", (2, 1))
    image.putdata([(50, 128, 128), (76, 85, 255)])
    path = save(image, ".tif")
    pixels = read(path)[0].astype(int)
    # JFIF: R = Y + 1.402 (Cr - 128) = 254.05, G = Y - .3441 (Cb - 128) - .7141 (Cr - 128) = .1, B = -.2
    assert pixels[0].tolist() == [50, 50, 50]
    assert np.abs(pixels[1] - [254, 0, 0]).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(save: Save, suffix: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    path = save(Image.fromarray(values), suffix)
    # v / 257: 0, .498, .502, 1, 127.502, 255
    assert read(path, "gray")[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert read(path)[0, 4].tolist() == [128, 128, 128]


def test_thirty_two_bit_grey_within_sixteen_bits_is_scaled(save: Save) -> None:
    assert read(save(Image.fromarray(np.array([[0, 65535]], np.int32)), ".tif"), "gray")[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("value", [65536, -1])
def test_thirty_two_bit_grey_beyond_is_refused(save: Save, value: int) -> None:
    path = save(Image.fromarray(np.array([[0, value]], np.int32)), ".tif")
    with pytest.raises(DataError, match=r"picture\.tif: 32-bit image with values outside 0\.\.65535; convert it"):
        read(path)


def test_floating_point_images_are_refused(save: Save) -> None:
    path = save(Image.fromarray(np.zeros((2, 2), np.float32)), ".tif")
    with pytest.raises(DataError, match=r"picture\.tif: floating-point image.*; convert it to 8 or 16 bits"):
        ImageReader(2, 2).read(path)


UPRIGHT = [[10, 20, 30], [40, 50, 60]]
STORED = {  # what a camera stores so that the orientation tag brings back UPRIGHT
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],  # mirrored left to right
    3: [[60, 50, 40], [30, 20, 10]],  # turned by 180 degrees
    4: [[40, 50, 60], [10, 20, 30]],  # mirrored top to bottom
    5: [[10, 40], [20, 50], [30, 60]],  # transposed
    6: [[30, 60], [20, 50], [10, 40]],  # turned anticlockwise, to be turned clockwise
    7: [[60, 30], [50, 20], [40, 10]],  # transposed along the other diagonal
    8: [[40, 10], [50, 20], [60, 30]],  # turned clockwise, to be turned anticlockwise
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(save: Save, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.array(STORED[orientation], np.uint8)).convert("RGB")
    path = save(image, suffix, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    assert read_header(path)[:2] == (2, 3)
    assert read(path, "gray")[..., 0].tolist() == UPRIGHT


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_of_jpeg(save: Save, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.kron(np.array(STORED[orientation], np.uint8), np.ones((8, 8), np.uint8)))
    path = save(image, ".jpg", exif=exif, quality=100)
    assert read_header(path) == (16, 24, True)
    blocks = read(path, "gray")[4::8, 4::8, 0].astype(int)
    assert np.abs(blocks - UPRIGHT).max() <= 1


def test_a_nonsense_orientation_is_upright(save: Save) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    path = save(Image.fromarray(np.array(UPRIGHT, np.uint8)), exif=exif)
    assert read(path, "gray")[..., 0].tolist() == UPRIGHT


def test_animations_give_their_first_frame(save: Save) -> None:
    frames = [Image.new("L", (2, 2), value) for value in (10, 128, 255)]
    for suffix in (".gif", ".png"):
        path = save(frames[0], suffix, save_all=True, append_images=frames[1:])
        assert read(path, "gray").max() == read(path, "gray").min() == 10


def test_stretch_averages_when_it_shrinks(save: Save) -> None:
    image = Image.fromarray(np.array([[0, 0, 100, 100], [0, 0, 100, 100]], np.uint8))
    pixels = ImageReader(1, 2, "gray").read(save(image))
    # a triangle of half-width 2 centred at 1.0: weights of columns 0..2 are 3/4, 3/4, 1/4 over 7/4; rows are equal
    assert pixels[0, :, 0].tolist() == [14, 86]


def test_crop_takes_the_centre(save: Save) -> None:
    image = Image.fromarray(np.array([[9, 1, 2, 9], [9, 3, 4, 9]], np.uint8))
    assert ImageReader(2, 2, "gray", "crop").read(save(image))[..., 0].tolist() == [[1, 2], [3, 4]]


def test_pad_adds_black_bars(save: Save) -> None:
    image = Image.fromarray(np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.uint8))
    expected = [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]]
    assert ImageReader(4, 4, "gray", "pad").read(save(image))[..., 0].tolist() == expected


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (1, 1), (7, 5)])
def test_extreme_shapes_work_with_every_resize(save: Save, size: tuple[int, int], resize: str) -> None:
    pixels = ImageReader(32, 48, "rgb", resize).read(save(Image.new("RGB", size, GREEN)))
    assert pixels.shape == (32, 48, 3)
    assert pixels[15, 23].tolist() == list(GREEN)


def test_truncated_files_are_named(save: Save) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for suffix in (".jpg", ".png", ".gif"):
        path = Path(save(noise, suffix))
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
        with pytest.raises(DataError, match=rf"picture\{suffix}: truncated image; copy it again"):
            ImageReader(64, 64).read(str(path))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".tif", ".webp"])
def test_damaged_bytes_give_pixels_or_a_data_error(save: Save, suffix: str) -> None:
    path = Path(save(colours().resize((16, 16)), suffix))
    good, generator = path.read_bytes(), np.random.default_rng(1)
    for _ in range(60):
        bad = np.frombuffer(good, np.uint8).copy()
        places = generator.integers(0, len(bad), 4)
        bad[places] = generator.integers(0, 256, 4)
        path.write_bytes(bad.tobytes())
        try:
            assert ImageReader(16, 16).read(str(path)).shape == (16, 16, 3)
        except DataError as error:
            assert str(error).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file, not an image"),
        (b"not an image\n", "not a JPEG, PNG, BMP, GIF, WebP or TIFF image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n", "not a JPEG"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for function in (ImageReader(2, 2).read, read_header):
        with pytest.raises(DataError, match=rf"x\.jpg: {message}"):
            function(str(path))


def test_large_images_are_refused_before_decoding(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path = tmp_path / "bomb.png"
    for side in (7072, 10_000, 60_000):  # 50.01 megapixels, beyond Pillow's warning, beyond Pillow's error
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        for function in (ImageReader(2, 2).read, read_header):
            with pytest.raises(DataError, match=r"bomb\.png: .*more than 50 megapixels; scale it down"):
                function(str(path))


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        ImageReader(2, 2).read(str(tmp_path / "gone.png"))
    with pytest.raises(DataError, match="is a folder, not an image file"):
        ImageReader(2, 2).read(str(tmp_path))
    with pytest.raises(DataError, match="null"):
        ImageReader(2, 2).read("nul\0.png")


@pytest.mark.skipif(os.name != "posix", reason="needs a FIFO")
def test_a_fifo_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png: is not a regular file"):
        ImageReader(2, 2).read(str(tmp_path / "pipe.png"))
