"""``pseudo-label`` that labels, trains and labels again: what is kept, what ends it, what is written."""

from dataclasses import replace
from pathlib import Path

import pytest

from dltool.errors import OutputError, ShortError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from dltool.settings import DataSettings, EvaluateSettings, FitSettings, PseudoLabelSettings
from dltool.workflows import evaluate, fit
from dltool.workflows.pseudo_labels import rounds
from dltool.workflows.pseudo_labels.rounds import RoundEvents, fewer_epochs
from tests.workflows.pictures import CLOSE, pool, uneven


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model of 45 pictures that had too few steps, 150 validation pictures, and a pool of 180."""
    root = tmp_path_factory.mktemp("rounds")
    uneven(root / "train", CLOSE, 15, seed=0)
    uneven(root / "val", CLOSE, 50, seed=1)
    pool(root / "pool", seed=2, per_class=60)
    train(root / "m.h5", root, val=(str(root / "val"),), epochs=20)
    return root


def train(model: Path, root: Path, **options) -> None:
    shared = {"arch": "mlp:units=16,dropout=0.0", "batch_size": 8, "learning_rate": 0.01, "jobs": 1}
    fit.run(FitSettings(str(model), DataSettings((str(root / "train"),)), **shared, **options))


def settings(world: Path, folder: Path, **options) -> PseudoLabelSettings:
    wanted = {
        "model": str(world / "m.h5"),
        "unlabelled": (str(world / "pool"),),
        "val": (str(world / "val"),),
        "data": DataSettings((str(world / "train"),)),
        "min_precision": 0.8,
        "train_to": str(folder / "n.h5"),
        "output": str(folder / "pool.csv"),
        "epochs": 20,
        "jobs": 1,
        "backend": "threads",
        **options,
    }
    return PseudoLabelSettings(**wanted)


def accuracy(model: Path, root: Path) -> float:
    done = evaluate.run(EvaluateSettings(str(model), DataSettings((str(root / "val"),)), jobs=1))
    return done.metrics["accuracy"].value


def test_a_round_trains_a_model_that_is_not_worse_and_leaves_the_first_one_alone(world, tmp_path):
    before = (world / "m.h5").read_bytes()
    result = rounds.run(settings(world, tmp_path))
    assert (world / "m.h5").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.h5", "pool.csv"]
    (found,) = result.rounds
    assert found.kept and found.accepted == len(result.rows)
    assert found.before == pytest.approx(accuracy(world / "m.h5", world))
    assert found.after == pytest.approx(accuracy(tmp_path / "n.h5", world))
    assert found.after >= found.before
    saved = read(str(tmp_path / "n.h5"))
    assert saved.split["extra"] == len(result.rows)
    assert saved.split["train"] == 45 and len(saved.history) == 20
    assert saved.recipe["batch_size"] == 8 and saved.training_config.optimizer.learning_rate == pytest.approx(0.01)
    assert len((tmp_path / "pool.csv").read_text().splitlines()) == 1 + len(result.rows)


def test_the_same_command_writes_the_same_bytes(world, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rounds.run(settings(world, tmp_path / name, epochs=8))
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert set(one) == {"n.h5", "pool.csv"}
    assert one["n.h5"] == two["n.h5"]
    assert [line.split(",")[1:] for line in one["pool.csv"].decode().splitlines()] == [
        line.split(",")[1:] for line in two["pool.csv"].decode().splitlines()
    ]


def test_the_training_augments_as_the_model_s_own_unless_told_otherwise(world, tmp_path):
    train(tmp_path / "m.h5", world, val=(str(world / "val"),), epochs=8, augment="shift=0.1")
    used, model = [], str(tmp_path / "m.h5")
    for augment in (None, "none", "shift=0.1,mixup=0.2"):
        options = {"output": None, "train_to": f"{model}.{len(used)}.h5", "min_precision": 0.5, "augment": augment}
        (found,) = rounds.run(settings(world, tmp_path, model=model, **options)).rounds
        assert found.kept
        used.append(read(options["train_to"]).recipe["augment"])
    assert used == ["shift=0.1", "none", "shift=0.1,mixup=0.2"]


class Told(RoundEvents):
    """Remembers the rounds."""

    def __init__(self):
        self.begun, self.ended, self.texts = [], [], []

    def round_begin(self, result, number, epochs):
        self.begun.append((number, len(result.rows), epochs))

    def round_end(self, found):
        self.ended.append(found)

    def stopped(self, text):
        self.texts.append(text)


def test_rounds_end_where_validation_worsens_and_the_better_model_and_its_list_are_kept(world, tmp_path):
    events = Told()
    result = rounds.run(settings(world, tmp_path, rounds=9), events=events)
    *good, last = result.rounds
    assert tuple(events.ended) == result.rounds and good
    assert [found.number for found in result.rounds] == list(range(1, len(good) + 2))
    assert all(found.kept for found in good) and not last.kept
    assert last.after <= last.before == good[-1].after
    assert accuracy(tmp_path / "n.h5", world) == pytest.approx(good[-1].after)
    assert len(result.rows) == good[-1].accepted == read(str(tmp_path / "n.h5")).split["extra"]
    assert result.notes[-1].startswith(f"round {last.number} is ")
    assert result.notes[-1].endswith("; what was there before it is kept")


def test_a_first_round_that_worsens_writes_nothing(world, tmp_path):
    saved = read(str(world / "m.h5"))
    saved.training_config = replace(
        saved.training_config, optimizer=replace(saved.training_config.optimizer, learning_rate=1e-9)
    )
    write(saved, tmp_path / "slow.h5")
    wanted = settings(world, tmp_path, model=str(tmp_path / "slow.h5"), epochs=1)
    with pytest.raises(ShortError, match=r"slow.h5: round 1 is right on fewer .* \(0.* -> 0.*\), so nothing"):
        rounds.run(wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["slow.h5"]


def test_weights_that_were_trained_elsewhere_go_on(world, tmp_path):
    # With a rate of next to nothing new weights would be no better than chance.
    saved = read(str(world / "m.h5"))
    rule = replace(saved.training_config.optimizer, learning_rate=1e-9)
    saved.training_config, saved.recipe = replace(saved.training_config, optimizer=rule), {"finetune": {}}
    write(saved, tmp_path / "tuned.h5")
    wanted = settings(world, tmp_path, model=str(tmp_path / "tuned.h5"), epochs=1)
    try:
        after = rounds.run(wanted).rounds[0].after
    except ShortError as error:  # as many rows, in doubt by a millionth more
        assert "less sure of as many" in str(error)
        return
    assert after == pytest.approx(accuracy(world / "m.h5", world))


def test_what_fit_held_out_is_held_out_again(world, tmp_path):
    uneven(tmp_path / "train", CLOSE, 60, seed=5)
    train(tmp_path / "m.h5", tmp_path, epochs=5, seed=3)
    data = DataSettings((str(tmp_path / "train"),))
    wanted = settings(world, tmp_path, model=str(tmp_path / "m.h5"), val=(), data=data, min_precision=0.6, epochs=30)
    rounds.run(wanted)
    old, new = (read(str(tmp_path / name)).split for name in ("m.h5", "n.h5"))
    assert new.pop("extra") > 0
    assert new.pop("data") == read(str(tmp_path / "m.h5")).fingerprint
    assert old == new and new["seed"] == 3 and new["validation"] == 36


def test_a_signal_in_the_second_round_leaves_the_first_one(world, tmp_path):
    class Stopping(Told):
        def round_begin(self, result, number, epochs):
            if number == 2:
                raise KeyboardInterrupt

    events = Stopping()
    with pytest.raises(KeyboardInterrupt):
        rounds.run(settings(world, tmp_path, rounds=3), events=events)
    assert events.texts == [f"stopped in round 2; {tmp_path / 'n.h5'} is that of round 1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.h5", "pool.csv"]


def test_more_rows_get_fewer_epochs_but_more_steps():
    assert fewer_epochs(40, 240, 960) == 20  # half the epochs of four times the rows
    assert fewer_epochs(60, 500, 18_500) == 10
    assert fewer_epochs(10, 100, 90_000) == 5
    assert fewer_epochs(3, 100, 90_000) == 3


def test_what_does_not_fit_is_refused_before_anything_is_written(world, tmp_path):
    (tmp_path / "there.h5").write_bytes(b"")
    for wanted, kind, message in (
        ({"train_to": None}, UsageError, "--rounds: needs --train-to FILE"),
        ({"data": DataSettings()}, UsageError, "--train-to: needs --data"),
        ({"train_to": str(tmp_path / "there.h5")}, OutputError, "there.h5: exists; use --force"),
        ({"train_to": str(world / "m.h5")}, OutputError, "m.h5: exists; use --force"),
        ({"train_to": str(tmp_path / "pool.csv")}, UsageError, "--train-to: is the same file as -o"),
        ({"train_to": str(tmp_path / "no" / "n.h5")}, OutputError, "does not exist"),
    ):
        with pytest.raises(kind, match=message):
            rounds.run(settings(world, tmp_path, **wanted))
    assert [path.name for path in tmp_path.iterdir()] == ["there.h5"]
