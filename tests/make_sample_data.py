"""Write sample_data/digits from scikit-learn's bundled handwritten digits.

    python tests/make_sample_data.py [FOLDER]

The pictures are the 1,797 8x8 grey digits of the UCI set "Optical Recognition of Handwritten Digits", which
scikit-learn carries inside its package, so nothing is downloaded. The same bytes come out on every machine: the split
uses NumPy's frozen legacy generator, and the PNG files are put together here without compression, because zlib
builds differ in what they make of the same pixels.
"""

import argparse
import struct
import zlib
from pathlib import Path

import numpy as np

TEST_ROWS = 360
SEED = 0
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def load() -> tuple[np.ndarray, np.ndarray]:
    """The pictures (1797, 8, 8) uint8 in 0..255 and the digits (1797,) uint8, in scikit-learn's order."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.rint(digits.images * 255 / 16).astype(np.uint8), digits.target.astype(np.uint8)


def split(labels: np.ndarray, test_rows: int = TEST_ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the training and of the test part, each in rising order.

    Every class gives its share of the ``test_rows``; the rows that rounding leaves over come from the classes with
    the largest remainders. Which rows of a class go to the test part is drawn with ``SEED``.
    """
    counts = np.bincount(labels)
    shares = counts * test_rows / len(labels)
    taken = np.floor(shares).astype(int)
    left_over = test_rows - taken.sum()
    taken[np.argsort(taken - shares, kind="stable")[:left_over]] += 1
    generator = np.random.RandomState(SEED)
    drawn = [generator.permutation(np.flatnonzero(labels == digit))[:n] for digit, n in enumerate(taken)]
    test = np.sort(np.concatenate(drawn))
    return np.setdiff1d(np.arange(len(labels)), test), test


def png(pixels: np.ndarray) -> bytes:
    """A grey 8-bit PNG file of (height, width) uint8 pixels, its deflate stream one stored block."""
    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    stored = struct.pack("<BHH", 1, len(rows), len(rows) ^ 0xFFFF) + rows
    stream = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write(folder: Path) -> None:
    """Write ``train/`` and ``test/`` as class folders of PNG files, and the same rows as .npy files."""
    images, labels = load()
    for part, rows in zip(("train", "test"), split(labels), strict=True):
        for row in rows:
            path = folder / part / str(labels[row]) / f"{row:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(images[row]))
        np.save(folder / f"{part}_x.npy", images[rows][..., np.newaxis])
        np.save(folder / f"{part}_y.npy", labels[rows])


def main() -> None:
    default = Path(__file__).resolve().parent.parent / "sample_data" / "digits"
    parser = argparse.ArgumentParser(description="Write the sample data.")
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
