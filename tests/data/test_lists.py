"""Lists of path,label[,weight]: text in, rows out."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dltool.data.lists import read_list
from dltool.data.opening import open_data
from dltool.errors import DataError, UsageError


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def cells(path: str) -> list[tuple]:
    return [(row.written, row.label, row.weight) for row in read_list(path).rows]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "1.png,cat\n2.png,dog,0.5\n"),
        ("a.csv", "path,label,weight\r\n1.png,cat,1\r\n2.png,dog,0.5\r\n"),
        ("a.csv", "\ufefflabel,prob,Path,weight\ncat,0.9,1.png,\ndog,0.8,2.png,.5\n"),
        ("a.CSV", '"1.png","cat"\n\n 2.png , dog , 0.5\n'),
        ("a.tsv", "1.png\tcat\n2.png\tdog\t0.5"),
        ("a.tsv", "file\tclass\tsample_weight\n1.png\tcat\t1e0\n2.png\tdog\t0.5"),
        ("a.jsonl", '{"path": "1.png", "label": "cat"}\n\n{"weight": 0.5, "label": "dog", "path": "2.png"}\n'),
        ("a.ndjson", '{"image": "1.png", "class": "cat"}\r\n{"file":"2.png","label":"dog","weight":"0.5"}'),
    ],
)  # fmt: skip
def test_the_same_rows_in_every_form(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path / name, text)
    assert cells(path) == [("1.png", "cat", 1), ("2.png", "dog", 0.5)]
    assert read_list(path).weights.tolist() == [1, 0.5]
    assert [row.path for row in read_list(path).rows] == [str(tmp_path / "1.png"), str(tmp_path / "2.png")]


def test_quoted_cells_hold_commas_quotes_and_odd_names(tmp_path: Path) -> None:
    text = b'"a,b ""x"".png","big, cat"\n\xff\x80.png,dog\n/abs.png,1\n'
    listed = read_list(write(tmp_path / "a.csv", text))
    assert [row.written for row in listed.rows] == ['a,b "x".png', "\udcff\udc80.png", "/abs.png"]
    assert [row.label for row in listed.rows] == ["big, cat", "dog", "1"]
    assert listed.rows[2].path == "/abs.png"
    assert listed.weights is None


@pytest.mark.parametrize("text", ["1.png,cat\n2.png,dog\n", "1.png\tcat\n2.png\tdog\n",
                                  '{"path":"1.png","label":"cat"}\n{"path":"2.png","label":"dog"}\n'])  # fmt: skip
def test_stdin_is_read_by_its_look_and_paths_count_from_here(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    listed = read_list("-")
    assert [(row.path, row.label) for row in listed.rows] == [("1.png", "cat"), ("2.png", "dog")]


def test_closed_stdin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="stdin: is closed"):
        read_list("-")


def test_labels_are_optional_for_prediction(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "path\n1.png\n2.png\n")
    assert [row.written for row in read_list(path, labelled=False).rows] == ["1.png", "2.png"]
    with pytest.raises(DataError, match=r"a\.csv: line 2 has no label; write it as path,label"):
        read_list(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "holds no rows"),
        ("a.csv", "path,label\n", "holds no rows"),
        ("a.csv", "1.png,cat\n2.png\n", "line 2 has no label"),
        ("a.csv", "1.png,cat\n,dog\n", "line 2 has no path"),
        ("a.csv", "1.png,cat\n2.png,dog,much\n", "line 2: weight 'much' is not a number from 0 up"),
        ("a.csv", "1.png,cat,-1\n", "line 1: weight '-1' is not a number from 0 up"),
        ("a.csv", "1.png,cat,nan\n", "line 1: weight 'nan' is not a number from 0 up"),
        ("a.csv", "1.png,cat,0\n2.png,dog,0\n", "every weight is 0"),
        ("a.csv", "1.png,cat,1,2\n", "line 1 has 4 cells"),
        ("a.csv", "1.png,cat\n2.png,big, dog, 1\n", "line 2 has 4 cells"),
        ("a.csv", '1.png,"cat\n2.png,dog\n', "line 2 cannot be read"),
        ("a.csv", '1.png,"cat\n2"\n', "line 2 has a line break in its label"),
        ("a.csv", "1.png,cat\0\n", "not UTF-8 text"),
        ("a.csv", "1.png,cat".encode("utf-16"), "not UTF-8 text"),
        ("a.csv", "1.png," + "c" * 200_000, "line 1 cannot be read"),
        ("a.jsonl", '{"path": "1.png"', "line 1 is not JSON"),
        ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("a.jsonl", '["1.png", "cat"]', "line 1 is no object"),
        ("a.jsonl", '{"path": "1.png", "label": true}', "line 1: label is neither text nor a number"),
        ("a.jsonl", '{"path": "1.png", "label": ["cat", 1]}', "line 1: label is neither text nor a number"),
        ("a.jsonl", '{"path": {"a": 1}, "label": "cat"}', "line 1: path is neither text nor a number"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: {message}"):
        read_list(write(tmp_path / name, text))


def test_a_list_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match=r"a\.csv: is not a regular file"):
        read_list(str(tmp_path / "a.csv"))
    with pytest.raises(DataError, match=r"b\.csv: cannot be read \(No such file"):
        read_list(str(tmp_path / "b.csv"))


# Opened as data


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Grey 2x2 pictures 0.png to 5.png of brightness 0, 10, 20, ..."""
    for number in range(6):
        Image.new("L", (2, 2), 10 * number).save(tmp_path / f"{number}.png")
    return tmp_path


def test_a_list_gives_classes_and_weights(pictures: Path) -> None:
    opened = open_data([write(pictures / "a.csv", "3.png,dog\n1.png,cat,0.5\n2.png,cat\n")])
    assert (opened.kind, opened.classes, opened.input_shape) == ("images", ("cat", "dog"), (2, 2, 1))
    batch = opened.train.fetch(np.array([1, 0]))
    assert batch.inputs[0][:, 0, 0, 0].tolist() == [10, 30]
    assert batch.targets[0].tolist() == [0, 1]
    assert batch.weights.tolist() == [0.5, 1]
    assert opened.train.names([0]) == [str(pictures / "3.png")]


def test_weights_are_part_of_the_fingerprint(pictures: Path) -> None:
    texts = ["0.png,a\n1.png,b\n", "0.png,a\n1.png,b,2\n", "0.png,b\n1.png,a\n"]
    prints = [open_data([write(pictures / "a.csv", text)]).train.fingerprint for text in texts]
    assert len(set(prints)) == 3


def test_lists_and_folders_are_joined(pictures: Path) -> None:
    (pictures / "data/owl").mkdir(parents=True)
    Image.new("L", (2, 2), 99).save(pictures / "data/owl/1.png")
    opened = open_data([pictures / "data", write(pictures / "a.csv", "1.png,cat,3\n")])
    assert opened.classes == ("cat", "owl")
    batch = opened.train.fetch(np.array([0, 1]))
    assert batch.targets[0].tolist() == [1, 0]
    assert batch.weights.tolist() == [1, 3]


def test_floats_are_regression_and_whole_numbers_are_names(pictures: Path) -> None:
    opened = open_data([write(pictures / "a.csv", "0.png,0.5\n1.png,-2e0\n2.png,3\n")])
    assert opened.classes is None
    assert opened.train.labels.tolist() == [[0.5], [-2], [3]]
    numbers = write(pictures / "b.csv", "0.png,10\n1.png,2\n")
    assert open_data([numbers]).classes == ("2", "10")
    assert open_data([numbers], wants="values").train.labels.tolist() == [[10], [2]]
    assert open_data([numbers], wants="classes", num_classes=11).train.labels.tolist() == [10, 2]
    with pytest.raises(DataError, match=r"b\.csv: line 1: label 10; there are 3 classes \(0\.\.2\)"):
        open_data([numbers], wants="classes", num_classes=3)
    with pytest.raises(DataError, match=r"c\.csv: line 2: label 'x' is not a number; the model gives numbers"):
        open_data([write(pictures / "c.csv", "0.png,1\n1.png,x\n")], wants="values")


def test_classes_of_a_model_are_matched_by_name(pictures: Path) -> None:
    path = write(pictures / "a.csv", "0.png,dog\n1.png,dog\n")
    assert open_data([path], class_names=["owl", "dog"]).train.labels.tolist() == [1, 1]
    with pytest.raises(DataError, match=r"a\.csv: line 1: unknown class 'dog'; the classes are cat, owl"):
        open_data([path], class_names=["cat", "owl"])
    with pytest.raises(DataError, match=r"a\.csv: all 2 rows are of one class, 'dog'"):
        open_data([path])


def test_missing_images_stop_or_are_left_out(pictures: Path) -> None:
    path = write(pictures / "a.csv", "0.png,a\ngone.png,a\n1.png,b,2\n")
    with pytest.raises(DataError, match=r"gone\.png: no such file; check the path, or use --skip-bad"):
        open_data([path])
    opened = open_data([path], skip_bad=True)
    assert (len(opened.train), opened.skipped_files) == (2, 1)
    assert opened.train.weights.tolist() == [1, 2]


def test_a_limit_keeps_the_weights_of_its_rows(pictures: Path) -> None:
    text = "".join(f"{i}.png,{'ab'[i % 2]},{i + 1}\n" for i in range(6))
    opened = open_data([write(pictures / "a.csv", text)], limit=4)
    assert np.bincount(opened.train.labels).tolist() == [2, 2]
    brightness = opened.train.fetch(np.arange(4)).inputs[0][:, 0, 0, 0]
    assert (opened.train.weights == brightness / 10 + 1).all()


def test_rows_of_arrays_may_be_listed(tmp_path: Path) -> None:
    for name in "pq":
        np.save(tmp_path / f"{name}.npy", np.arange(8.0).reshape(4, 2) + (10 if name == "q" else 0))
    text = "p.npy[3],dog\nq.npy[0],cat,0.5\np.npy[1],cat\n"
    opened = open_data([write(tmp_path / "a.csv", text)])
    assert (opened.kind, opened.classes) == ("arrays", ("cat", "dog"))
    batch = opened.train.fetch(np.arange(3))
    assert batch.inputs[0].tolist() == [[6, 7], [2, 3], [10, 11]]  # the rows of one array together
    assert batch.targets[0].tolist() == [1, 0, 0]
    assert batch.weights.tolist() == [1, 1, 0.5]
    assert opened.train.names([0, 2]) == [f"{tmp_path}/p.npy[3]", f"{tmp_path}/q.npy[0]"]
    path = write(tmp_path / "b.csv", "p.npy[0],5\np.npy[1],3\n")
    assert open_data([path], wants="classes", num_classes=9).train.labels.tolist() == [5, 3]
    assert open_data([path], wants="values").train.labels.tolist() == [[5], [3]]
    with pytest.raises(DataError, match=r"c\.csv: line 2: .*p\.npy has only 4 rows"):
        open_data([write(tmp_path / "c.csv", "p.npy[0],a\np.npy[4],b\n")])
    with pytest.raises(DataError, match=r"d\.csv: line 2: images and rows of arrays cannot be joined"):
        open_data([write(tmp_path / "d.csv", "p.npy[0],a\n1.png,b\n")])


def test_options_that_a_list_makes_meaningless_are_refused(pictures: Path) -> None:
    path = write(pictures / "a.csv", "0.png,a\n1.png,b\n")
    with pytest.raises(UsageError, match=r"--labels: the list .* holds its own; leave --labels out"):
        open_data([path], labels="y.npy")
    rows = write(pictures / "rows.csv", "x.npy[0],a\nx.npy[1],b\n")
    with pytest.raises(UsageError, match=r"--multi-label: .*rows\.csv lists rows of arrays; give x\.npy and 0/1 rows"):
        open_data([rows], multi_label=True)
    with pytest.raises(DataError, match="class folders cannot be joined with a list of numbers"):
        (pictures / "data/owl").mkdir(parents=True)
        Image.new("L", (2, 2)).save(pictures / "data/owl/1.png")
        open_data([pictures / "data", write(pictures / "b.csv", "0.png,0.5\n")])
    with pytest.raises(UsageError, match="'-' is given twice"):
        open_data(["-", "-"])


def scenes(folder: Path) -> None:
    for name in ("1.png", "2.png", "3.png", "4.png"):
        Image.new("L", (4, 4)).save(folder / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "1.png,sea;sand\n2.png,sand\n3.png, people ; sea \n4.png,\n"),
        (
            "a.jsonl",
            '{"path":"1.png","label":["sea","sand"]}\n{"path":"2.png","label":"sand"}\n'
            '{"path":"3.png","label":["people","sea"]}\n{"path":"4.png","label":[]}\n',
        ),
    ],
)
def test_several_labels_of_an_image_become_a_row_of_0_and_1(tmp_path: Path, name: str, text: str) -> None:
    scenes(tmp_path)
    opened = open_data([write(tmp_path / name, text)], multi_label=True)
    assert opened.classes == ("people", "sand", "sea")
    assert opened.train.labels.dtype == np.float32
    assert opened.train.labels.tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_a_model_of_independent_outputs_reads_several_labels_in_its_own_order(tmp_path: Path) -> None:
    scenes(tmp_path)
    listed = write(tmp_path / "a.csv", "1.png,sea;sand\n2.png,sand\n")
    opened = open_data([listed], wants="labels", class_names=("sea", "sky", "sand"))
    assert opened.train.labels.tolist() == [[1, 0, 1], [0, 0, 1]]
    with pytest.raises(DataError, match=r"a\.csv: line 1: unknown class 'sand'; the classes are sea, sky"):
        open_data([listed], wants="labels", class_names=("sea", "sky"))
    with pytest.raises(DataError, match="'sea;sand'"):  # for a model that tells one class from others it is one name
        open_data([listed], wants="classes", class_names=("sea", "sand"))


def test_lists_of_several_labels_are_joined_by_name_and_with_folders(tmp_path: Path) -> None:
    scenes(tmp_path)
    for name in ("sky", "sea"):
        (tmp_path / "more" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "more" / name / "5.png")
    paths = [write(tmp_path / "a.csv", "1.png,sea;sand\n"), write(tmp_path / "b.csv", "2.png,sky\n")]
    opened = open_data([*paths, str(tmp_path / "more")], multi_label=True)
    assert opened.classes == ("sand", "sea", "sky")
    assert opened.train.labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]]
    other = open_data([write(tmp_path / "c.csv", "1.png,sand;sea\n"), *paths[1:], str(tmp_path / "more")],
                      multi_label=True)  # fmt: skip
    assert other.train.fingerprint == opened.train.fingerprint
    changed = open_data([write(tmp_path / "c.csv", "1.png,sand;sky\n"), *paths[1:], str(tmp_path / "more")],
                        multi_label=True)  # fmt: skip
    assert changed.train.fingerprint != opened.train.fingerprint


def test_class_folders_alone_have_one_label_per_image(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--multi-label: .* gives one label per image; give a list of path,cat;dog"):
        open_data([str(tmp_path)], multi_label=True)
