"""Batches in the right order, read ahead of the training. Imports numpy and ``dltool.engine``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from dltool.data.dataset import Dataset
from dltool.data.parallel import default_workers
from dltool.engine.batch import Batch
from dltool.engine.streams import generator

AHEAD = 3
Change = Callable[[Batch, int, np.ndarray], Batch]


class Loader:
    """Cuts a data set into batches, epoch by epoch; the last batch may be smaller.

    ``epoch(n)`` depends on (seed, n) only, so a run can be taken up at any epoch. Threads exist only while an epoch is
    being read that needs decoding; rows that are in memory are copied in the caller's thread. Every batch owns its
    arrays.

    Args:
        dataset: where the rows come from.
        batch_size: rows per batch.
        shuffle: a new random order every epoch; False keeps the order of the data set.
        seed: of the order.
        workers: decoding threads; None: as many as CPUs, at most 4; 0: none.
        change: (batch, epoch, samples) -> batch, what is done to each batch, in those threads; it must depend on these
            only. ``samples`` are the rows' numbers.

    Example:
        >>> with Loader(dataset, 64, shuffle=True, seed=0) as loader:
        ...     for batch in loader.epoch(0):
        ...         step(batch)
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        workers: int | None = None,
        change: Change | None = None,
    ):
        self.dataset, self.batch_size, self.shuffle, self.seed = dataset, batch_size, shuffle, seed
        self.workers = default_workers() if workers is None else workers
        self.change = change
        self._pools: set[ThreadPoolExecutor] = set()

    @property
    def num_rows(self) -> int:
        return len(self.dataset)

    def __len__(self) -> int:
        return -(-self.num_rows // self.batch_size)

    def order(self, n: int) -> np.ndarray:
        """(num_rows,) int64: the rows of epoch ``n`` in the order they are read."""
        if not self.shuffle:
            return np.arange(self.num_rows)
        return generator(self.seed, "shuffle", n).permutation(self.num_rows)

    def epoch(self, n: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``n``.

        Args:
            first_batch: how many batches to leave out at the start, to go on within an epoch.

        Raises:
            DataError: naming the file that cannot be read, when its batch's turn comes.
        """
        order = self.order(n)
        starts = range(first_batch * self.batch_size, self.num_rows, self.batch_size)
        pieces = (order[start : start + self.batch_size] for start in starts)
        if self.workers == 0 or (self.change is None and self.dataset.is_ready()):
            return (self._batch(n, piece) for piece in pieces)
        return self._ahead(n, pieces)

    def _batch(self, n: int, piece: np.ndarray) -> Batch:
        batch = self.dataset.fetch(piece)
        return batch if self.change is None else self.change(batch, n, piece)

    def _ahead(self, n: int, pieces: Iterator[np.ndarray]) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="dltool-decode")
        self._pools.add(pool)
        pending: deque[Future[Batch]] = deque()
        try:
            for piece in pieces:
                pending.append(pool.submit(self._batch, n, piece))
                if len(pending) > max(AHEAD, self.workers):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            self._pools.discard(pool)

    def close(self) -> None:
        """Stop all threads, also of an epoch that was left half-way."""
        for pool in list(self._pools):
            pool.shutdown(wait=True, cancel_futures=True)
        self._pools.clear()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
