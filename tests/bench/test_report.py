"""The figures as they are shown, and the measurements that are no duels."""

import sys

import pytest

from tests.bench import commands, install_size, report
from tests.bench.__main__ import arguments
from tests.bench.commands import Timing
from tests.bench.duel import Result, Sample
from tests.bench.workloads import WORKLOADS


def result(name, *milliseconds, peak=None):
    samples = [Sample(value, True) for value in milliseconds]
    return Result(name, {"versions": [f"{name} 1.0"]}, samples, peak)


def test_the_spread_is_half_the_distance_of_the_quartiles():
    assert result("x", 8.0, 10.0, 12.0).spread == pytest.approx(0.1)
    assert result("x", 8.0).spread == 0.0


def test_markdown_sets_dltool_beside_the_fastest_peer(capsys):
    table = report.Markdown()
    table.start(2, "python -m tests.bench W1")
    slow, fast = result("torch", 8.0, 8.0, 8.0), result("keras-jax", 4.0, 4.0, 4.0, peak=300.4)
    table.results(WORKLOADS["W1"], [result("dltool", 2.0, 3.0, 4.0, peak=50.0), slow, fast])
    table.timings(
        "cold-help", [Timing("dltool", [30.0, 50.0, 40.0], [1.0] * 3), Timing("click", [20.0] * 3, [1.0] * 3)]
    )
    table.sizes({"numpy": 60.4, "h5py": 20.0})
    table.end()
    shown = capsys.readouterr().out
    assert "with `python -m tests.bench W1`" in shown
    assert "| W1 | mlp, 28x28x1, batch 128 | 3.0 ms ± 17% | keras-jax 4.0 ms ± 0% | 0.75 | 50 / 300 |" in shown
    assert "| cold-help | median of 3 runs | 40 ms | click 20 ms | 2.00 |  |" in shown
    assert "| install-size | fresh environment, on disk | 80 MB |" in shown
    assert shown.rstrip().endswith("dltool 1.0, torch 1.0, keras-jax 1.0.")


def test_text_shows_every_contender(capsys):
    shown = report.Text()
    shown.results(WORKLOADS["W1"], [result("dltool", 2.0), result("torch", 8.0)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "W1: mlp, 28x28x1, batch 128, 200 step a sample"
    assert [line.split()[0] for line in lines[3:]] == ["dltool", "torch"]
    assert "0.25" in lines[4]


def test_commands_are_timed_in_turn(monkeypatch, repository, tmp_path):
    monkeypatch.chdir(repository)
    ours, bare = commands.cold_help(1)
    assert (len(ours.wall), len(bare.wall)) == (1, 1)
    assert commands.ratio(ours, bare) > 0
    found = commands.predict_commands(tmp_path)
    (timing,) = commands.measure({"dltool": found["dltool"]}, 1)
    assert timing.cpu[0] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts blocks of 512 bytes")
def test_install_size_adds_up_what_lies_under_each_folder(tmp_path):
    (tmp_path / "numpy" / "core").mkdir(parents=True)
    (tmp_path / "numpy" / "core" / "big.so").write_bytes(b"x" * 3_000_000)
    (tmp_path / "click.py").write_bytes(b"x" * 10_000)
    sizes = install_size.folder_sizes(tmp_path)
    assert list(sizes) == ["numpy", "click.py"]
    assert sizes["numpy"] == pytest.approx(3.0, abs=0.1)


def test_the_readmes_commands_are_ones_that_it_takes(monkeypatch, repository):
    lines = (repository / "README.md").read_text(encoding="utf-8").splitlines()
    found = [line.split() for line in lines if line.startswith("python -m tests.bench ")]
    assert found
    for words in found:
        monkeypatch.setattr(sys, "argv", words[2:])
        args = arguments()
        assert args.chosen or set(args.workloads) <= {*commands.COMMANDS, "install-size"}
        assert args.markdown
