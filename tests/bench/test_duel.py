"""The runner's figures, and the interleaved run of real processes where dltool alone takes part."""

import os
import sys

import pytest

from tests.bench import machine
from tests.bench.contenders import Setting, missing
from tests.bench.duel import Result, Sample, duel, paired_ratio
from tests.bench.workloads import WORKLOADS


def result(*samples):
    return Result("x", {}, [Sample(milliseconds, quiet) for milliseconds, quiet in samples])


def test_the_figure_is_the_median_of_the_quiet_samples():
    assert result((9.0, False), (1.0, True), (3.0, True), (5.0, True)).milliseconds == 3.0
    assert result((9.0, False), (7.0, False)).milliseconds == 8.0


def test_ratios_pair_the_samples_of_one_round():
    ours = result((1.0, True), (10.0, True), (3.0, False))
    theirs = result((2.0, True), (20.0, True), (1.0, True))
    assert paired_ratio(ours, theirs) == 0.5
    assert paired_ratio(result((3.0, False)), result((1.0, True))) == 3.0


def test_a_prototype_needs_its_folder():
    assert missing("prototype", WORKLOADS["W1"], Setting(jobs=1)) == "give --prototype FOLDER"
    assert missing("dltool", WORKLOADS["W1"], Setting(jobs=1)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_process_tree_counts_this_process():
    assert os.getpid() in machine.process_tree(os.getpid())
    assert machine.tree_memory_mib([os.getpid()]) > 5
    assert machine.tree_cpu_seconds([os.getpid()]) > 0


def test_a_duel_measures_dltool_and_names_who_drops_out(monkeypatch, repository):
    monkeypatch.chdir(repository)
    said = []
    setting = Setting(jobs=1, prototype="/nowhere")
    results = duel(WORKLOADS["W1"], ["dltool", "prototype"], setting, rounds=1, quiet_seconds=0.0, report=said.append)
    assert [found.name for found in results] == ["dltool"]
    assert len(results[0].samples) == 1
    assert results[0].milliseconds > 0
    assert said == ["W1 prototype: left out: ModuleNotFoundError: No module named 'models'"]
