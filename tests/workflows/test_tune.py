"""Searches on a small table: the same again, exactly what fit would do, going on after anything."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dltool.engine.layers import Dropout
from dltool.errors import DataError, DivergedError, ModelFileError, OutputError, ShortError, UsageError
from dltool.modelfile.reading import read
from dltool.settings import BuildSettings, DataSettings, FitSettings, TuneSettings
from dltool.workflows import build, fit, tune
from dltool.workflows.tuning.search import TuneEvents
from tests.workflows.pictures import table

TRIES = ("lr=1e-4..1:log", "optimizer=adam,sgd:momentum=0.9", "arch.units=4..32")


@pytest.fixture
def rows(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 2)).astype(np.float32)
    return table(tmp_path, "ring", x, (np.square(x).sum(axis=1) > 1.4).astype(np.int64))


def settings(model, data, tries=TRIES, trials=6, time=None, journal=None, **options):
    wanted = {"arch": "mlp:layers=1", "epochs": 6, "batch_size": 16, "jobs": 1, "backend": "threads", **options}
    shared = FitSettings(str(model), DataSettings((str(data),)), **wanted)
    return TuneSettings(shared, tries, time, trials, journal and str(journal))


def facts(result):
    """All that a search found, without how long it took."""
    return [(e.result.trial, e.result.rung, e.result.score, e.result.tie, e.values) for e in result.entries]


def test_the_best_is_what_fit_makes_of_the_same_options_in_one_go(tmp_path, rows):
    found = tune.run(settings(tmp_path / "m.h5", rows, schedule="cosine"))
    best = found.best
    assert best.result.epochs == 6 and [e.result.trial for e in found.entries].count(best.result.trial) == 3
    values = best.values
    alone = FitSettings(
        str(tmp_path / "alone.h5"),
        DataSettings((str(rows),)),
        arch=f"mlp:layers=1,units={values['arch.units']}",
        learning_rate=values["lr"],
        optimizer=values["optimizer"],
        epochs=6,
        batch_size=16,
        jobs=1,
        schedule="cosine",
        monitor="val_accuracy",
    )
    fit.run(alone)
    assert (tmp_path / "alone.h5").read_bytes() == (tmp_path / "m.h5").read_bytes()


def test_trials_take_one_rung_after_the_other(tmp_path, rows):
    found = tune.run(settings(tmp_path / "m.h5", rows))
    # 6 epochs: rungs of 1, 2 and 6. The best of the first three goes on; every trial takes one rung after the other.
    assert [(e.result.rung, e.result.epochs) for e in found.entries[:4]] == [(0, 1), (0, 1), (0, 1), (1, 2)]
    assert found.entries[3].result.trial == max(found.entries[:3], key=lambda e: e.result.score).result.trial
    for trial in range(6):
        rungs = [e.result.rung for e in found.entries if e.result.trial == trial]
        assert rungs == list(range(len(rungs)))
    assert {e.result.rung for e in found.entries} == {0, 1, 2}
    assert found.stopped == "6 trials are done"
    assert found.ranking[0] is found.best
    scores = [e.result.score for e in found.ranking]
    assert scores == sorted(scores, reverse=True) and len(scores) == 6
    assert found.monitor.name == "val_accuracy"


def test_the_same_seed_gives_the_same_search_and_leaves_only_the_model(tmp_path, rows):
    before = set(tmp_path.iterdir())
    first = tune.run(settings(tmp_path / "m.h5", rows))
    second = tune.run(settings(tmp_path / "n.h5", rows, jobs=2))
    assert facts(first) == facts(second)
    assert (tmp_path / "m.h5").read_bytes() == (tmp_path / "n.h5").read_bytes()
    assert set(tmp_path.iterdir()) - before == {tmp_path / "m.h5", tmp_path / "n.h5"}
    other = tune.run(settings(tmp_path / "o.h5", rows, seed=1))
    assert [e.values for e in other.entries] != [e.values for e in first.entries]


class Killed(Exception):
    pass


class Fragile(TuneEvents):
    """Fails after so many results, as if the process had been killed."""

    def __init__(self, count):
        self.count = count

    def trial_end(self, entry, monitor, is_best):
        self.count -= 1
        if not self.count:
            raise Killed


@pytest.mark.parametrize("count", [1, 4, 8])
def test_a_search_goes_on_from_its_journal_as_if_nothing_had_happened(tmp_path, rows, count):
    whole = tune.run(settings(tmp_path / "whole.h5", rows))
    wanted = settings(tmp_path / "m.h5", rows, journal=tmp_path / "j.jsonl")
    with pytest.raises(Killed):
        tune.run(wanted, Fragile(count))
    assert not (tmp_path / "m.h5").exists()
    with open(tmp_path / "j.jsonl", "ab") as file:
        file.write(b'{"trial": 2, "rung"')  # half a line
    again = tune.run(wanted)
    assert facts(again) == facts(whole)
    assert (tmp_path / "m.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    lines = (tmp_path / "j.jsonl").read_text().splitlines()
    assert len(lines) == 1 + len(whole.entries) and all(map(json.loads, lines))
    assert not (tmp_path / "j.jsonl.trials").exists()


def test_a_finished_search_is_left_alone_and_more_trials_go_on_with_it(tmp_path, rows):
    wanted = settings(tmp_path / "m.h5", rows, trials=3, journal=tmp_path / "j.jsonl")
    first = tune.run(wanted)
    before = (tmp_path / "m.h5").read_bytes(), (tmp_path / "j.jsonl").read_bytes()
    again = tune.run(wanted)
    assert facts(again) == facts(first)
    assert ((tmp_path / "m.h5").read_bytes(), (tmp_path / "j.jsonl").read_bytes()) == before
    more = tune.run(replace(wanted, trials=6))
    assert facts(more)[: len(first.entries)] == facts(first)
    assert len(more.ranking) == 6 and (tmp_path / "m.h5").exists()


def test_a_trial_whose_file_is_gone_begins_anew_and_comes_to_the_same(tmp_path, rows):
    whole = tune.run(settings(tmp_path / "whole.h5", rows))
    wanted = settings(tmp_path / "m.h5", rows, journal=tmp_path / "j.jsonl")
    with pytest.raises(Killed):
        tune.run(wanted, Fragile(7))
    for file in (tmp_path / "j.jsonl.trials").iterdir():
        file.unlink()
    assert facts(tune.run(wanted)) == facts(whole)
    assert (tmp_path / "m.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_in_the_folder_of_the_trials_only_what_the_search_wrote_is_removed(tmp_path, rows):
    folder = tmp_path / "j.jsonl.trials"
    folder.mkdir()
    (folder / "sub").mkdir()
    theirs = {"notes.txt", "trial-best.h5", "trial-1.h5.bak", ".trial-1.h5.lock", "sub/trial-1.h5"}
    ours = {"trial-1.h5", "trial-77.h5", ".trial-3.h5.0badcafe.17.0badcafe.dltool-tmp"}
    for name in theirs | ours:
        (folder / name).write_text("precious")
    tune.run(settings(tmp_path / "m.h5", rows, trials=1, epochs=1, journal=tmp_path / "j.jsonl"))
    assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} == theirs


def test_another_search_in_the_journal_is_refused_and_force_begins_anew(tmp_path, rows):
    wanted = settings(tmp_path / "m.h5", rows, trials=2, epochs=1, journal=tmp_path / "j.jsonl")
    tune.run(wanted)
    for other, what in (
        (replace(wanted, tries=TRIES[:2]), "try differs"),
        (replace(wanted, fit=replace(wanted.fit, seed=1)), "options differ"),
        (replace(wanted, fit=replace(wanted.fit, data=DataSettings((str(rows),), limit=100))), "data differs"),
    ):
        with pytest.raises(UsageError, match=rf"j\.jsonl is of another search \({what}\)"):
            tune.run(other)
    anew = replace(wanted, tries=TRIES[:2], fit=replace(wanted.fit, force=True))
    assert len(tune.run(anew).entries) == 2


@pytest.mark.parametrize(
    "text", ["", "hello\n", '{"schema": "other/1"}\n', "[1]\n", '{"schema": "dltool.tune-journal/1"}\n{}\n', "{"]
)
def test_a_file_that_is_no_journal_is_kept(tmp_path, rows, text):
    path = tmp_path / "j.jsonl"
    path.write_text(text)
    wanted = settings(tmp_path / "m.h5", rows, trials=1, epochs=1, journal=path)
    if not text:
        assert len(tune.run(wanted).entries) == 1
        return
    with pytest.raises(DataError, match=r"j\.jsonl: is no journal of dltool tune"):
        tune.run(wanted)
    assert path.read_text() == text
    assert not (tmp_path / "m.h5").exists()


def test_trials_start_from_a_model_that_is_there_and_the_best_replaces_it(tmp_path, rows):
    path = tmp_path / "m.h5"
    words = ("dense:16,relu", "dropout:0.1", "dense:2,softmax")
    build.run(BuildSettings(str(path), words=words, data=DataSettings((str(rows),))))
    wanted = settings(path, rows, ("lr=0.03,0.1", "dropout=0..0.5"), 4, arch=None, output=str(tmp_path / "o.h5"))
    before = path.read_bytes()
    found = tune.run(wanted)
    assert path.read_bytes() == before
    rates = [layer.rate for layer in read(tmp_path / "o.h5").model.graph.layers.values() if isinstance(layer, Dropout)]
    assert rates == [found.best.values["dropout"]]
    in_place = replace(wanted, fit=replace(wanted.fit, output=None))
    assert facts(tune.run(in_place)) == facts(found)
    assert path.read_bytes() == (tmp_path / "o.h5").read_bytes()


def test_every_combination_of_lists_is_tried_once(tmp_path, rows):
    found = tune.run(settings(tmp_path / "m.h5", rows, ("lr=0.1,0.01", "optimizer=adam,sgd"), 50, epochs=1))
    assert sorted(map(str, (e.values for e in found.entries))) == sorted({str(e.values) for e in found.entries})
    assert len(found.entries) == 4 and found.stopped == "all 4 combinations were tried"


def test_the_time_ends_the_search_and_its_best_trial_has_come_to_the_end(tmp_path, rows):
    found = tune.run(settings(tmp_path / "m.h5", rows, trials=None, time=6.0))
    assert found.stopped == "the time of 6s is over"
    assert 3 < found.seconds < 9
    assert max(e.result.epochs for e in found.entries) == 6


def test_a_time_that_is_too_short_for_anything_is_told(tmp_path, rows):
    with pytest.raises(ShortError, match=r"--time: no trial had its first epoch within 0\.001s; give more"):
        tune.run(settings(tmp_path / "m.h5", rows, trials=None, time=0.001))
    assert not (tmp_path / "m.h5").exists()


def test_trials_that_diverge_are_last_and_if_all_do_nothing_is_written(tmp_path, rows):
    found = tune.run(settings(tmp_path / "m.h5", rows, ("lr=1e30,0.01",), 2, optimizer="sgd", epochs=2))
    assert found.best.values == {"lr": "0.01"}
    assert found.ranking[-1].as_json()["score"] is None
    with pytest.raises(DivergedError, match="tune: every trial diverged; try smaller rates"):
        tune.run(settings(tmp_path / "n.h5", rows, ("lr=1e30,1e31",), 2, optimizer="sgd"))
    assert not (tmp_path / "n.h5").exists()


def test_a_signal_keeps_the_best_so_far_and_says_so(tmp_path, rows):
    class Impatient(TuneEvents):
        said = None

        def trial_end(self, entry, monitor, is_best):
            if entry.result.trial == 2:
                raise KeyboardInterrupt

        def left(self, path, kept):
            self.said = path, kept

    events = Impatient()
    with pytest.raises(KeyboardInterrupt):
        tune.run(settings(tmp_path / "m.h5", rows), events)
    assert events.said == (str(tmp_path / "m.h5"), True)
    assert read(tmp_path / "m.h5").history


@pytest.mark.parametrize(
    ("tries", "options", "message"),
    [
        (("lrr=0.1,0.2",), {}, "--try: 'lrr' cannot be tried; did you mean 'lr'"),
        (("arch.dropuot=0..1",), {}, "--try: 'arch.dropuot' cannot be tried; did you mean 'arch.dropout'"),
        (("arch.units=4..8",), {"arch": None}, "--try: arch.units needs --arch"),
        (("arch.layers=1..2",), {}, "--try: arch.layers is fixed by --arch mlp:layers=1"),
        (("optimizer=1..2",), {}, "--try: optimizer is no number"),
        (("batch-size=1.5..8",), {}, "--try: batch-size is a whole number"),
        (("lr=0.1,0.2",), {"given": ("learning_rate",)}, "--lr: is tried with --try lr, too"),
        (("optimizer=adam,adma",), {}, "--optimizer: unknown optimizer 'adma'"),
        (("loss=mse,crossentropyy",), {}, "--loss: unknown loss"),
        (("schedule=cosine,cosin",), {}, "unknown schedule 'cosin'"),
        (("lr=0.1,0.2",), {"val_split": 0.0}, "--val: missing; trials are compared by validation rows"),
        (("clip-norm=1,2", "clip-value=1,2"), {}, "--clip-value: cannot be combined with --clip-norm"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_trains(tmp_path, rows, tries, options, message):
    before = set(tmp_path.iterdir())
    if options.get("arch", "") is None:
        build.run(BuildSettings(str(tmp_path / "m.h5"), words=("dense:2,softmax",), data=DataSettings((str(rows),))))
        before.add(tmp_path / "m.h5")
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        tune.run(settings(tmp_path / "m.h5", rows, tries, journal=tmp_path / "j.jsonl", **options))
    assert set(tmp_path.iterdir()) == before


def test_numbers_go_by_their_loss_and_different_losses_need_a_metric(tmp_path):
    x = np.linspace(-1, 1, 80, dtype=np.float32)[:, None]
    data = table(tmp_path, "line", x, 3 * x[:, 0])
    assert tune.run(settings(tmp_path / "m.h5", data, ("lr=0.1,0.01",), 2, epochs=1)).monitor.name == "val_loss"
    losses = settings(tmp_path / "n.h5", data, ("loss=mse,mae",), 2, epochs=1)
    with pytest.raises(UsageError, match="--monitor: missing; losses of different kinds cannot be compared"):
        tune.run(losses)


def test_files_in_the_way_and_missing_ones(tmp_path, rows):
    (tmp_path / "m.h5").write_text("precious")
    with pytest.raises(OutputError, match=r"m\.h5: exists; use --force"):
        tune.run(settings(tmp_path / "m.h5", rows))
    with pytest.raises(ModelFileError, match=r"no\.h5: does not exist; build it first"):
        tune.run(settings(tmp_path / "no.h5", rows, ("lr=0.1,0.2",), arch=None))
