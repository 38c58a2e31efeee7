"""Who waits for whom."""

import time

from dltool.training.waiting import Waiting


def slow(count, seconds):
    for number in range(count):
        time.sleep(seconds)
        yield number


def test_time_until_a_batch_comes_is_waited_and_time_until_the_next_is_asked_for_is_work():
    waiting, seen = Waiting(), []
    for number in waiting.watch(slow(4, 0.03)):
        seen.append(number)
        time.sleep(0.01)
    assert seen == [0, 1, 2, 3]
    assert waiting.waited >= 4 * 0.03 and waiting.seconds - waiting.waited >= 4 * 0.01


def test_several_iterations_add_up_and_none_is_nothing():
    waiting = Waiting()
    list(waiting.watch([]))
    assert waiting == Waiting(0.0, 0.0)
    list(waiting.watch(slow(1, 0.01)))
    first = waiting.seconds
    list(waiting.watch(slow(1, 0.01)))
    assert waiting.seconds >= first + 0.01
