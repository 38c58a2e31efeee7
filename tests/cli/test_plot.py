"""Curves in characters."""

import math

from dltool.cli.plot import curve, visible

XS = [10 ** (-5 + i / 10) for i in range(41)]


def test_a_falling_line_in_ascii():
    lines = curve(XS, [float(40 - i) for i in range(41)], {"v": 1e-3}, width=30, height=5, unicode=False)
    assert len(lines) == 7
    assert lines[0].split() == ["40", "***"]
    assert lines[4].split()[0] == "0"
    assert [line.index("*") for line in lines[:5]] == sorted(line.index("*") for line in lines[:5])
    assert lines[5].index("v") == 9 + 10  # half-way through 20 columns
    assert lines[6].split() == ["1e-05", "1e-03", "1e-01"] or lines[6].split()[0] == "1e-05"
    assert max(map(len, lines)) <= 30


def test_braille_has_four_rows_and_two_columns_a_cell():
    lines = curve([1e-2, 1e-1], [1.0, 0.0], {}, width=14, height=1, unicode=True)
    # Four cells are too few for a plot, so there are ten: a line from the upper left to the lower right dot.
    cells = lines[0].split()[-1]
    assert all(0x2800 < ord(cell) < 0x2900 for cell in cells)
    assert ord(cells[0]) - 0x2800 & 0x01
    assert ord(cells[-1]) - 0x2800 & 0x80


def test_the_end_that_runs_away_does_not_flatten_the_rest():
    ys = [2.0, 1.5, 1.0, 50.0]
    assert visible(ys) == (1.0, 2.5)
    assert visible([3.0, 3.0]) == (3.0, 6.0)
    assert visible([0.0, 0.0]) == (0.0, 1.0)
    assert visible([1.0, 2.0]) == (1.0, 2.0)


def test_marks_in_one_place_stand_side_by_side():
    lines = curve(XS, [1.0] * 41, {"v": 1e-3, "s": 1e-3, "m": 1e-3}, width=80)
    marks = lines[-2]
    assert marks.split() == ["vsm"]


def test_80_columns_hold_every_width_of_range():
    for decades in (1, 3, 8, 14):
        xs = [10 ** (-decades / 2 + decades * i / 50) for i in range(51)]
        ys = [math.cos(i / 8) for i in range(51)]
        for unicode in (True, False):
            lines = curve(xs, ys, {"v": xs[0], "s": xs[-1], "m": xs[25]}, width=80, unicode=unicode)
            assert max(map(len, lines)) <= 80
            assert unicode or "".join(lines).isascii()
