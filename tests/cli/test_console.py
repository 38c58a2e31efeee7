"""What reaches the two streams: safe text, no moving lines in files, ASCII where it must be."""

import io

import pytest

from dltool.cli.console import Console, json_text, printable
from dltool.errors import OutputError


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Latin(io.StringIO):
    encoding = "latin-1"


class FullDisk(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def console(out=None, err=None, **environ):
    return Console(out or io.StringIO(), err or io.StringIO(), environ)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain näme 猫.jpg", "plain näme 猫.jpg"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("a\x00\x07\x08\x7f", "a\\x00\\x07\\x08\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("\u2028x", "\\u2028x"),
        ("\u061cx", "\\u061cx"),
        ("\udcff.png", "\\xff.png"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text, shown):
    assert printable(text) == shown


def test_a_name_longer_than_a_screen_loses_its_middle_in_messages():
    err = io.StringIO()
    console(err=err).error("m.h5: layer '" + "n" * 40_000 + "': is not supported; use another")
    line = err.getvalue()
    assert len(line) < 1600
    assert line.startswith("dltool: error: m.h5: layer 'nnn")
    assert line.endswith("nnn': is not supported; use another\n")


def test_results_go_to_stdout_and_all_else_to_stderr():
    out, err = io.StringIO(), io.StringIO()
    c = console(out, err)
    c.result("r")
    c.note("n")
    c.warning("w")
    c.error("e")
    c.failure("f")
    assert out.getvalue() == "r\n"
    assert err.getvalue() == "n\ndltool: warning: w\ndltool: error: e\ndltool: f\n"


def test_a_terminal_folds_notes_between_words_and_nothing_else_does():
    text = "hint    'dense' has 98% of the weights; a pooling before it does without"
    err = Terminal()
    c = console(err=err, NO_COLOR="1", COLUMNS="40")
    c.note(text)
    c.note("row " * 12, fold=False)
    c.hint("next    dltool evaluate a-long-name.h5 --data TEST", fold=False)
    c.error("x" * 60 + ": one line; always")
    assert err.getvalue().splitlines() == [
        "hint    'dense' has 98% of the weights;",
        "        a pooling before it does without",
        "row " * 12,
        "next    dltool evaluate a-long-name.h5 --data TEST",
        "dltool: error: " + "x" * 60 + ": one line; always",
    ]
    stream = io.StringIO()
    console(err=stream, COLUMNS="40").note(text)
    assert stream.getvalue() == text + "\n"


@pytest.mark.parametrize(
    ("environ", "drawn"),
    [
        ({}, "█"),
        ({"LANG": "C"}, "#"),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "#"),  # as Python leaves it
        ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, "#"),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, "█"),
        ({"LC_CTYPE": "de_DE.UTF-8", "LANG": "C"}, "█"),
        ({"LC_CTYPE": "C.UTF-8"}, "█"),
    ],
)
def test_signs_are_ascii_in_the_locale_c_but_results_keep_their_names(environ, drawn):
    out, err = io.StringIO(), Terminal()
    c = console(out, err, NO_COLOR="1", **environ)
    c.draw("█")
    c.result("ä.png")
    assert err.getvalue().startswith(f"\r{drawn}")
    assert out.getvalue() == "ä.png\n"
    assert c.err_is_unicode == (drawn == "█")


def test_quiet_keeps_results_warnings_and_errors():
    out, err = io.StringIO(), io.StringIO()
    c = console(out, err)
    c.quiet = True
    c.result("r")
    c.note("n")
    c.warning("w")
    assert (out.getvalue(), err.getvalue()) == ("r\n", "dltool: warning: w\n")


def test_details_need_verbose():
    err = io.StringIO()
    c = console(err=err)
    c.detail("one")
    c.verbose = True
    c.detail("two")
    assert err.getvalue() == "two\n"


def test_hints_are_for_people_at_a_terminal():
    for stream, expected in ((io.StringIO(), ""), (Terminal(), "h\n")):
        c = console(err=stream, NO_COLOR="1")
        c.hint("h")
        assert stream.getvalue() == expected


@pytest.mark.parametrize(
    ("stream", "environ", "colored"),
    [
        (io.StringIO, {}, False),
        (Terminal, {}, True),
        (Terminal, {"TERM": "dumb"}, False),
        (Terminal, {"NO_COLOR": "1"}, False),
        (io.StringIO, {"FORCE_COLOR": "1"}, True),
        (io.StringIO, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (io.StringIO, {"FORCE_COLOR": "0"}, False),
        (Terminal, {"NO_COLOR": ""}, True),
    ],
)
def test_colour(stream, environ, colored):
    err = stream()
    console(err=err, **environ).error("x")
    assert ("\x1b" in err.getvalue()) == colored


def test_a_moving_line_moves_only_on_a_terminal():
    for stream, environ in ((io.StringIO(), {}), (Terminal(), {"TERM": "dumb"})):
        c = console(err=stream, **environ)
        c.draw("50%")
        assert stream.getvalue() == ""
    err = Terminal()
    c = console(err=err, NO_COLOR="1")
    c.draw("50% and more")
    c.draw("60%")
    c.note("done")
    shown = [piece.rstrip() for piece in err.getvalue().replace("\n", "\r").split("\r")]
    assert shown == ["", "50% and more", "60%", "", "done", ""]


def test_a_moving_line_is_cut_to_the_width():
    err = Terminal()
    console(err=err, COLUMNS="20").draw("x" * 50)
    assert err.getvalue() == "\r" + "x" * 19


@pytest.mark.parametrize(("columns", "width"), [("120", 120), ("", 80), ("wide", 80), ("0", 80)])
def test_columns(columns, width):
    assert console(COLUMNS=columns).width == width


def test_plain_ascii_where_the_stream_is_not_utf8():
    out = Latin()
    console(out).result("±1 → 猫 ä █▌ 3×3 …")
    assert out.getvalue() == "+-1 -> \\u732b \\xe4 # 3x3 ...\n"


def test_a_full_disk_is_an_output_error():
    with pytest.raises(OutputError, match="standard output: no space left on device; free space or write elsewhere"):
        console(FullDisk()).result("x")


def test_json_has_null_where_a_number_is_none():
    assert json_text({"a": [1.5, float("nan")], "b": (float("inf"), "NaN")}) == '{"a": [1.5, null], "b": [null, "NaN"]}'
    assert json_text({"a": 0.1}) == '{"a": 0.1}'
