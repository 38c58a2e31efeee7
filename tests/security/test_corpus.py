"""The shared corpus of 162 malicious, broken and odd files, each through the command line.

Every run must give the manifest's verdict by its exit code, inside the sample's memory and processor time, say at most
one line on stderr that names the file, and neither execute anything (a canary), nor read the marked file, nor send a
control character to a terminal.
"""

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dltool.cli.console import printable
from tests.security.fork_server import ForkServer, Run

pytestmark = pytest.mark.shared

QUICK = ("-q", "--jobs", "1")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Bench:
    """The corpus, models to feed it to, and what was wrong so far."""

    def __init__(self, server: ForkServer, root: Path, samples: list[dict], work: Path):
        self.server, self.root, self.samples, self.work = server, root, samples, work
        self.wrong: list[str] = []
        for words in (
            ("rows.h5", "--input", "4", "dense:4,softmax"),
            ("wide.h5", "--input", "4096", "dense:2,softmax"),
            ("picture.h5", "--input", "32x48x3", "--class-names", "cats,dogs", "gap", "dense:2,softmax"),
        ):
            assert server.run("build", *words, "-q", cwd=work).code == 0
        np.save(work / "labels.npy", np.arange(8) % 4)
        np.save(work / "pairs.npy", np.arange(2**22) % 2)

    def of_kind(self, *kinds: str) -> Iterator[dict]:
        return (sample for sample in self.samples if sample["kind"] in kinds)

    def run(self, sample: dict, code: int, *words: object, named: tuple[object, ...] = ()) -> Run:
        """Run dltool on a sample and note whatever is not as it must be.

        Args:
            code: the exit code wanted.
            named: files of which the message names one; none for the sample's own.
        """
        done = self.server.run(*words, cwd=self.work)
        problems = [
            *([] if done.code == code else [f"exit {done.code}, not {code}"]),
            *([] if done.peak_mb <= sample["max_rss_mb"] else [f"{done.peak_mb:.0f} MB"]),
            *([] if done.seconds <= sample["max_s"] else [f"{done.seconds:.1f} s"]),
            *wrong_words(done, [str(name) for name in named] or [str(self.path(sample))]),
            *(f"canary {name}" for name in os.listdir(self.root / "canary")),
        ]
        text = done.out.decode("utf-8", "replace") + done.err
        problems += [f"shows {sign!r}" for sign in ("SECRET-MARKER", "Zen of Python") if sign in text]
        if problems:
            self.wrong.append(f"{sample['id']}: {' '.join(done.args[:1])}: {'; '.join(problems)}: {done.err[:300]}")
        return done

    def path(self, sample: dict) -> Path:
        return self.root / sample["path"]


def wrong_words(done: Run, named: list[str]) -> list[str]:
    """What is wrong with a run's stdout and stderr."""
    lines, out = done.err.splitlines(), done.out.decode("utf-8", "replace")
    found = [f"control character in {name}" for name, t in (("stdout", out), ("stderr", done.err)) if CONTROL.search(t)]
    if done.code in (3, 4):
        starts = tuple(f"dltool: error: {printable(name)}" for name in named)
        found += [] if len(lines) == 1 and lines[0].startswith(starts) else ["not one line that names the file"]
        found += ["something on stdout"] if done.out else []
    if any(len(line) > 2000 for line in lines):
        found.append("a line of more than 2000 characters")
    return found


@pytest.fixture(scope="module")
def bench(server, corpus, tmp_path_factory) -> Bench:
    return Bench(server, *corpus, tmp_path_factory.mktemp("work"))


@pytest.fixture(autouse=True)
def nothing_wrong(bench: Bench) -> Iterator[None]:
    bench.wrong.clear()
    yield
    assert not bench.wrong, "\n".join(bench.wrong)


def test_the_corpus_is_whole(bench):
    assert len(bench.samples) == 162
    assert {sample["kind"] for sample in bench.samples} == {"model-h5", "model-keras", "npy", "image", "folder"}


def test_models_load_or_are_refused(bench):
    np.save(bench.work / "four.npy", np.ones((2, 4), np.float32))
    for sample in bench.of_kind("model-h5"):
        code = {"load": 0, "reject": 4}[sample["expect"]]
        path = bench.path(sample)
        bench.run(sample, code, "summary", path)
        if code:
            bench.run(sample, code, "predict", path, "four.npy", *QUICK)
            continue
        strict_json(bench.run(sample, 0, "summary", path, "--json").out)
        rows = bench.run(sample, 0, "predict", path, "four.npy", "--format", "jsonl", *QUICK).out.splitlines()
        assert [strict_json(row)["path"] for row in rows] == ["four.npy[0]", "four.npy[1]"]


def strict_json(text: bytes) -> dict:
    """NaN is no JSON, though Python takes it."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in {text!r}")

    return json.loads(text, parse_constant=refuse)


def test_weights_that_are_no_numbers_are_told(bench):
    (sample,) = (s for s in bench.samples if s["id"] == "m56_nan_weights")
    np.save(bench.work / "four.npy", np.ones((2, 4), np.float32))
    told = "8 of 15 weights are NaN or infinite"
    assert told in bench.run(sample, 0, "predict", bench.path(sample), "four.npy", "--jobs", 1).err
    assert told in bench.run(sample, 0, "summary", bench.path(sample)).out.decode()


REASONS = {
    "k01_traversal": "'assets/../../canary/k01_traversal' would be unpacked outside of its folder",
    "k02_absolute": "would be unpacked outside of its folder",
    "k03_symlink": "its member 'assets/link' is a symbolic link",
    "k04_zip_bomb": "its members declare 53",
    "k05_lambda": "layer 'lam': is a Lambda layer, which is code",
}


def test_keras_archives_load_or_are_refused_for_the_right_reason(bench):
    np.save(bench.work / "four.npy", np.ones((2, 4), np.float32))
    for sample in bench.of_kind("model-keras"):
        code, path = {"load": 0, "reject": 4}[sample["expect"]], bench.path(sample)
        done = bench.run(sample, code, "summary", path)
        assert REASONS.get(sample["id"], "") in done.err
        assert bool(code) == (sample["id"] in REASONS)
        if not code:
            done = bench.run(sample, 0, "predict", path, "four.npy", "--probs", "--format", "jsonl", *QUICK)
            rows = [list(json.loads(row)["probs"].values()) for row in done.out.splitlines()]
            assert np.allclose(rows, np.full((2, 3), 1 / 3))  # the softmax of three equal sums


def test_arrays_load_or_are_refused(bench):
    for sample in bench.of_kind("npy"):
        path, loads = bench.path(sample), sample["expect"] == "load"
        code = 0 if loads else 3
        if "labels" in sample["id"]:
            check_labels(bench, sample, code)
        elif "sparse" in sample["id"]:
            bench.run(sample, code, "evaluate", "wide.h5", "--data", path, "--labels", "pairs.npy", "--limit", 1000)
        else:
            bench.run(sample, code, "evaluate", "rows.h5", "--data", path, "--labels", "labels.npy", *QUICK)
            done = bench.run(sample, int(not loads), "predict", "rows.h5", path, "--format", "jsonl", *QUICK)
            rows = [json.loads(row) for row in done.out.splitlines()]
            assert len(done.err.splitlines()) == sum("error" in row for row in rows)


def check_labels(bench: Bench, sample: dict, code: int) -> None:
    """Labels that cannot be classes, and those that cannot train."""
    good, path = bench.root / "arrays/a00_good.npy", bench.path(sample)
    if "one_class" not in sample["id"]:  # measuring a model on rows of one class is no mistake
        bench.run(sample, code, "evaluate", "rows.h5", "--data", good, "--labels", path, *QUICK)
    if "float" not in sample["id"]:  # without a model, numbers are for regression
        words = ("--arch", "mlp", "--epochs", 1, *QUICK)
        bench.run(sample, code, "fit", "new.h5", "--data", good, "--labels", path, *words, named=(path, good))
    assert not (bench.work / "new.h5").exists()


def test_images_are_read_or_skipped_by_name(bench):
    good = bench.root / "images/i00_good.jpg"
    for sample in bench.of_kind("image"):
        path, loads = bench.path(sample), sample["expect"] == "load"
        done = bench.run(sample, int(not loads), "predict", "picture.h5", path, "--format", "jsonl", *QUICK)
        (row,) = map(json.loads, done.out.splitlines())
        assert ("error" in row) is not loads
        assert done.err == ("" if loads else f"dltool: {row['error']}\n")
        assert loads or row["error"].startswith(f"{path}: ")
        data = bench.work / "data"
        for name in ("cats", "dogs"):
            (data / name).mkdir(parents=True)
            shutil.copy(good, data / name)
        shutil.copy(path, data / "cats")
        words = ("evaluate", "picture.h5", "--data", data, *QUICK)
        if path.suffix == ".svg":  # not a picture by its name
            bench.run(sample, 0, *words)
        else:
            bench.run(sample, 0 if loads else 3, *words, named=(data / "cats" / path.name,))
        bench.run(sample, 0, *words, "--skip-bad")
        shutil.rmtree(data)


def test_folders_are_trained_on_or_refused(bench):
    for sample in bench.of_kind("folder"):
        code = {"load": 0, "reject": 3}[sample["expect"]]
        words = ("--arch", "mlp", "--epochs", 1, "--val-split", 0)
        bench.run(sample, code, "fit", "f.h5", "--data", bench.path(sample), *words, *QUICK)
        written = bench.work / "f.h5"
        assert written.exists() == (not code)
        if not code:
            assert b"SECRET-MARKER" not in written.read_bytes()
            bench.run(sample, 0, "summary", "f.h5")
            written.unlink()


def test_a_folder_of_odd_names_gives_one_clean_row_per_file_in_every_format(bench):
    (sample,) = (s for s in bench.samples if s["id"] == "f10_odd_names")
    predict = ("predict", "picture.h5", bench.path(sample), *QUICK)
    count = sum(len(files) for _, _, files in os.walk(bench.path(sample)))
    assert len(bench.run(sample, 0, *predict).out.splitlines()) == count + 1
    for layout, read in (("csv", csv.DictReader), ("tsv", lambda text: csv.DictReader(text, delimiter="\t"))):
        text = bench.run(sample, 0, *predict, "--format", layout).out.decode()
        assert len(text.splitlines()) == count + 1
        rows = list(read(io.StringIO(text)))
        assert len(rows) == count
        assert {row["label"] for row in rows} <= {"cats", "dogs"}
    rows = bench.run(sample, 0, *predict, "--format", "jsonl").out.splitlines()
    assert len({json.loads(row)["path"] for row in rows}) == count


def test_no_cell_of_a_csv_is_a_formula(bench):
    (sample,) = (s for s in bench.samples if s["id"] == "f11_odd_class_names")
    odd = bench.root / "folders/f10_odd_names/cats"
    fit = ("fit", "odd.h5", "--data", bench.path(sample), "--arch", "mlp", "--epochs", 1, "--val-split", 0)
    bench.run(sample, 0, *fit, *QUICK)
    names = ["=1+1.png", "-rf.png", "@SUM(1).png", " lead and trail .png"]
    for name in names:
        shutil.copy(odd / name, bench.work)
    done = bench.run(sample, 0, "predict", "odd.h5", "--probs", "--format", "csv", *QUICK, "--", *names)
    header, *rows = csv.reader(io.StringIO(done.out.decode()))
    assert [row[0].removeprefix("'") for row in rows] == names
    assert not [cell for row in (header, *rows) for cell in row[:2] if cell.startswith(FORMULA)]
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row[2:])
