"""The sixteen rules that every command keeps, each in processes of their own, as a user meets them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from dltool.cli.help import FOLDER
from dltool.cli.main import COMMANDS
from tests.cli.terminal import run_in_terminal
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder

unix = pytest.mark.skipif(os.name != "posix", reason="terminals and signals of Unix")
HEAVY = ("numpy", "h5py", "PIL", "tabulate")
ODD = "[\x00-\x08\x0b-\x1f\x7f]"
"""Everything that moves a cursor or colours a text."""
DLTOOL = [sys.executable, "-W", "error", "-m", "dltool"]


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository):
    """A folder with train/ and test/ of three grey levels, and m.h5 trained on them."""
    folder = tmp_path_factory.mktemp("project")
    picture_folder(folder / "train", DARK_AND_BRIGHT, per_class=20)
    picture_folder(folder / "test", DARK_AND_BRIGHT, per_class=4, seed=1)
    words = ["fit", "m.h5", "--data", "train", "--arch", "mlp:units=16", "--epochs", "3", "--jobs", "1", "-q"]
    environ = {**os.environ, "PYTHONPATH": str(repository)}
    subprocess.run([*DLTOOL, *words], cwd=folder, env=environ, check=True, timeout=120)
    return folder


@pytest.fixture
def here(project, tmp_path):
    """A copy of the project that a test may change."""
    shutil.copytree(project, tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def run(run_dltool, here):
    """``run("fit m.h5 --data train")`` in the project; a list where words have spaces."""

    def call(words, **options):
        return run_dltool(*(words.split() if isinstance(words, str) else words), cwd=here, **options)

    return call


@pytest.fixture
def terminal(run_dltool, here):
    """The same on a terminal: (exit code, what it showed)."""

    def call(words, environ=(), columns=80):
        kept = {k: v for k, v in run_dltool.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        found = {**kept, "TERM": "xterm", "LC_ALL": "C.UTF-8", **dict(environ)}
        return run_in_terminal([*DLTOOL, *words.split()], found, here, columns=columns)

    return call


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def has(run, command, option):
    return re.search(rf"(?<![\w-]){option}(?![\w-])", run(f"{command} --help").stdout) is not None


# 1. help, version, completion and usage errors cost no more than Python and click


@pytest.mark.parametrize(
    "words", ["--help", "--version", "fit --help", "completion bash", "help data", "fit --epohcs 3"]
)
def test_rule_1_help_and_usage_errors_import_nothing_heavy(words, repository):
    environ = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-X", "importtime", "-m", "dltool", *words.split()]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    imported = {name.split(".")[0] for name in modules}
    assert "click" in imported
    assert not imported & set(HEAVY)
    assert "dltool.settings" not in modules  # its dataclasses take 10 ms to make


# 2. stdout has results only; streams are plain unless a terminal shows them


def test_rule_2_stdout_has_results_only(run):
    for words, is_result in (
        ("build new.h5 --input 4 dense:3,softmax", False),
        ("fit m.h5 --data train --epochs 1", False),
        ("evaluate m.h5 --data test", True),
        ("predict m.h5 test/dark/0.png", True),
        ("summary m.h5", True),
        ("build new2.h5 --input 4 dense:3,softmax --dry-run", True),
    ):
        done = run(words)
        assert done.returncode == 0, done.stderr
        assert bool(done.stdout) == is_result, words
        assert not re.search(ODD, done.stdout + done.stderr), words


def test_rule_2_a_log_gets_one_plain_line_per_epoch(run):
    done = run("fit new.h5 --data train --arch mlp:units=4 --epochs 3")
    epochs = [line for line in done.stderr.splitlines() if re.match(r" *\d+/3 ", line)]
    assert len(epochs) == 3
    assert not re.search(ODD, done.stderr)


@unix
def test_rule_2_colour_and_motion_on_a_terminal_only_and_as_the_environment_wants(run, terminal):
    words = "fit m.h5 --data train --epochs 1"
    code, shown = terminal(words)
    assert code == 0
    assert "\x1b[" in shown and "\r" in shown.replace("\r\n", "\n")
    _, shown = terminal(words, environ={"NO_COLOR": "1"})
    assert "\x1b" not in shown
    _, shown = terminal(words, environ={"TERM": "dumb"})
    assert not re.search(ODD, shown.replace("\r\n", "\n"))
    assert "\x1b[" in run(words, FORCE_COLOR="1").stderr


@unix
def test_rule_2_the_width_of_the_terminal_is_obeyed(terminal):
    _, shown = terminal("fit m.h5 --data train --epochs 1", columns=50, environ={"NO_COLOR": "1"})
    moving = [part for line in shown.split("\n") for part in line.rstrip("\r").split("\r")[:-1]]
    assert moving
    assert max(map(len, moving)) <= 50


@unix
def test_rule_2_ascii_where_the_stream_is_not_utf8(here, terminal):
    os.rename(here / "test" / "dark" / "0.png", here / "test" / "dark" / "ä.png")
    for words in ("fit m.h5 --data train --epochs 1", "predict m.h5 test/dark"):
        code, shown = terminal(words, environ={"PYTHONIOENCODING": "ascii"})
        assert code == 0
        assert shown.isascii()


# 3. "-", "--" and --files0-from


def test_rule_3_minus_is_stdin_and_two_end_the_options(run, here, repository):
    config = (repository / "tests" / "modelfile" / "configs" / "keras2_images.json").read_text()
    assert run("build c.h5 --from - -q", input=config).returncode == 0
    assert (here / "c.h5").exists()
    shutil.copy(here / "m.h5", here / "-m.h5")
    assert run("summary -- -m.h5").returncode == 0
    assert run("summary -m.h5").returncode == 2


def test_rule_3_names_from_a_list_that_ends_each_with_nul(run, here):
    if not has(run, "predict", "--files0-from"):
        pytest.skip("predict has no --files0-from")
    names = ["test/dark/0.png", "test/mid/two words.png", "test/mid/new\nline.png"]
    for name in names[1:]:
        shutil.copy(here / "test/mid/0.png", here / name)
    (here / "list").write_text("\0".join(names) + "\0")
    for source, given in (("list", None), ("-", (here / "list").read_text())):
        done = run(["predict", "m.h5", "--files0-from", source, "--format", "jsonl"], input=given)
        assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == names, done.stderr


# 4. one option, one meaning


def test_rule_4_an_option_is_spelled_and_explained_alike_everywhere(run):
    seen = {}
    for command in COMMANDS:
        for names, value in re.findall(
            r"^  ((?:-\w, )?--[a-z0-9-]+)([^\n]*?)(?:  |$)", run(f"{command} --help").stdout, re.M
        ):
            long = names.split()[-1]
            found = (names, bool(value.strip()))  # with a value or without; finetune's --lr takes several
            assert seen.setdefault(long, found) == found, (command, long)
    assert {"--data", "--epochs", "--seed", "--jobs", "--json", "--force", "--quiet"} <= set(seen)


def test_rule_4_options_stand_anywhere_and_are_never_abbreviated(run):
    first = run("predict m.h5 test/dark/0.png --format csv --probs").stdout
    assert first == run("predict --probs --format csv m.h5 test/dark/0.png").stdout
    assert first == run("predict m.h5 --format=csv test/dark/0.png --probs").stdout
    done = run("predict m.h5 test/dark/0.png --prob")
    assert (done.returncode, done.stderr) == (2, "dltool: error: --prob: no such option; did you mean --probs?\n")


# 5. a typo gets the nearest match


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("fti m.h5", "did you mean 'fit'?"),
        ("fit m.h5 --data train --epohcs 3", "did you mean --epochs?"),
        ("build x.h5 --input 4 dnese:3", "did you mean 'dense'?"),
        ("build x.h5 --input 4 dense:3,sofmax", "did you mean 'softmax'?"),
        ("build x.h5 --input 4 dense:3,use_bais=true", "did you mean 'use_bias'?"),
        ("build x.h5 --input 4 dense:3 --loss mean_sqared_error", "did you mean 'mean_squared_error'?"),
        ("fit m.h5 --data train --optimizer adma", "did you mean 'adam'?"),
        ("fit m.h5 --data train --optimizer sgd:momentm=0.9", "did you mean 'momentum'?"),
        ("fit m.h5 --data train --class-weight drak=2", "did you mean 'dark'?"),
        ("build x.h5 --arch lenett --input 8x8x1 --classes 2", "did you mean 'lenet'?"),
        ("help layer-word", "did you mean 'layer-words'?"),
        ("completion fsh", "did you mean 'fish'?"),
    ],
)
def test_rule_5_a_typo_gets_the_nearest_match_and_never_the_help(words, advice, run, here):
    before = files_of(here)
    done = run(words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert advice in done.stderr
    assert "Usage" not in done.stderr
    assert files_of(here) == before


# 6. every error is one line that names file or option; nothing is begun before everything is checked

BAD = [
    ("summary no.h5", 4, "no.h5: "),
    ("summary train/dark/0.png", 4, "train/dark/0.png: "),
    ("summary train", 4, "train: "),
    ("evaluate m.h5", 2, "--data: missing"),
    ("evaluate m.h5 --data no", 3, "no: "),
    ("evaluate m.h5 --data test --batch-size 0", 2, "--batch-size: 0 is out of range"),
    ("evaluate m.h5 --data test --class-names a,b", 2, "--class-names: "),
    ("predict m.h5", 2, "PATH: missing"),
    ("predict m.h5 test --format xml", 2, "--format: unknown format 'xml'"),
    ("predict m.h5 test --top 0", 2, "--top: 0 is out of range"),
    ("fit m.h5 --data train --epochs 0", 2, "--epochs: 0 is out of range"),
    ("fit m.h5 --data train --val-split 1", 2, "--val-split: 1 is out of range"),
    ("fit m.h5 --data train --val no", 3, "no: "),
    ("fit m.h5 --data train --lr nan", 2, "--lr: nan is out of range"),
    ("fit m.h5 --data train --monitor acuracy", 2, "--monitor: "),
    ("fit m.h5 --data train -o no/out.h5", 5, "no/out.h5: the folder no does not exist"),
    ("fit m.h5 --data train -o train", 5, "train: is a directory"),
    ("fit m.h5 --data train --labels no.npy", 2, "--labels: class folders are the labels"),
    ("fit m.h5 --data train --image-size 8", 2, "--image-size: '8' has 1 numbers"),
    ("fit no.h5 --data train", 4, "no.h5: no such file"),
    ("fit m.h5 --data train --arch cnn", 2, "--arch: m.h5 exists"),
    ("build m.h5 --input 4 dense:3", 5, "m.h5: exists; use --force"),
    ("build x.h5 --data train dense:2,softmax", 2, ""),
]


@pytest.mark.parametrize(("words", "code", "message"), BAD)
def test_rule_6_errors_are_one_line_and_nothing_is_written(words, code, message, run, here):
    before = files_of(here)
    done = run(words)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, "")
    assert lines[-1].startswith(f"dltool: error: {message}")
    assert re.fullmatch(r"dltool: error: [^:]+.*: .*", lines[-1])
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    assert files_of(here) == before


def test_rule_6_names_are_escaped_and_tracebacks_only_for_debug(run):
    done = run(["evaluate", "m.h5", "--data", "\x1b[31mred\n\x07"])
    assert done.returncode == 3
    assert done.stderr.startswith("dltool: error: \\x1b[31mred\\n\\x07: ")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" in run("summary no.h5 --debug").stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of memory are those of Unix")
def test_rule_6_too_little_memory_is_told_in_one_line(run, here, run_dltool):
    np.save(here / "x.npy", np.zeros((200_000, 8), np.uint8))
    np.save(here / "y.npy", np.arange(200_000) % 2)
    assert run("build big.h5 --input 8 dense:200000 dense:2,softmax").returncode == 0
    before = files_of(here)
    data = "big.h5 --data x.npy --labels y.npy --jobs 1 --batch-size 160000"
    done = run(f"fit {data}")
    line = r"dltool: error: --batch-size: with 160,000 rows about \d+ GB .* are free; give [\d,]+ or fewer\n"
    assert done.returncode == 2
    assert re.fullmatch(line.replace(r"\d+ GB", r"[\d.]+ GB"), done.stderr)
    limit = "import resource, runpy; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); "
    limit += "runpy.run_module('dltool', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", limit, "evaluate", *data.split()],
        cwd=here,
        env=run_dltool.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    message = "dltool: error: memory: not enough; give a smaller --batch-size, --limit or --image-size\n"
    assert (done.returncode, done.stderr) == (2, message)
    assert files_of(here) == before


# 7. exit codes


def test_rule_7_short_diverged_and_unwritable(run, here):
    (here / "test" / "bad.png").write_bytes(b"no image")
    assert run("predict m.h5 test/dark/0.png test/bad.png").returncode == 1
    done = run("fit m.h5 --data train --lr 1e30 --epochs 9 -o x.h5")
    assert done.returncode == 6
    assert "Warning" not in done.stderr
    assert re.match(r"dltool: error: training: .*loss is (nan|inf).*; use a smaller --lr", done.stderr.splitlines()[-1])


@unix
def test_rule_7_a_closed_pipe_is_silent(here, run_dltool):
    code = f"{sys.executable} -m dltool predict m.h5 train train train --format jsonl --jobs 1 -q; echo code $? >&2"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ["sh", "-c", code],
        cwd=here,
        env=run_dltool.environ,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert done.stderr == "code 141\n"


# 8. --json and streams of JSON lines


def test_rule_8_json_has_a_schema_and_floats_round_trip(run):
    for words, schema in (("summary m.h5 --json", "summary"), ("evaluate m.h5 --data test --json", "evaluate")):
        done = run(words)
        found = json.loads(done.stdout)
        assert re.fullmatch(rf"dltool\.{schema}/\d+", found["schema"])
        assert json.loads(json.dumps(found)) == found


def test_rule_8_every_key_of_a_json_result_is_on_the_page_of_its_command(run, here):
    fit = "fit twin.h5 --data train --arch mlp:units=16 --epochs 25 --lr 0.02 -q"
    assert run(fit).returncode == 0
    for words in (
        "summary m.h5 --timing",
        "summary m.h5 --weights dense/kernel",
        "summary m.h5 --advice",
        "summary m.h5 --diff twin.h5",
        "evaluate m.h5 --data test --top-losses 1 --fail-under accuracy=0",
        "evaluate m.h5 twin.h5 --data test",
        "lr-find m.h5 --data train --steps 30 --max 100",
        "pseudo-label twin.h5 --unlabelled test --val train --threshold 0.4 -o pool.csv",
    ):
        done = run(f"{words} --json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        command = words.split()[0]
        assert found["schema"] == f"dltool.{command}/1"
        page = re.findall(r"\w+", (FOLDER / f"{command}.md").read_text(encoding="utf-8"))
        for part in (found, *(found[key][0] for key in ("layers",) if found.get(key)), found.get("comparison", {})):
            assert set(part) - set(page) == set(), words


def test_rule_8_predict_gives_one_row_per_input_in_order_failures_included(run, here):
    (here / "bad.png").write_bytes(b"no image")
    names = ["test/mid/1.png", "bad.png", "test/dark/0.png", "test/mid/1.png"]
    done = run(["predict", "m.h5", *names, "--format", "jsonl"])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == names
    assert ["error" in row for row in rows] == [False, True, False, False]
    assert rows[0]["prob"] == rows[3]["prob"] == float(np.float32(rows[0]["prob"]))


# 9. the model file remembers


def test_rule_9_the_file_knows_classes_reading_recipe_and_history(run, here):
    facts = json.loads(run("summary m.h5 --json").stdout)
    text = json.dumps(facts)
    assert "bright" in text and "gray" in text and "adam" in text
    shown = run("summary m.h5").stdout
    assert re.search(r"classes +3: bright, dark, mid", shown)


def test_rule_9_a_mismatch_is_refused_by_class_name(run, here):
    shutil.copytree(here / "test" / "dark", here / "test" / "purple")
    done = run("evaluate m.h5 --data test")
    assert done.returncode == 3
    assert "purple" in done.stderr


# 10. evaluate and predict share one path from file to probabilities


def test_rule_10_evaluate_and_predict_agree_on_odd_images(run, here):
    pixels = np.asarray(Image.open(here / "test" / "mid" / "0.png"))
    folder = here / "odd"
    for name in ("bright", "dark", "mid"):
        (folder / name).mkdir(parents=True)
    image = Image.fromarray(pixels)
    image.convert("RGB").save(folder / "mid" / "rgb.png")
    image.convert("RGBA").save(folder / "mid" / "alpha.png")
    image.convert("P").save(folder / "mid" / "palette.png")
    image.convert("RGB").convert("CMYK").save(folder / "dark" / "cmyk.jpg")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(folder / "dark" / "deep.png")
    image.convert("1").save(folder / "bright" / "bit.png")
    image.save(folder / "bright" / "moving.gif", save_all=True, append_images=[Image.new("L", image.size)])
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(folder / "bright" / "turned.jpg", exif=turned)
    rows = [json.loads(line) for line in run("predict m.h5 odd --format jsonl").stdout.splitlines()]
    assert len(rows) == 8
    right = sum(row["path"].split("/")[-2] == row["label"] for row in rows)
    found = json.loads(run("evaluate m.h5 --data odd --json").stdout)
    assert found["n"] == 8
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(right / 8)
    predicted = np.asarray(found["confusion"]).sum(axis=0).tolist()
    assert predicted == [sum(row["label"] == name for row in rows) for name in found["classes"]]


# 11. an unreadable image is named and counted


def test_rule_11_unreadable_images_stop_or_are_counted(run, here):
    good = (here / "train" / "dark" / "0.png").read_bytes()
    (here / "train" / "dark" / "cut.png").write_bytes(good[: len(good) // 2])
    (here / "test" / "dark" / "cut.png").write_bytes(b"")
    for words, name in (("fit m.h5 --data train --epochs 1", "train"), ("evaluate m.h5 --data test", "test")):
        done = run(words)
        assert done.returncode == 3
        assert f"{name}/dark/cut.png" in done.stderr
        done = run(f"{words} --skip-bad")
        assert done.returncode == 0
        assert re.search(r"\b1\b.*(unreadable|left out|skipped)", done.stderr), done.stderr
    done = run("predict m.h5 test/dark --format csv")
    assert done.returncode == 1
    assert "test/dark/cut.png,," in done.stdout
    assert "test/dark/cut.png" in done.stderr


# 12. nothing is written unless it was named


def test_rule_12_only_named_files_are_written(run, here, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home)}
    before = files_of(here)
    for words in ("evaluate m.h5 --data test", "predict m.h5 test", "summary m.h5", "build x.h5 --like m.h5 --dry-run"):
        assert run(words, **places).returncode == 0
    assert files_of(here) == before
    assert run("fit m.h5 --data train --epochs 1 -o new.h5", **places).returncode == 0
    assert run("build built.h5 --like m.h5", **places).returncode == 0
    after = files_of(here)
    assert set(after) - set(before) == {"new.h5", "built.h5"}
    assert {name: after[name] for name in before} == before
    assert list(home.rglob("*")) == []


def test_rule_12_a_file_in_the_way_is_kept_without_force(run, here):
    (here / "other.h5").write_text("precious")
    for words in ("build other.h5 --like m.h5", "fit m.h5 --data train --epochs 1 -o other.h5"):
        done = run(words)
        assert done.returncode == 5
        assert done.stderr == "dltool: error: other.h5: exists; use --force to replace it\n"
        assert (here / "other.h5").read_text() == "precious"
        assert run(f"{words} -f").returncode == 0
        assert (here / "other.h5").read_bytes().startswith(b"\x89HDF")
        (here / "other.h5").write_text("precious")


# 13. Ctrl-C


@unix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_rule_13_an_interrupted_training_is_saved_and_goes_on(number, code, run, here, run_dltool):
    words = ["fit", "cut.h5", "--data", "train", "--arch", "mlp:units=4", "--epochs", "100000", "--jobs", "2"]
    seen = ""
    with subprocess.Popen(
        [*DLTOOL, *words], cwd=here, env=run_dltool.environ, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            seen += line
            if re.match(r" *2/100000", line):
                process.send_signal(number)
    assert process.returncode == code
    assert "stopping after this batch (again: at once)" in seen
    assert "Traceback" not in seen
    assert seen.splitlines()[-1] == f"resume  dltool {' '.join(words)} --resume"
    assert run("summary cut.h5").returncode == 0
    done = run(["fit", "cut.h5", "--data", "train", "--resume", "--dry-run"])
    assert done.returncode == 0 and "train   100,000 epochs" in done.stdout, done.stderr


# 14. what was understood comes first; progress within half a second; at most one hint


@unix
def test_rule_14_the_first_lines_say_what_was_understood(run, terminal):
    lines = run("fit m.h5 --data train --epochs 1").stderr.splitlines()
    assert re.match(r"data +train: 60 images, 3 classes", lines[0])
    assert re.match(r"split +48 train / 12 val, stratified, seed 0", lines[1])
    assert re.match(r"model +[\d,]+ parameters, 8x8x1 -> 3, adam, lr 0.001", lines[2])
    assert "next " not in "".join(lines)
    _, shown = terminal("fit m.h5 --data train --epochs 1", environ={"NO_COLOR": "1"})
    plain = [line.split("\r")[-1] or line for line in shown.replace("\r\n", "\n").split("\n")]
    assert sum(line.startswith(("next ", "hint ")) for line in plain) == 1
    assert re.search(r"predict  .*100%  [\d,]+ rows/s  eta [\d.]+s", terminal("predict m.h5 test")[1])
    assert not re.search("[\U0001f300-\U0001faff\u2600-\u27bf]", shown)


@unix
def test_rule_14_something_is_shown_before_the_work_begins(run_dltool, here):
    """The first words come while numpy is not even loaded, so within the start-up of Python and click."""
    environ = {**run_dltool.environ, "TERM": "xterm"}
    code, shown = run_in_terminal(
        [sys.executable, "-X", "importtime", "-m", "dltool", "fit", "m.h5", "--data", "train", "--epochs", "1"],
        environ,
        here,
    )
    assert code == 0
    assert shown.index("reading the data") < shown.index("| numpy")


# 15. the same bytes for any number of jobs


def test_rule_15_the_same_bytes_for_any_jobs_and_backend(run, here):
    base = "fit new.h5 --data train --arch cnn:width=4,units=8 --epochs 2 --seed 3 -q"
    files = []
    for extra in ("--jobs 1", "--jobs 2 --backend threads", "--jobs 3", "--jobs 1"):
        assert run(f"{base} {extra}").returncode == 0
        files.append((here / "new.h5").read_bytes())
        (here / "new.h5").unlink()
    assert len(set(files)) == 1
    assert run(base.replace("--seed 3", "--seed 4")).returncode == 0
    assert (here / "new.h5").read_bytes() != files[0]


# 16. class folders


@unix
def test_rule_16_class_folders(run, here):
    train = here / "train"
    for junk in (".git", "__MACOSX"):
        shutil.copytree(train / "dark", train / junk)
    (train / "dark" / "notes.txt").write_text("no image")
    (train / "dark" / ".hidden.png").write_text("")
    os.mkfifo(train / "mid" / "pipe.png")
    os.symlink(train / "mid" / "0.png", train / "mid" / "link.png")
    os.symlink(train, train / "mid" / "loop")
    started = time.monotonic()
    done = run("fit new.h5 --data train --arch mlp:units=4 --epochs 1")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 60
    assert re.search(r"3 classes", done.stderr)
    assert re.search(r"ignored|left out|not images", done.stderr), done.stderr
    (train / "empty").mkdir()
    done = run("fit new2.h5 --data train --arch mlp:units=4 --epochs 1")
    assert done.returncode == 3
    assert "empty" in done.stderr and "--allow-empty" in done.stderr
    assert run("fit new2.h5 --data train --arch mlp:units=4 --epochs 1 --allow-empty").returncode == 0


def test_rule_16_names_in_natural_order(run, here):
    picture_folder(here / "numbers", {"10": 10, "2": 120, "1": 230}, per_class=4)
    assert run("build n.h5 --data numbers --arch mlp:units=4 -q").returncode == 0
    assert re.search(r"classes +3: 1, 2, 10", run("summary n.h5").stdout)
