"""``dltool lr-find`` as typed."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from dltool.cli.main import main


@pytest.fixture
def table(tmp_path, monkeypatch):
    """m.h5, and x.npy with its labels: two classes that one number tells apart."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).uniform(-1, 1, (200, 1)).astype(np.float32)
    np.save("x.npy", np.hstack([values, values**2]))
    np.save("y.npy", (values[:, 0] > 0).astype(np.int64))
    main(["build", "m.h5", "--input", "2", "--classes", "2", "dense:16,relu", "dense:2,softmax", "-q"])
    return ["m.h5", "--data", "x.npy", "--batch-size", "16", "--jobs", "1"]


def test_stdout_is_one_number_and_stderr_explains_it(table, capsys):
    assert main(["lr-find", *table]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"[0-9.e-]+\n", out)
    assert 1e-7 < float(out) < 10
    lines = err.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(0x2800 < ord(character) < 0x2900 for character in err)
    given = [line for line in lines if line.endswith("<- given")]
    assert len(given) == 1 and given[0].startswith("v  valley")
    assert f"{float(out):.2e}" == given[0].split()[2]
    assert [line.split()[1] for line in lines if re.match("[vsm]  ", line)] == ["valley", "steepest", "min10"]


def test_the_command_substitution_of_the_help_works(table, run_dltool):
    program = f"{sys.executable} -W error -m dltool"
    find = f"{program} lr-find -q m.h5 --data x.npy --steps 40"
    line = f'{program} fit m.h5 --data x.npy --epochs 1 --lr "$({find})"'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=run_dltool.environ)
    assert done.returncode == 0, done.stderr
    assert "finished 1 epoch" in done.stderr


def test_quiet_leaves_the_number_alone(table, capsys):
    assert main(["lr-find", "-q", *table, "--pick", "min10"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert float(out) > 0


def test_plain_ascii_where_the_terminal_knows_no_more(table, run_dltool):
    done = run_dltool("lr-find", *table, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert done.stderr.isascii() and "***" in done.stderr and "\\u" not in done.stderr
    assert not re.search(r"[\x1b\r\x08]", done.stderr)


def test_json(table, capsys):
    assert main(["lr-find", *table, "--json", "--min", "1e-5", "--max", "1", "--steps", "50"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "dltool.lr-find/1"
    assert found["rates"][0] == pytest.approx(1e-5)
    assert len(found["rates"]) <= 50


def test_the_plot_is_a_picture(table, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["lr-find", *table, "--plot", "curve.png"]) == 0
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_an_existing_picture_is_replaced_only_when_told(table, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    (tmp_path / "curve.png").write_text("mine")
    assert main(["lr-find", *table, "--plot", "curve.png"]) == 5
    assert (tmp_path / "curve.png").read_text() == "mine"
    assert main(["lr-find", *table, "--plot", "curve.png", "--force"]) == 0
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()


def test_a_plot_without_matplotlib_names_the_extra(table, capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["lr-find", *table, "--plot", "curve.png"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "dltool: error: --plot: needs matplotlib; install it with pip install 'dltool[plot]'\n")
    assert not (tmp_path / "curve.png").exists()


def test_no_usable_range_is_exit_code_1_with_words(table, capsys):
    assert main(["lr-find", *table, "--min", "1e-12", "--max", "1e-10"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dltool: error: lr-find: no usable range: the loss falls from ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["m.h5"], 2, "--data: missing; give a folder of class folders or an array, as --data train/"),
        (["no.h5", "--data", "x.npy"], 4, "no.h5: no such file; build it first, as dltool build no.h5 --data train/"),
        (["m.h5", "--data", "x.npy", "--min", "1", "--max", "0.1"], 2, "--min: 1 is not below --max 0.1; give a"),
        (["m.h5", "--data", "x.npy", "--min", "0"], 2, "--min: 0 is out of range; give a number above 0"),
        (["m.h5", "--data", "x.npy", "--max", "x"], 2, "--max: 'x' is not a number above 0"),
        (["m.h5", "--data", "x.npy", "--steps", "3"], 2, "--steps: 3 is out of range; give a whole number from 20 up"),
        (["m.h5", "--data", "x.npy", "--pick", "vally"], 2, "--pick: unknown pick 'vally'; did you mean 'valley'?"),
        (["m.h5", "--data", "x.npy", "--plot", "c.txt"], 2, "--plot: c.txt is none of .png, .svg, .pdf"),
        (["m.h5", "--data", "no.npy"], 3, "no.npy: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(table, capsys, words, code, message):
    assert main(["lr-find", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dltool: error: {message}")
    assert err.count("\n") == 1
