"""Tokens, answers for every step, series, strings and autoencoders through fit, evaluate and predict."""

import csv
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dltool.engine.layers import Embedding, Normalization
from dltool.errors import DataError, OutputError, UsageError
from dltool.modelfile.reading import read
from dltool.settings import BuildSettings, DataSettings, EvaluateSettings, FitSettings, LrFindSettings, PredictSettings
from dltool.training.callbacks import Events
from dltool.workflows import build, evaluate, fit, lr_find, predict
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder


def trained(path, data, arch, **options):
    settings = FitSettings(str(path), data, arch=arch, jobs=1, backend="threads", **{"epochs": 1, **options})
    return fit.run(settings)


def measured(path, data, **options):
    return evaluate.run(EvaluateSettings(str(path), data, jobs=1, backend="threads", **options))


def predicted(path, *inputs, **options):
    result = predict.run(PredictSettings(str(path), tuple(map(str, inputs)), jobs=1, backend="threads", **options))
    return result, list(result.rows)


def saved_arrays(folder, x, y=None):
    np.save(folder / "x.npy", x)
    if y is not None:
        np.save(folder / "y.npy", y)
    return DataSettings((str(folder / "x.npy"),))


def tokens(n=120, steps=7, seed=0):
    """(n, steps) numbers from 1 to 9 with zeros behind them; whether a 3 is among them."""
    random = np.random.default_rng(seed)
    x = random.integers(1, 10, (n, steps))
    x[np.arange(steps) >= random.integers(2, steps + 1, n)[:, None]] = 0
    return x, (x == 3).any(axis=1).astype(int)


def test_tokens_get_an_embedding_of_their_own_and_learn(tmp_path):
    data = saved_arrays(tmp_path, *tokens())
    trained(tmp_path / "m.h5", data, "gru:units=8,embedding=4,dropout=0", epochs=30, learning_rate=0.03, val_split=0)
    saved = read(str(tmp_path / "m.h5"))
    embedding = next(layer for layer in saved.model.graph.layers.values() if isinstance(layer, Embedding))
    assert (embedding.input_dim, embedding.mask_zero) == (10, True)
    assert saved.training_config.optimizer.name == "rmsprop"
    assert saved.training_config.optimizer.clipnorm == 1.0
    assert measured(tmp_path / "m.h5", data).metrics["accuracy"].value > 0.95


def test_a_token_without_an_entry_is_named_before_the_first_batch(tmp_path):
    x, y = tokens()
    data = saved_arrays(tmp_path, x, y)
    trained(tmp_path / "m.h5", data, "textcnn:filters=4")
    x[5, 1] = 10
    np.save(tmp_path / "x.npy", x)
    message = r"x\.npy\[5\]: holds 10 at step 1, but the model knows the numbers 0 to 9"
    for act in (lambda: measured(tmp_path / "m.h5", data), lambda: trained(tmp_path / "m.h5", data, None)):
        with pytest.raises(DataError, match=message):
            act()
    _, rows = predicted(tmp_path / "m.h5", tmp_path / "x.npy")
    assert [number for number, row in enumerate(rows) if row.error] == [5]
    assert "holds 10 at step 1" in rows[5].error
    with pytest.raises(DataError, match="holds 9 at step"):
        trained(tmp_path / "n.h5", data, "textcnn:vocabulary=9")


def test_a_class_for_every_step_is_learnt_and_read_without_the_padding(tmp_path):
    x, _ = tokens()
    data = saved_arrays(tmp_path, x, x % 3)
    trained(tmp_path / "m.h5", data, "gru:units=8,embedding=4,dropout=0", epochs=20, learning_rate=0.05, val_split=0)
    graph = read(str(tmp_path / "m.h5")).model.graph
    assert graph.output_shapes == ((7, 3),)
    assert measured(tmp_path / "m.h5", data).metrics["accuracy"].value > 0.98
    result, rows = predicted(tmp_path / "m.h5", tmp_path / "x.npy")
    assert result.classes == ("0", "1", "2")
    assert rows[0].label == " ".join(str(token % 3) for token in x[0] if token)
    assert 0 < rows[0].prob <= 1
    with pytest.raises(UsageError, match="--arch textcnn: gives one answer per row, but the labels have one per step"):
        trained(tmp_path / "n.h5", data, "textcnn")


def test_numbers_for_every_step_are_learnt_from_steps_in_any_unit(tmp_path):
    x = 1000 + 50 * np.random.default_rng(0).normal(size=(60, 5, 2))
    data = saved_arrays(tmp_path, x, x.sum(axis=2, keepdims=True))
    trained(tmp_path / "m.h5", data, "lstm:units=8")
    saved = read(str(tmp_path / "m.h5"))
    name = next(node.name for node in saved.model.graph.nodes if isinstance(node.layer, Normalization))
    assert saved.model.graph.output_shapes == ((5, 1),)
    mean = saved.model.weights.views[name][0]
    assert mean == pytest.approx([1000, 1000], rel=0.02)
    assert measured(tmp_path / "m.h5", data).metrics["mean_absolute_error"].value < 100


def sine(steps=300):
    time = np.arange(steps)
    return np.column_stack([np.sin(time / 5), 100 + 10 * np.cos(time / 5)])


def test_a_series_is_forecast_by_a_model_that_remembers_its_windows(tmp_path):
    np.save(tmp_path / "s.npy", sine())
    data = DataSettings((str(tmp_path / "s.npy"),), window=12, horizon=2)
    trained(tmp_path / "m.h5", data, "mlp:units=32,layers=1,dropout=0", epochs=40, learning_rate=0.01)
    saved = read(str(tmp_path / "m.h5"))
    assert saved.preprocessing == {"kind": "series", "window": 12, "horizon": 2, "columns": None}
    assert saved.split == {"kind": "the last steps", "fraction": 0.2, "train": 227, "validation": 47}
    plain = replace(data, window=None, horizon=None)
    assert measured(tmp_path / "m.h5", plain).metrics["r2"].value > 0.98
    _, rows = predicted(tmp_path / "m.h5", tmp_path / "s.npy")
    assert len(rows) == 300 - 12 + 1
    assert rows[-1].path.endswith("s.npy[288]")
    assert rows[-1].outputs[0].shape == (2, 2)
    expected = sine(302)[300:]
    assert np.abs(rows[-1].outputs[0] - expected).max(axis=0) == pytest.approx([0, 0], abs=2.5)
    with pytest.raises(UsageError, match="--window: the model was made for 12; leave it out"):
        measured(tmp_path / "m.h5", replace(data, window=10))


def test_only_training_steps_decide_how_a_series_is_scaled(tmp_path):
    series = np.zeros((100, 1))
    series[:80, 0] = np.tile([1.0, 3.0], 40)
    series[80:] = 1e6
    np.save(tmp_path / "s.npy", series)
    trained(tmp_path / "m.h5", DataSettings((str(tmp_path / "s.npy"),), window=4), "lstm:units=2")
    saved = read(str(tmp_path / "m.h5"))
    assert saved.model.weights.views["normalization"][0] == pytest.approx([2.0], abs=0.05)
    assert saved.model.graph.layers["target_scale"].offset == pytest.approx((2.0,), abs=0.05)


def test_options_of_a_series_need_its_window(tmp_path):
    np.save(tmp_path / "s.npy", sine())
    for name, value, option in (("horizon", 3, "--horizon"), ("target_column", (0,), "--target-column")):
        with pytest.raises(UsageError, match=f"{option}: needs --window"):
            trained(tmp_path / "m.h5", DataSettings((str(tmp_path / "s.npy"),), **{name: value}), "lstm")


def test_words_for_a_series_are_told_the_shape_that_is_missing(tmp_path):
    np.save(tmp_path / "s.npy", sine())
    data = DataSettings((str(tmp_path / "s.npy"),), window=12, horizon=3)
    settings = BuildSettings(str(tmp_path / "m.h5"), words=("lstm:4", "dense:6"), data=data)
    with pytest.raises(UsageError, match="end with dense:6,linear reshape:3x2"):
        build.run(settings)
    build.run(replace(settings, words=("lstm:4", "dense:6", "reshape:3x2")))
    build.run(BuildSettings(str(tmp_path / "n.h5"), like=str(tmp_path / "m.h5")))
    assert read(str(tmp_path / "n.h5")).preprocessing["window"] == 12


def barcodes(n=60, seed=0):
    """(n, 8, 32) pictures of strings of 1 to 4 symbols, a bright block high or low for each; and the strings."""
    random = np.random.default_rng(seed)
    x, texts = np.zeros((n, 8, 32), np.uint8), []
    for row in x:
        symbols = random.integers(0, 2, random.integers(1, 5))
        for place, symbol in enumerate(symbols):
            row[4 * symbol : 4 * symbol + 4, 8 * place : 8 * place + 4] = 250
        texts.append("".join("hl"[symbol] for symbol in symbols))
    return x, np.array(texts)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder with x.npy, y.npy and m.h5, which reads them."""
    folder = tmp_path_factory.mktemp("strings")
    data = saved_arrays(folder, *barcodes())
    trained(folder / "m.h5", data, "crnn:width=8,units=16,dropout=0", epochs=60, learning_rate=0.01, val_split=0)
    return folder


def test_strings_are_read_with_and_without_a_beam(reader):
    data, texts = DataSettings((str(reader / "x.npy"),)), barcodes()[1]
    saved = read(str(reader / "m.h5"))
    assert (saved.classes, saved.training_config.loss_names) == (("h", "l"), ("ctc",))
    for beam in (None, 4):
        found = measured(reader / "m.h5", data, beam=beam)
        assert found.outputs[0].kind == "strings"
        assert found.metrics["string_error_rate"].value <= 0.05
        _, rows = predicted(reader / "m.h5", reader / "x.npy", beam=beam)
        right = np.mean([row.label == text for row, text in zip(rows, texts, strict=True)])
        assert right == pytest.approx(1 - found.metrics["string_error_rate"].value)
        assert all(0 < row.prob <= 1 for row in rows)


def test_numbered_strings_are_the_same_as_texts(reader, tmp_path):
    x, texts = barcodes()
    numbered = np.full((len(texts), 6), -1)
    for row, text in zip(numbered, texts, strict=True):
        row[: len(text)] = ["hl".index(symbol) for symbol in text]
    data = saved_arrays(tmp_path, x, numbered)
    assert (
        measured(reader / "m.h5", data).loss == measured(reader / "m.h5", DataSettings((str(reader / "x.npy"),))).loss
    )


def test_strings_of_a_list_and_their_largest_losses(reader, tmp_path):
    x, texts = barcodes()
    with open(tmp_path / "list.csv", "w", newline="") as file:
        rows = csv.writer(file)
        for number in range(6):
            Image.fromarray(x[number]).save(tmp_path / f"{number}.png")
            rows.writerow([f"{number}.png", texts[number]])
    data = DataSettings((str(tmp_path / "list.csv"),), image_size=(8, 32), color="gray")
    found = measured(reader / "m.h5", data, top_losses=1)
    assert found.n == 6
    assert found.top_losses[0].true in texts


def test_a_string_that_needs_more_steps_than_there_are_is_named(reader, tmp_path):
    x, texts = barcodes()
    data = saved_arrays(tmp_path, x, np.array(["hhhhh", *texts[1:]]))
    with pytest.raises(DataError, match=r"y\.npy: the string at row 0 needs 9 steps, and output 'dense' has 8"):
        measured(reader / "m.h5", data)
    with pytest.raises(DataError, match=r"y\.npy: row 0 has the symbol 'q'; the alphabet is hl"):
        measured(reader / "m.h5", saved_arrays(tmp_path, x, np.array(["q", *texts[1:]])))


def test_options_of_classes_are_refused_for_strings(reader):
    with pytest.raises(UsageError, match="--probs: the model reads a text in each row"):
        predicted(reader / "m.h5", reader / "x.npy", probs=True)


def test_a_beam_is_refused_where_no_strings_are_read(tmp_path):
    data = saved_arrays(tmp_path, *tokens())
    trained(tmp_path / "m.h5", data, "lstm:units=2")
    with pytest.raises(UsageError, match="--beam: the model reads no strings"):
        measured(tmp_path / "m.h5", data, beam=3)
    with pytest.raises(UsageError, match="--beam: the model reads no strings"):
        predicted(tmp_path / "m.h5", tmp_path / "x.npy", beam=3)


def blobs(n=80, seed=0):
    """(n, 8, 8) pictures of one bright row."""
    x = np.zeros((n, 8, 8), np.uint8)
    x[np.arange(n), np.random.default_rng(seed).integers(0, 8, n)] = 255
    return x


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoder")
    data = saved_arrays(folder, blobs())
    trained(folder / "m.h5", data, "autoencoder:units=8", epochs=15, learning_rate=0.01, val_split=0)
    return folder


def test_an_autoencoder_needs_no_labels_and_gives_its_input_back(autoencoder):
    data = DataSettings((str(autoencoder / "x.npy"),))
    found = measured(autoencoder / "m.h5", data, top_losses=2)
    assert list(found.metrics)[:2] == ["mean_squared_error", "mean_absolute_error"]
    assert "accuracy" not in found.metrics
    _, rows = predicted(autoencoder / "m.h5", autoencoder / "x.npy")
    errors = np.array(
        [np.square(row.outputs[0][..., 0] - x / 255).mean() for row, x in zip(rows, blobs(), strict=True)]
    )
    assert found.metrics["mean_squared_error"].value == pytest.approx(errors.mean(), rel=1e-4)
    assert errors.mean() < 0.02
    assert len(found.top_losses) == 2


def test_reconstructed_images_are_written_as_pixels(autoencoder, tmp_path):
    folder = tmp_path / "made" / "pictures"
    _, rows = predicted(autoencoder / "m.h5", autoencoder / "x.npy", pictures=str(folder))
    assert len(list(folder.iterdir())) == len(rows) == 80
    with Image.open(folder / "x-3.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (8, 8)
    assert np.abs(pixels - 255 * rows[3].outputs[0][..., 0]).max() <= 0.5 + 1e-3
    with pytest.raises(OutputError, match="holds files already; use --force"):
        predicted(autoencoder / "m.h5", autoencoder / "x.npy", pictures=str(folder))
    predicted(autoencoder / "m.h5", autoencoder / "x.npy", pictures=str(folder), force=True)


def test_pictures_need_a_folder_and_a_model_of_images(autoencoder, tmp_path):
    with pytest.raises(UsageError, match="--format: png needs a folder to write to"):
        predicted(autoencoder / "m.h5", autoencoder / "x.npy", pictures="-")
    trained(tmp_path / "m.h5", saved_arrays(tmp_path, *tokens()), "lstm:units=2")
    with pytest.raises(UsageError, match="--format: png is for models that give images"):
        predicted(tmp_path / "m.h5", tmp_path / "x.npy", pictures=str(tmp_path / "p"))


def test_a_folder_of_images_is_its_own_target(tmp_path):
    picture_folder(tmp_path / "d", DARK_AND_BRIGHT, per_class=4)
    data = DataSettings((str(tmp_path / "d"),))
    trained(tmp_path / "m.h5", data, "autoencoder:units=2,width=2")
    saved = read(str(tmp_path / "m.h5"))
    assert (saved.classes, saved.preprocessing["target"], saved.preprocessing["height"]) == (None, "input", 8)
    assert measured(tmp_path / "m.h5", data).n == 12
    predicted(tmp_path / "m.h5", tmp_path / "d" / "dark", pictures=str(tmp_path / "p"))
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["0.png", "1.png", "2.png", "3.png"]


def test_a_table_is_reconstructed_as_it_is_scaled(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 4)) * [1, 10, 100, 1000]
    data = saved_arrays(tmp_path, x)
    trained(tmp_path / "m.h5", data, "autoencoder:units=2")
    assert 0.1 < measured(tmp_path / "m.h5", data).metrics["mean_squared_error"].value < 2


def test_any_network_as_wide_as_its_input_may_be_an_autoencoder(tmp_path):
    data = replace(saved_arrays(tmp_path, blobs()), target="input")
    words = ("flatten", "dense:4", "dense:64,sigmoid", "reshape:8x8")
    build.run(BuildSettings(str(tmp_path / "m.h5"), words=("rescaling:1/255", *words), data=data))
    assert lr_find.run(LrFindSettings(str(tmp_path / "m.h5"), data, steps=20, low=1e-5, high=1.0, jobs=1)).rate > 0
    trained(tmp_path / "m.h5", data, None)
    assert measured(tmp_path / "m.h5", data).metrics["mean_squared_error"].value < 0.5
    build.run(BuildSettings(str(tmp_path / "n.h5"), words=words, data=data))
    with pytest.raises(DataError, match="the rows go from 0 to 255 and are targets of binary_crossentropy"):
        trained(tmp_path / "n.h5", data, None)
    build.run(BuildSettings(str(tmp_path / "o.h5"), words=("flatten", "dense:4"), data=data))
    with pytest.raises(UsageError, match="the output must have the input's 64 numbers, but layer 'dense' gives 4"):
        trained(tmp_path / "o.h5", data, None)


class Interrupting(Events):
    """Sends this process a signal, as Ctrl-C does, after the first epoch."""

    def epoch_end(self, run):
        if run.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("kind", ["autoencoder", "series"])
def test_an_interrupted_run_ends_with_the_bytes_of_the_whole_one(kind, tmp_path):
    np.save(tmp_path / "s.npy", sine())
    series = DataSettings((str(tmp_path / "s.npy"),), window=12)
    data, arch = (saved_arrays(tmp_path, blobs()), kind) if kind == "autoencoder" else (series, "gru:units=4")
    settings = FitSettings(str(tmp_path / "whole.h5"), data, arch=arch, epochs=3, jobs=1)
    fit.run(settings)
    broken = replace(settings, model=str(tmp_path / "broken.h5"))
    with pytest.raises(KeyboardInterrupt):
        fit.run(broken, Interrupting())
    fit.run(replace(broken, resume=True))
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "broken.h5").read_bytes()
