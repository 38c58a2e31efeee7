"""How much of the time of some work is spent waiting for data. Imports the standard library only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Waiting:
    """Attributes:
    seconds: that batches took so far. waited: seconds of these until they came.
    """

    seconds: float = 0.0
    waited: float = 0.0

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches, with the time that each takes to come and to be used."""
        last = time.perf_counter()
        for batch in batches:
            came = time.perf_counter()
            self.waited += came - last
            yield batch
            now = time.perf_counter()
            self.seconds += now - last
            last = now
