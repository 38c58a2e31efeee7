"""Archives of arrays: what is read, and what is refused before it is unpacked."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dltool.data.inputs import open_inputs, open_named_inputs
from dltool.data.npz import array_names, load_member
from dltool.data.opening import OutputLabels, Request, open_data, open_named
from dltool.errors import DataError, UsageError

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 2, 1])


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def declared(shape: tuple[int, ...], data: bytes) -> bytes:
    """A .npy of float32 whose header may say more than its data hold."""
    text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return str(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("array", [X, np.asfortranarray(X), X.astype(">f8"), X.astype("u1"), X > 3])
def test_arrays_come_back_as_saved(tmp_path: Path, save: object, array: np.ndarray) -> None:
    save(tmp_path / "a.npz", first=X[:1], x=array)
    assert array_names(str(tmp_path / "a.npz")) == ("first", "x")
    found = load_member(str(tmp_path / "a.npz"), "x")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert isinstance(found, np.memmap) == (save is np.savez)


def test_x_and_y_are_data_with_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y, other=np.array(["text"]))
    opened = open_data([tmp_path / "a.npz"])
    assert (opened.kind, opened.input_shape, opened.classes) == ("arrays", (3,), ("0", "1", "2"))
    assert opened.train.fetch(np.array([2])).inputs[0].tolist() == [[6, 7, 8]]
    assert opened.train.names([2]) == [f"{tmp_path / 'a.npz'}[2]"]
    np.save(tmp_path / "names.npy", ["a", "b", "a", "b"])
    assert open_data([tmp_path / "a.npz"], labels=tmp_path / "names.npy").classes == ("a", "b")


def test_parts_are_found_by_the_names_of_kerass_data_sets(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2])
    opened = open_data([tmp_path / "m.npz"])
    assert (len(opened.train), opened.valid, len(opened.test)) == (4, None, 2)
    assert opened.test.classes == opened.train.classes == ("0", "1", "2")


def test_archives_and_arrays_are_joined(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    np.save(tmp_path / "x.npy", X + 100)
    np.save(tmp_path / "y.npy", Y + 1)
    opened = open_data([tmp_path / "a.npz", tmp_path / "x.npy"])
    assert opened.classes == ("0", "1", "2", "3")
    assert opened.train.fetch(np.array([7, 0])).inputs[0].tolist() == [[109, 110, 111], [0, 1, 2]]


def test_rows_to_predict(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X)
    np.savez(tmp_path / "b.npz", arr_0=X[:1])
    rows = list(open_inputs([tmp_path / "a.npz", tmp_path / "b.npz"], None, (3,)))
    assert [row.name for row in rows] == [*(f"{tmp_path}/a.npz[{i}]" for i in range(4)), f"{tmp_path}/b.npz[0]"]
    assert rows[3].value.tolist() == [9, 10, 11]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or not a .npz archive"),
        (b"PK\x05\x06", "damaged or not a .npz archive"),
        (npy(X), "damaged or not a .npz archive"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.npz: {message}"):
        open_data([tmp_path / "a.npz"])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"x.txt": b"1"}, "holds no arrays; save x and y"),
        ({"y.npy": npy(Y)}, r"no array 'x'; it holds y; save x and y"),
        ({"x.npy": npy(X)}, r"no array 'y' with the labels"),
        ({"x.npy": npy(np.array([{}], object)), "y.npy": npy(Y)}, r"\(x\): dtype '\|O' cannot be used"),
        ({"x.npy": npy(X)[:-8], "y.npy": npy(Y)}, r"\(x\): fewer bytes than its header declares"),
        ({"x.npy": declared((1 << 40, 4), b""), "y.npy": npy(Y)}, r"\(x\): fewer bytes than its header declares"),
        ({"x.npy": b"text", "y.npy": npy(Y)}, r"\(x\): not a \.npy file"),
        ({"x.npy": npy(np.float32(3)), "y.npy": npy(Y)}, r"\(x\): a single number"),
        ({"x.npy": npy(X[:0]), "y.npy": npy(Y)}, r"\(x\): shape \(0, 3\) holds no values"),
        ({"x.npy": npy(X), "y.npy": npy(Y[:3])}, r"\(y\): 3 labels for the 4 rows of .*a\.npz"),
        ({"x.npy": npy(X), "y.npy": npy(Y - 1)}, r"\(y\): label -1 at row 0 is negative"),
        ({"x.npy": npy(np.where(X == 4, np.nan, X)), "y.npy": npy(Y)}, r"a\.npz: NaN at row 1, column 1"),
    ],
)
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_get_the_checks_of_npy_files(tmp_path: Path, members: dict, message: str, how: int) -> None:
    with pytest.raises(DataError, match=message):
        open_data([archive(tmp_path / "a.npz", members, how)])


def test_other_compression_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"x.npy": npy(X), "y.npy": npy(Y)}, zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match=r"\(y\): is compressed in a way that NumPy does not use"):
        open_data([path])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for _ in range(2):
            file.writestr("x.npy", npy(X))
    with pytest.raises(DataError, match="holds two arrays called 'x'"):
        open_data([tmp_path / "a.npz"])


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    data = bytearray(Path(archive(path, {"x.npy": npy(X), "y.npy": npy(Y)})).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the list of contents
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"\(x\): is encrypted"):
        open_data([path])


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    size = 1 << 26
    members = {"x.npy": declared((size,), b"\0" * (4 * size)), "y.npy": npy(Y)}
    path = archive(tmp_path / "a.npz", members, zipfile.ZIP_DEFLATED)
    for use in (lambda: open_data([path]), lambda: load_member(path, "x")):
        with pytest.raises(DataError, match=r"\(x\): 268,\d+,\d+ bytes from \d+,\d+ compressed ones, .* a bomb"):
            use()


def test_damaged_bytes_give_values_or_a_data_error(tmp_path: Path) -> None:
    generator, path = np.random.default_rng(0), tmp_path / "a.npz"
    for save in (np.savez, np.savez_compressed):
        save(path, x=generator.normal(size=(20, 3)), y=np.arange(20) % 3)
        good = path.read_bytes()
        for _ in range(150):
            bad = np.frombuffer(good, np.uint8).copy()
            bad[generator.integers(0, len(bad), 3)] = generator.integers(0, 256, 3)
            path.write_bytes(bad.tobytes()[: int(generator.integers(len(bad) // 2, 2 * len(bad)))])
            try:
                open_data([path])
            except DataError as error:
                assert str(error).startswith(str(path))


# Several inputs and outputs

TWO_INPUTS, TWO_OUTPUTS = ("a", "b"), (OutputLabels("out", None, "values"), OutputLabels("kind", 3, "classes"))


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """x1.npy (4, 3), x2.npy (4,), y1.npy (4,) float, y2.npy (4,) classes, and all.npz with all of them."""
    monkeypatch.chdir(tmp_path)
    all_of_them = {"a": X, "b": np.arange(4.0), "out": np.arange(4.0) / 2, "kind": Y}
    for name, array in zip(("x1", "x2", "y1", "y2"), all_of_them.values(), strict=True):
        np.save(f"{name}.npy", array)
    np.savez("all.npz", **all_of_them)


@pytest.mark.parametrize(
    ("data", "labels"),
    [(["b=x2.npy", "a=x1.npy"], ["kind=y2.npy", "out=y1.npy"]), (["all.npz"], []),
     (["all.npz"], ["out=y1.npy", "kind=y2.npy"]), (["a=all_a.npz", "b=x2.npy"], ["all.npz"])],
)  # fmt: skip
def test_arrays_reach_their_inputs_and_outputs_by_name(arrays: None, data: list, labels: list) -> None:
    np.savez("all_a.npz", x=X)
    opened = open_named(data, labels, TWO_INPUTS, TWO_OUTPUTS, Request())
    batch = opened.train.fetch(np.array([3, 1]))
    assert [array.tolist() for array in batch.inputs] == [[[9, 10, 11], [3, 4, 5]], [[3], [1]]]
    assert [array.tolist() for array in batch.targets] == [[[1.5], [0.5]], [1, 1]]
    assert opened.classes is None
    rows = list(open_named_inputs(data, TWO_INPUTS, [(3,), (1,)]))
    assert rows[3].value.tolist() == [9, 10, 11] and rows[3].others[0].tolist() == [3]
    assert rows[3].name.endswith("[3]")


def test_one_output_needs_no_name(arrays: None) -> None:
    opened = open_named(["a=x1.npy", "b=x2.npy"], ["y2.npy"], TWO_INPUTS, TWO_OUTPUTS[1:], Request(limit=2))
    assert len(opened.train) == 2


@pytest.mark.parametrize(
    ("data", "labels", "error", "message"),
    [
        (["a=x1.npy"], [], UsageError, "--data: 'b' is missing; give a=FILE.npy b=FILE.npy"),
        (["a=x1.npy", "a=x1.npy", "b=x2.npy"], [], UsageError, "--data: 'a' is given twice"),
        (["x1.npy", "b=x2.npy"], [], UsageError, r"--data: x1\.npy is for none of a, b; give a=FILE.npy b=FILE.npy"),
        (["c=x1.npy", "b=x2.npy"], [], UsageError, r"--data: c=x1\.npy is for none of a, b"),
        (["a=x1.npy", "b=x2.npy"], ["out=y1.npy"], UsageError, "--labels: 'kind' is missing; give out=FILE.npy"),
        (["a=x1.npy", "b=x2.npy"], [], UsageError, "--labels: 'out' is missing"),
        (["a=x1.npy", "b=y.npy"], [], DataError, r"y\.npy: cannot be read \(No such file"),
        (["a=x1.npy", "b=short.npy"], ["all.npz"], DataError, r"short\.npy: 2 rows, but x1\.npy has 4; rows belong"),
        (["all.npz"], ["out=y1.npy", "kind=y1.npy"], DataError, r"y1\.npy: label 0\.5 at row 1 is not a class number"),
        (["all.npz"], ["out=y1.npy", "kind=short.npy"], DataError, r"short\.npy: 2 rows, but all\.npz \(a\) has 4"),
        (["half.npz"], [], DataError, r"half\.npz: no array 'b'; it holds a"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    arrays: None, data: list, labels: list, error: type, message: str
) -> None:
    np.save("short.npy", [0, 1])
    np.savez("half.npz", a=X)
    with pytest.raises(error, match=message):
        open_named(data, labels, TWO_INPUTS, TWO_OUTPUTS, Request())
