"""Reading .npy files without trusting them."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltool.data.arrays import check_finite, engine_dtype, find_labels, map_array, read_header, sample_digest
from dltool.errors import DataError

X = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def npy(path: Path, header: bytes, body: bytes = b"", version: tuple[int, int] = (1, 0)) -> str:
    """Write a .npy file with any header text."""
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    path.write_bytes(b"\x93NUMPY" + bytes(version) + length + header + body)
    return str(path)


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8", ">f8", "u1", "i1", "<i2", ">i4", "u8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_kind_and_order_are_mapped(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.asarray(X % 2 if dtype == "?" else X, dtype=dtype, order=order)
    np.save(tmp_path / "x.npy", array)
    mapped = map_array(str(tmp_path / "x.npy"))
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    assert mapped.dtype == array.dtype
    np.testing.assert_array_equal(mapped, array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_the_format_are_read(tmp_path: Path, version: tuple[int, int]) -> None:
    path = npy(tmp_path / "x.npy", b"{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }\n", b"\1\0\2\0", version)
    assert map_array(path).tolist() == [1, 2]


def test_data_after_the_array_do_not_matter(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with open(tmp_path / "x.npy", "ab") as file:
        file.write(b"more")
    np.testing.assert_array_equal(map_array(str(tmp_path / "x.npy")), X)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([None]), r"dtype '\|O' cannot be used"),
        (np.zeros(2, [("a", "f4")]), "structured dtype"),
        (np.zeros(2, "c8"), "dtype '<c8' cannot be used"),
        (np.zeros(2, "M8[D]"), "dtype .* cannot be used"),
        (np.array(["a"]), "dtype '<U1' cannot be used; save an array of numbers"),
        (np.array(3.0), "a single number, not an array of rows"),
        (np.zeros((0, 3)), r"shape \(0, 3\) holds no values"),
        (np.zeros((3, 0)), r"shape \(3, 0\) holds no values"),
    ],
)
def test_arrays_that_are_no_data_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=array.dtype.hasobject)
    with pytest.raises(DataError, match=rf"x\.npy: {message}"):
        map_array(str(tmp_path / "x.npy"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"\x80\x04K\x01.", "a pickle, which is never opened"),
        (b"PK\x03\x04 and so on", "a .npz or zip archive"),
        (b"hello world", "not a .npy file"),
        (b"\x93NUMPY", "not a .npy file"),
        (b"\x93NUMPY\x09\x00\x10\x00", "version 9.0 is not known"),
        (b"\x93NUMPY\x01\x00", "damaged .npy header"),
        (b"\x93NUMPY\x02\x00\xfe\xff\xff\xff{", "damaged .npy header"),
    ],
)
def test_other_files_are_recognised(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.npy: .*({message})"):
        map_array(str(tmp_path / "x.npy"))


@pytest.mark.parametrize(
    "header",
    [
        b"(" * 4000 + b")" * 4000,
        b"__import__('os').getcwd()",
        b"{'descr': '<f4', 'fortran_order': False}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': [1]}",
        b"{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 40 + b")}",
        b"[1, 2",
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(DataError, match=r"x\.npy: damaged \.npy header"):
        map_array(npy(tmp_path / "x.npy", header, b"\0" * 64))


@pytest.mark.parametrize("descr", ["'<f16'", "'<f3'", "'f4,f4'", "'|V8'", "'O'", "'<f'", "''", "'<U99999999'"])
def test_dtypes_of_odd_sizes_are_refused(tmp_path: Path, descr: str) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,)}}".encode()
    with pytest.raises(DataError, match="cannot be used"):
        read_header(npy(tmp_path / "x.npy", header, b"\0" * 64), "fiubUS")


@pytest.mark.parametrize("shape", ["(1099511627776, 4)", "(4294967296, 4294967296, 4)", "(5,)"])
def test_bytes_that_are_not_there_are_never_allocated(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
    with pytest.raises(DataError, match=r"x\.npy: 16 of \d+ data bytes; the file is cut off, copy it again"):
        map_array(npy(tmp_path / "x.npy", header, b"\0" * 16))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_headers_give_an_array_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    np.save(path, X)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert map_array(str(path)).ndim >= 1
    except DataError as error:
        assert str(error).startswith(f"{path}: ")


@pytest.mark.skipif(os.name != "posix", reason="needs a FIFO")
def test_a_fifo_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"x\.npy: is not a regular file"):
        map_array(str(tmp_path / "x.npy"))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.npy: cannot be read \(No such file"):
        map_array(str(tmp_path / "gone.npy"))


def test_only_uint8_stays_as_it_is() -> None:
    assert engine_dtype(np.dtype("u1")) == np.uint8
    assert {engine_dtype(np.dtype(kind)) for kind in ("i1", "?", ">f8", "f2", "u8")} == {np.dtype(np.float32)}


def test_the_first_bad_value_is_named() -> None:
    values = np.zeros((4, 3), np.float32)
    check_finite(values, "x.npy")
    check_finite(np.full((4, 3), 3e38, np.float32), "x.npy")  # the sum overflows, the values do not
    values[2, 1], values[3, 0] = np.nan, np.inf
    with pytest.raises(DataError, match=r"x\.npy: NaN at row 2, column 1 \(2 bad values of 12\); clean the data"):
        check_finite(values, "x.npy")
    with pytest.raises(DataError, match="at row 92, column 1"):
        check_finite(values, "x.npy", np.array([90, 91, 92, 93]))
    with pytest.raises(DataError, match=r"infinity \(or a value too large for float32\) at row 1 "):
        check_finite(np.array([0, -np.inf, np.inf]), "y.npy")


@pytest.mark.parametrize(
    ("data", "labels"),
    [("x.npy", "y.npy"), ("X.npy", "y.npy"), ("X.npy", "Y.npy"), ("train_x.npy", "train_y.npy"),
     ("x-test.npy", "y-test.npy"), ("axe.npy", None), ("data.npy", None)],
)  # fmt: skip
def test_labels_are_found_beside_the_data(tmp_path: Path, data: str, labels: str | None) -> None:
    for name in (data, labels or "aye.npy"):
        (tmp_path / name).touch()
    assert find_labels(str(tmp_path / data)) == (labels and str(tmp_path / labels))


def test_the_digest_follows_values_not_storage() -> None:
    digest = sample_digest(X)
    assert sample_digest(np.asfortranarray(X)) == digest
    assert sample_digest(X.astype(">f4")) == digest
    changed = X.copy()
    changed[-1, 0, 0] += 1
    assert len({digest, sample_digest(changed), sample_digest(X.astype("f8")), sample_digest(X[:, :, 0])}) == 4
    assert sample_digest(np.arange(5)) != sample_digest(np.arange(5)[::-1])
