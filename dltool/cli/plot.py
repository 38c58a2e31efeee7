"""A curve in characters: Unicode braille (2x4 dots in a cell), or plain ASCII where the stream shows no more."""

import math
from collections.abc import Mapping, Sequence

MARGIN = 9
"""Columns for the numbers on the left."""
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille cell, rows from the top."""


def curve(
    xs: Sequence[float],
    ys: Sequence[float],
    marks: Mapping[str, float],
    *,
    width: int = 80,
    height: int = 12,
    unicode: bool = True,
) -> list[str]:
    """The curve's lines: the plot, a row of one-letter marks below it, and the decades.

    Args:
        xs: rising and above zero, drawn logarithmically. ys: finite, one per x.
        marks: letter -> its x.
        width, height: columns of the whole, rows of the plot.
    """
    columns = max(width - MARGIN - 1, 10)
    across, down = (2, 4) if unicode else (1, 1)
    logs = [math.log10(x) for x in xs]
    low, high = visible(ys)
    grid = [[0] * columns for _ in range(height)]
    last = None
    for dot in range(columns * across):
        y = between(logs, ys, logs[0] + (logs[-1] - logs[0]) * dot / max(columns * across - 1, 1))
        level = round((high - min(y, high)) / (high - low) * (height * down - 1))
        for row in spanned(last, level):
            grid[row // down][dot // across] |= DOTS[row % 4][dot % 2] if unicode else 1
        last = level
    shown = ["".join(cell(bits, unicode) for bits in row).rstrip() for row in grid]
    labels = {0: number(high), height - 1: number(low)}
    lines = [f"{labels.get(row, ''):>{MARGIN - 1}} {text}".rstrip() for row, text in enumerate(shown)]
    places = {letter: place(logs, math.log10(x), columns) for letter, x in marks.items()}
    return [*lines, mark_row(places, columns), decades(logs, columns)]


def visible(ys: Sequence[float]) -> tuple[float, float]:
    """The values that the plot spans: the end, where the loss runs away, shall not flatten the rest."""
    low, start = min(ys), ys[0]
    high = min(max(ys), low + 1.5 * (start - low)) if start > low else max(ys)
    return (low, high) if high > low else (low, low + max(abs(low), 1.0))


def between(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """Linear interpolation; xs rise."""
    after = next((i for i, known in enumerate(xs) if known >= x), len(xs) - 1)
    before = max(after - 1, 0)
    width = xs[after] - xs[before]
    part = min(max((x - xs[before]) / width, 0.0), 1.0) if width > 0 else 0.0
    return ys[before] + part * (ys[after] - ys[before])


def spanned(last: int | None, level: int) -> range:
    """Rows to fill so that the line has no gaps."""
    if last is None or last == level:
        return range(level, level + 1)
    return range(last + 1, level + 1) if level > last else range(level, last)


def cell(bits: int, unicode: bool) -> str:
    if not bits:
        return " "
    return chr(0x2800 + bits) if unicode else "*"


def place(logs: Sequence[float], x: float, columns: int) -> int:
    span = logs[-1] - logs[0]
    return round((x - logs[0]) / span * (columns - 1)) if span > 0 else 0


def mark_row(places: Mapping[str, int], columns: int) -> str:
    """Each letter below its place; one that would cover another moves right."""
    row = [" "] * (columns + len(places))
    for letter, column in sorted(places.items(), key=lambda item: item[1]):
        column = min(max(column, 0), columns - 1)
        while row[column] != " ":
            column += 1
        row[column] = letter
    return " " * MARGIN + "".join(row).rstrip()


def decades(logs: Sequence[float], columns: int) -> str:
    """``1e-07   1e-06 ...`` below the places of the powers of ten, as many as there is room for."""
    text = " " * MARGIN
    for power in range(math.ceil(logs[0] - 1e-9), math.floor(logs[-1] + 1e-9) + 1):
        column = MARGIN + place(logs, power, columns)
        label = f"1e{power:+03d}"
        if column + len(label) > MARGIN + columns:
            column = MARGIN + columns - len(label)
        if column >= len(text) + (1 if text.strip() else 0):
            text = f"{text:<{column}}{label}"
    return text


def number(value: float) -> str:
    return f"{value:.3g}"
