"""Random numbers depend on their key, never on who draws them or in which pieces."""

import numpy as np
import pytest

from dltool.engine.streams import Stream, generator, philox4x32, uniforms


@pytest.mark.parametrize(
    ("word", "found"),
    [
        (0x00000000, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (0xFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ],
)
def test_philox4x32_gives_the_known_answers_of_random123(word, found):
    assert philox4x32(np.full(2, word, np.uint64), np.full((1, 4), word, np.uint64)).tolist() == [list(found)]


def test_uniform_numbers_depend_on_seed_purpose_and_counter_only():
    counters = np.stack([np.arange(500), *np.zeros((3, 500), int)], axis=-1)
    numbers = uniforms(3, "one", counters)
    assert np.array_equal(uniforms(3, "one", counters[::-1])[::-1], numbers)
    assert numbers.min() > 0 and numbers.max() < 1 and abs(numbers.mean() - 0.5) < 0.02
    for other in (uniforms(4, "one", counters), uniforms(3, "two", counters), uniforms(3 + 2**32, "one", counters)):
        assert not np.isin(other, numbers).any()


def test_rows_are_the_same_whether_drawn_together_or_apart():
    together = Stream(7, 3, 2).random_bytes((6, 5, 4))
    apart = np.concatenate([Stream(7, 3, 2, first_row=i).random_bytes((2, 5, 4)) for i in (0, 2, 4)])
    assert np.array_equal(together, apart)


def test_large_rows_are_the_same_too():
    together = Stream(7, 3, 2).random_bytes((4, 9000))
    apart = np.concatenate([Stream(7, 3, 2, first_row=i).random_bytes((1, 9000)) for i in range(4)])
    assert np.array_equal(together, apart)


def test_seed_step_node_and_row_each_change_the_bytes():
    base = Stream(1, 1, 1).random_bytes((1, 64))
    for other in (Stream(2, 1, 1), Stream(1, 2, 1), Stream(1, 1, 2), Stream(1, 1, 1, first_row=1)):
        assert not np.array_equal(base, other.random_bytes((1, 64)))


def test_bytes_are_uniform():
    drawn = Stream(0, 0, 0).random_bytes((200, 4096))
    counts = np.bincount(drawn.reshape(-1), minlength=256)
    expected = drawn.size / 256
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert 180 < chi_squared < 340  # 255 degrees of freedom: about 1 in 1,000 outside on each side


def test_at_another_step_a_stream_equals_a_new_one():
    stream = Stream(5, 1, 9, 2)
    stream.random_bytes((3, 10))
    assert np.array_equal(stream.at(8).random_bytes((3, 10)), Stream(5, 8, 9, 2).random_bytes((3, 10)))


def test_normal_numbers_have_mean_0_and_deviation_1():
    drawn = Stream(3, 1, 1).normal((50, 2000))
    assert abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.02
    assert drawn.dtype == np.float32


def test_generators_of_different_purposes_and_places_differ():
    first = generator(0, "weights", 1).random(4)
    assert np.array_equal(first, generator(0, "weights", 1).random(4))
    for other in (
        generator(1, "weights", 1),
        generator(0, "shuffle", 1),
        generator(0, "weights", 2),
        generator(0, "weights"),
    ):
        assert not np.array_equal(first, other.random(4))
