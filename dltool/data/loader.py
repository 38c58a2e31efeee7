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
            only. ``samples`` are the rows' numbers, the later copies of a row counting on after all rows.
        balance: classes (n,) of the rows, which then come equally often, see ``balanced``; None: each row once.

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
        balance: np.ndarray | None = None,
    ):
        self.dataset, self.batch_size, self.shuffle, self.seed = dataset, batch_size, shuffle, seed
        self.workers = default_workers() if workers is None else workers
        self.change, self.balance = change, balance
        self._pools: set[ThreadPoolExecutor] = set()

    @property
    def num_rows(self) -> int:
        """Rows of an epoch."""
        return len(self.dataset) if self.balance is None else balanced_size(self.balance)

    def __len__(self) -> int:
        return -(-self.num_rows // self.batch_size)

    def order(self, n: int) -> np.ndarray:
        """(num_rows,) int64: the samples of epoch ``n`` in the order they are read.

        Sample ``i`` is row ``i`` modulo the rows of the data set: what is above are further copies.
        """
        samples = np.arange(len(self.dataset))
        if self.balance is not None:
            samples = balanced(self.balance, generator(self.seed, "balance", n))
        return generator(self.seed, "shuffle", n).permutation(samples) if self.shuffle else samples

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
        batch = self.dataset.fetch(piece if self.balance is None else piece % len(self.dataset))
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


def balanced_size(classes: np.ndarray) -> int:
    """Rows of an epoch in which all classes come as often as the largest."""
    counts = np.bincount(classes)
    return int((counts > 0).sum() * counts.max())


def balanced(classes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(size,) int64 samples, in which every class that is there comes as often as the largest.

    All rows of a class are repeated the same number of times, and what is missing then is drawn without repetition.
    Copy k of row i is sample ``i + k * n``.
    """
    count, most = len(classes), int(np.bincount(classes).max())
    found = []
    for label in np.unique(classes):
        rows = np.flatnonzero(classes == label)
        whole, rest = divmod(most, len(rows))
        found += [rows + copy * count for copy in range(whole)]
        found.append(np.sort(random.permutation(rows)[:rest]) + whole * count)
    return np.concatenate(found)
