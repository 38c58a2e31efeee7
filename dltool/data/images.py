"""The one image reader: fit, evaluate and predict all get their pixels from ``ImageReader.read``.

From file to pixels, in this order:

1. Only regular files are opened, only as JPEG, PNG, BMP, GIF, WebP or TIFF (judged by content), and nothing is decoded
   before the size in the header is known to be at most ``MAX_PIXELS``.
2. The first frame of an animation, turned upright by its EXIF orientation.
3. Eight bits: 16-bit grey is divided by 257 and rounded, so 65535 becomes 255 and nothing is clipped (of 16-bit colour
   Pillow hands over the upper byte, at most one level away). Floating-point images are refused, their range is unknown.
4. Transparent pixels are laid over white, also the one transparent colour of GIF and PNG.
5. Colour: grey, palette, CMYK and YCbCr to RGB; for grey models then to luma, (19595 R + 38470 G + 7471 B) / 65536.
6. Size: bilinear, averaging over the source area when it shrinks (Pillow's BILINEAR). ``stretch`` ignores the aspect
   ratio, ``crop`` cuts the largest centred area of the target's aspect, ``pad`` adds centred black bars.

JPEG's reduced-size decoding is not used: it changes pixels. Imports numpy, Pillow and ``dltool.errors``.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import stat
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from dltool.errors import DataError

# Importing the six plugins by name keeps Pillow from importing all of its 70 when the first file is opened.
FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
        WebPImagePlugin.WebPImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)
MAX_PIXELS = 50_000_000
COLORS = {"rgb": "RGB", "gray": "L"}
RESIZES = ("stretch", "crop", "pad")

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY_MODES = ("1", "L", "LA", "La")


@dataclass(frozen=True)
class ImageReader:
    """Turns image files into pixels of one size and colour.

    Args:
        height, width: of the result, in pixels. color: "rgb" or "gray". resize: "stretch", "crop" or "pad".
    """

    height: int
    width: int
    color: str = "rgb"
    resize: str = "stretch"

    def __post_init__(self) -> None:
        silence_pillow()

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, 1 if self.color == "gray" else 3

    @property
    def preprocessing(self) -> dict[str, object]:
        """What a model file must remember so that predict sees the same pixels."""
        return {
            "kind": "image",
            "height": self.height,
            "width": self.width,
            "color": self.color,
            "resize": self.resize,
        }

    def read(self, path: str) -> np.ndarray:
        """The pixels of one file.

        Returns:
            (height, width, channels) uint8.

        Raises:
            DataError: not an image of a known format, damaged, cut off, too large, or not a regular file.
        """
        return self.look(path)[0]

    def look(self, path: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """The same, and which of ``headers.UNUSUAL`` the image is."""
        check_regular(path)
        # Pillow's decoders meet a damaged file with errors of a dozen unrelated types (struct, zlib, index, ...).
        try:
            with Image.open(path, formats=FORMATS) as image:
                check_pixels(image, path)
                if image.format == "TIFF":
                    silence_libtiff()
                kinds = unusual_kinds(image)
                image.load()
                pixels = np.asarray(self._fit(to_color(upright(image), COLORS[self.color], path)))
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{path}: {explain(error, path)}") from error
        return pixels.reshape(self.shape), kinds

    def _fit(self, image: Image.Image) -> Image.Image:
        target = (self.width, self.height)
        if image.size == target:
            return image
        if self.resize == "crop":
            return image.resize(target, Image.Resampling.BILINEAR, box=centred_box(image.size, target))
        if self.resize == "pad":
            return padded(image, target)
        return image.resize(target, Image.Resampling.BILINEAR)


def silence_pillow() -> None:
    """Keep Pillow's remarks on odd metadata off stderr; what matters becomes a DataError.

    A process-wide filter, because ``warnings.catch_warnings`` is not safe in the loader's threads.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


@cache
def silence_libtiff() -> None:
    """Keep libtiff from writing to stderr itself; its errors still reach Pillow as failed decoding."""
    with contextlib.suppress(OSError, AttributeError):  # another libtiff, built into Pillow or hidden
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


def check_regular(path: str) -> None:
    """Raise DataError unless ``path`` is a regular file; a FIFO would block whoever opens it."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {explain(error, path)}") from error
    if stat.S_ISDIR(mode):
        raise DataError(f"{path}: is a folder, not an image file; give the files in it")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: is not a regular file (FIFO, socket or device); it is never opened, remove it")


def check_pixels(image: Image.Image, path: str) -> None:
    """Raise DataError when the header declares more than ``MAX_PIXELS``."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path}: {width}x{height} pixels, more than {MAX_PIXELS // 1_000_000} megapixels; scale it down first"
        )


def explain(error: Exception, path: str) -> str:
    """What is wrong with a file, and what to do, from the error that reading it gave."""
    text = str(error).lower()
    if isinstance(error, UnidentifiedImageError):
        if os.path.getsize(path) == 0:
            return "empty file, not an image; copy it again or remove it"
        return "not a JPEG, PNG, BMP, GIF, WebP or TIFF image, or its header is damaged; convert or remove it"
    if isinstance(error, FileNotFoundError):
        return "no such file; check the path"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror}); check its permissions"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {MAX_PIXELS // 1_000_000} megapixels; scale it down first"
    if "truncated" in text or isinstance(error, EOFError):
        return "truncated image; copy it again or remove it"
    return f"damaged image ({type(error).__name__}: {str(error)[:80]}); copy it again or remove it"


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8. Unreadable metadata does not make good pixels bad: then 1."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF blocks raise whatever the parser met
        return 1
    return value if value in _UPRIGHT else 1


def stored_turn(image: Image.Image) -> int:
    """EXIF orientation of an opened image that is not loaded yet; 1 also where nothing is left to turn."""
    # A PNG without EXIF before its pixels would be decoded by getexif; TIFF sizes are upright already.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    return orientation(image)


def upright(image: Image.Image) -> Image.Image:
    """A loaded image turned as its EXIF orientation says. (Pillow has turned TIFF already when loading it.)"""
    turn = _UPRIGHT.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def to_color(image: Image.Image, mode: str, path: str) -> Image.Image:
    """An 8-bit image of ``mode`` "RGB" or "L". Raises DataError for modes that have no known range."""
    if image.mode == "F":
        raise DataError(f"{path}: floating-point image, its range is unknown; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):
        image = eight_bits(image, path)
    if image.mode == mode and not image.has_transparency_data:
        return image
    if image.has_transparency_data:
        image = over_white(image)
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")  # also on the way to grey, so that every mode gives the same luma
    return image.convert(mode)


def eight_bits(image: Image.Image, path: str) -> Image.Image:
    """16-bit grey to 8 bits: round(v / 257). Raises DataError for values outside 0..65535."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path}: 32-bit image with values outside 0..65535; convert it to 8 or 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def over_white(image: Image.Image) -> Image.Image:
    """Lay a transparent image over white: round((alpha * c + (255 - alpha) * 255) / 255)."""
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    image = image.convert(mode + "A")
    canvas = Image.new(mode, image.size, "white")
    canvas.paste(image.convert(mode), mask=image.getchannel("A"))
    return canvas


def centred_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest centred (left, top, right, bottom) of a (width, height) image with the target's aspect ratio."""
    scale = min(size[0] / target[0], size[1] / target[1])
    width, height = scale * target[0], scale * target[1]
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return max(left, 0.0), max(top, 0.0), min(left + width, size[0]), min(top + height, size[1])


def padded(image: Image.Image, target: tuple[int, int]) -> Image.Image:
    """Scale to fit inside the target (width, height), centred, the rest black."""
    scale = min(target[0] / image.size[0], target[1] / image.size[1])
    inner = tuple(min(t, max(1, int(side * scale + 0.5))) for side, t in zip(image.size, target, strict=True))
    canvas = Image.new(image.mode, target)
    corner = (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
    canvas.paste(image.resize(inner, Image.Resampling.BILINEAR), corner)
    return canvas


def is_grey(image: Image.Image) -> bool:
    """Whether the file stores no colour (palettes count as colour, whatever is in them)."""
    return image.mode in _GREY_MODES or image.mode.startswith("I")


def unusual_kinds(image: Image.Image) -> tuple[str, ...]:
    """Which of ``headers.UNUSUAL`` an opened image is that is not loaded yet."""
    found = {
        "cmyk": image.mode == "CMYK",
        "deep": image.mode.startswith("I") or (image.format == "PNG" and ";16" in str(image.tile)),
        "transparent": image.has_transparency_data,
        "animated": _is_animated(image),
        "turned": stored_turn(image) != 1,
    }
    return tuple(kind for kind, applies in found.items() if applies)


def _is_animated(image: Image.Image) -> bool:
    try:  # last, because a GIF reads on to its second frame for this
        return bool(getattr(image, "is_animated", False))
    except Exception:  # what follows the first frame may be damaged; that is not read
        return False
