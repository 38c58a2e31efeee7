"""The same seed, epoch and sample: the same picture, whatever is around it."""

import numpy as np
import pytest

from dltool.data.augment import AUGMENTATIONS, PRESETS, Augment, parse
from dltool.data.augment.preview import contact_sheet, value_span
from dltool.data.dataset import ArrayDataset
from dltool.data.loader import Loader
from dltool.engine.batch import Batch
from dltool.errors import UsageError
from tests.data.augment.test_geometry import images

EVERYTHING = "turn,hflip,vflip,rotate,zoom,crop,shear,brightness,contrast,saturation,cutout,erase=1,randaugment"


@pytest.mark.parametrize("text", [EVERYTHING, *(preset for preset in PRESETS if preset != "none")])
def test_a_picture_depends_on_seed_epoch_and_sample_only(text):
    rows, augment = images(70, 16, 16), Augment(parse(text), seed=5)
    together = augment(Batch((rows,), rows=np.arange(70)), 2).inputs[0]
    assert together.dtype == np.uint8 and together.shape == rows.shape
    order = np.random.default_rng(1).permutation(70)
    assert np.array_equal(augment(Batch((rows[order],), rows=order), 2).inputs[0], together[order])
    alone = [augment(Batch((rows[i : i + 1],), rows=np.array([i])), 2).inputs[0][0] for i in range(70)]
    assert np.array_equal(np.stack(alone), together)
    for other in (
        augment(Batch((rows,), rows=np.arange(70)), 3),
        Augment(parse(text), 6)(Batch((rows,), rows=np.arange(70)), 2),
    ):
        assert (other.inputs[0] != together).any(axis=(1, 2, 3)).mean() > 0.5


def test_one_augmentation_does_not_change_the_numbers_of_another():
    few, many = Augment(parse("rotate=9,cutout=3")), Augment(parse("hflip,randaugment,rotate=9,mixup=1,cutout=3"))
    numbers = [{o.name: u for o, u in a.draw(1, np.arange(9)).items() if o} for a in (few, many)]
    for name in ("rotate", "cutout"):
        assert np.array_equal(numbers[0][name], numbers[1][name])


def test_images_without_an_axis_of_channels_are_grey_ones():
    rows, augment = images(5, 9, 9, 1), Augment(parse("rotate=20,cutout=3,cutmix"))
    found = [augment(Batch((array,), rows=np.arange(5)), 1).inputs[0] for array in (rows, rows[..., 0])]
    assert np.array_equal(found[0][..., 0], found[1])


@pytest.mark.parametrize("text", ["strong", "medium,cutmix=1"])
def test_threads_and_a_start_in_the_middle_change_nothing(text):
    rows = images(90, 16, 16)
    dataset = ArrayDataset([rows], np.arange(90) % 3, ("a", "b", "c"), ["x.npy"])
    found = {}
    for workers in (0, 1, 3):
        with Loader(dataset, 16, seed=4, workers=workers, change=Augment(parse(text), 4)) as loader:
            found[workers] = list(loader.epoch(2))
    with Loader(dataset, 16, seed=4, change=Augment(parse(text), 4)) as loader:
        found["rest"] = [*found[0][:3], *loader.epoch(2, first_batch=3)]
    for batches in found.values():
        assert len(batches) == 6
        for one, other in zip(batches, found[0], strict=True):
            assert np.array_equal(one.inputs[0], other.inputs[0])
            assert (one.mixed is None) == ("cutmix" not in text)
            assert one.mixed is None or np.array_equal(one.mixed.share, other.mixed.share)


def test_lists_and_presets_are_read():
    assert parse("none") == () and parse("") == ()
    assert [str(o) for o in parse("hflip, rotate=20,crop=4")] == ["hflip=0.5", "rotate=20", "crop=4"]
    assert [str(o) for o in parse("light,crop=2,mixup=0.3")] == ["hflip=0.5", "crop=2", "mixup=0.3"]
    assert [str(o) for o in parse("light,hflip=0")] == ["crop=0.125"]
    assert str(parse("randaugment=3:12")[0]) == "randaugment=3:12"
    for name in AUGMENTATIONS:  # every default is valid, and reads back
        (operation,) = parse(name)
        assert parse(str(operation)) == (operation,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hflop", "--augment: unknown augmentation 'hflop'; did you mean 'hflip'?"),
        ("rotate=x", "--augment: 'rotate=x' gives no number; write it as rotate=15"),
        ("rotate=nan", "gives no number"),
        ("rotate=200", "--augment: rotate=200 is out of range; give 0 to 180"),
        ("brightness=-1", "out of range"),
        ("hflip=0.5:2", "has 2 numbers; hflip takes 1"),
        ("medium=2", "unknown augmentation 'medium'"),
    ],
)
def test_what_cannot_be_read_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ("hflip", [(7,)], "--augment: hflip needs images, but rows are 7; give mixup alone"),
        ("cutout=8", [(8, 20, 1)], "--augment: cutout=8 is larger than the images of 8x20; give less"),
        ("crop=30", [(20, 20, 1)], "crop=30 is larger than the images of 20x20"),
        ("mixup", [(7,), (3,)], "--augment: the model has 2 inputs; leave it out"),
    ],
)
def test_what_does_not_fit_the_rows_is_refused(text, shapes, message):
    with pytest.raises(UsageError, match=message):
        Augment(parse(text)).check(shapes)


def test_the_range_of_numbers_is_judged_by_rows():
    def span(values):
        rows = np.asarray(values).reshape(-1, 2, 2, 1)
        return value_span(ArrayDataset([rows], np.zeros(len(rows), np.int64), ("a",), ["x.npy"]))

    assert span(np.zeros(8, np.uint8)) == (0, 255)
    assert span(np.linspace(0, 0.9, 8)) == (0, 1)
    assert span(np.linspace(0, 200, 8)) == (0, 255)
    assert span([-2.0, 1, 1, 3]) == (-2, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_contact_sheet_begins_each_row_with_the_original(dtype, channels, tmp_path):
    from PIL import Image

    rows = images(20, 16, 20, channels).astype(dtype)
    dataset = ArrayDataset([rows], np.zeros(20, np.int64), ("a",), ["x.npy"])
    (tmp_path / "s.png").write_bytes(contact_sheet(dataset, Augment(parse("rotate=20"))))
    sheet = np.asarray(Image.open(tmp_path / "s.png"))
    assert sheet.shape == (8 * (16 * 5 + 4) + 4, 8 * (20 * 5 + 4) + 4, 3)
    first = sheet[4:84:5, 4:104:5]
    assert np.array_equal(first, rows[0][..., :3] if channels > 1 else rows[0].repeat(3, axis=-1))
    assert not np.array_equal(first, sheet[4:84:5, 108:208:5])
