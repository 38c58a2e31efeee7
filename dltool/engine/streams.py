"""Counter-based random streams: what is drawn depends on a key, never on who draws or in which order.

Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) turns (key, counter) into numbers. A
stream's key holds the seed and a purpose; its counter holds the step, the node and the sample, so that any lane can
draw any sample's numbers. Imports numpy and the standard library only.
"""

from __future__ import annotations

import hashlib

import numpy as np

BLOCK = 512
"""64-bit words drawn per call: 4 kB, so that nothing larger is allocated in the steady state."""


def _words(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """A generator for one purpose ("weights", "split") and up to three indices, independent of all others."""
    counter = [0, *indices[:3], 0, 0, 0][:4]
    return np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), _words(purpose)], counter=counter))


def uniforms(seed: int, purpose: str, counters: np.ndarray) -> np.ndarray:
    """Numbers of many streams at once, four for each counter: Philox4x32 with ten rounds, vectorised.

    Args:
        counters: (..., 4) whole numbers from 0 below 2^32, as (row, epoch, which, block).

    Returns:
        (..., 4) float64, each above 0 and below 1.
    """
    key = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint64)
    key ^= np.array(divmod(_words(purpose), 2**32)[::-1], np.uint64)
    return (philox4x32(key, counters).astype(np.float64) + 0.5) / 2.0**32


def philox4x32(key: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Ten rounds of Philox4x32 (Salmon et al., 2011, section 4.4) on counters (..., 4), key (2,); uint64 below 2^32.

    NumPy's own Philox has 64-bit words and one state: to seek costs 3 us per row, this 1 us with all a row's draws.
    """
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    a, b, c, d = (np.asarray(counters[..., i], np.uint64) for i in range(4))
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        first, second = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b = (second >> half) ^ b ^ np.uint64(k0), second & low
        c, d = (first >> half) ^ d ^ np.uint64(k1), first & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([a, b, c, d], axis=-1)


class Stream:
    """Random bytes of one node at one step: row i's bytes depend on (seed, step, node, i) only.

    Args:
        seed, step, node: the key.
        first_row: index in the batch of the first row to draw for.
        part: for a node that needs several streams.
    """

    def __init__(self, seed: int, step: int, node: int, first_row: int = 0, part: int = 0):
        self._philox = np.random.Philox(key=[seed & (2**64 - 1), _words("layer")])
        self._state = self._philox.state
        self.seed, self.step, self.node, self.first_row, self.part = seed, step, node, first_row, part

    def at(self, step: int) -> Stream:
        """The same stream at another step; reuses the generator, allocates nothing large."""
        self.step = step
        return self

    def branch(self, part: int) -> Stream:
        """Another stream of the same node, by its number."""
        return Stream(self.seed, self.step, self.node, self.first_row, 2 * self.part + part + 1)

    def spread(self, count: int) -> Stream:
        """The stream for rows of which ``count`` come from each row (time steps as rows)."""
        return Stream(self.seed, self.step, self.node, self.first_row * count, self.part)

    def fill(self, words: np.ndarray, rows: int) -> None:
        """Fill ``words`` (uint64, contiguous, ``rows`` equal parts) with each row's random words."""
        per_row = words.size // rows
        blocks_per_row = -(-per_row // 4)  # one counter value gives four words
        state = self._state
        if per_row % 4 == 0:
            self._seek(state, self.first_row * blocks_per_row)
            self._draw(words)
            return
        for row in range(rows):
            self._seek(state, (self.first_row + row) * blocks_per_row)
            self._draw(words[row * per_row : (row + 1) * per_row])

    def _seek(self, state: dict, block: int) -> None:
        state["state"]["counter"][:] = (block, self.step, self.node, self.part)
        state["buffer_pos"] = 4
        self._philox.state = state

    def _draw(self, words: np.ndarray) -> None:
        raw = self._philox.random_raw
        for start in range(0, words.size, BLOCK):
            part = words[start : start + BLOCK]
            part[...] = raw(part.size)

    def random_bytes(self, shape: tuple[int, ...]) -> np.ndarray:
        """uint8 array of ``shape``; its first axis are the rows."""
        rows = shape[0]
        per_row = int(np.prod(shape[1:], dtype=np.int64))
        words_per_row = -(-per_row // 32) * 4
        words = np.empty((rows, words_per_row), np.uint64)
        self.fill(words.reshape(-1), rows)
        return words.view(np.uint8)[:, :per_row].reshape(shape)

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers from 0 up to, not including, 1 of ``shape``, float64, from each row's words."""
        return (self._words(shape) >> np.uint64(11)).reshape(shape) * 2.0**-53

    def _words(self, shape: tuple[int, ...]) -> np.ndarray:
        """One random word per element, (rows, elements of a row)."""
        rows, per_row = shape[0], int(np.prod(shape[1:], dtype=np.int64))
        words = np.empty((rows, -(-per_row // 4) * 4), np.uint64)
        self.fill(words.reshape(-1), rows)
        return words[:, :per_row]

    def normal(self, shape: tuple[int, ...], dtype: object = np.float32) -> np.ndarray:
        """Standard normal numbers of ``shape`` by Box-Muller on each row's words."""
        words = self._words(shape)
        halves = words.view(np.uint32).reshape(*words.shape, 2)
        uniform = (halves.astype(np.float64) + 0.5) / 2.0**32
        values = np.sqrt(-2.0 * np.log(uniform[..., 0])) * np.cos(2.0 * np.pi * uniform[..., 1])
        return values.reshape(shape).astype(dtype)
