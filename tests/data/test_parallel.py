"""Work on many files in threads, and the memory and CPUs there are for it."""

import threading

import pytest

from dltool.data.capacity import available_bytes, store_limit
from dltool.data.parallel import default_workers, map_in_order, num_cpus
from dltool.errors import DataError


def halve(number: int) -> int:
    if number % 10 == 3:
        raise DataError(f"{number}: is bad")
    return number // (number - 77)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_order_with_errors_in_their_place(workers: int) -> None:
    results = list(map_in_order(lambda n: halve(n) if n % 10 == 3 else n, range(70), workers, chunk=4))
    assert [n if isinstance(r, DataError) else r for n, r in enumerate(results)] == list(range(70))
    assert [str(r) for r in results if isinstance(r, DataError)] == [f"{n}: is bad" for n in range(3, 70, 10)]


@pytest.mark.parametrize("workers", [0, 2])
def test_our_own_mistakes_are_not_taken_for_bad_data(workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(halve, range(100), workers))


def test_leaving_early_leaves_no_threads() -> None:
    results = map_in_order(lambda n: n, range(1000), 3)
    assert next(results) == 0
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dltool-read")]


def test_there_is_something_to_work_with() -> None:
    assert 1 <= default_workers() <= max(4, num_cpus())
    assert 0 < store_limit() < available_bytes() < 1 << 50
