"""Everything that dltool writes goes through a Console: results to stdout, all else to stderr, both made safe.

Rules kept here: control characters in names are shown escaped; colour and moving lines only on a terminal that can
show them (NO_COLOR, FORCE_COLOR, TERM=dumb and COLUMNS are obeyed); plain ASCII where the stream is not UTF-8.
"""

import contextlib
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from dltool.errors import OutputError

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 control characters, bidirectional overrides, line separators, bytes that are no text."""

LONGEST = 1500
"""Characters of a line on stderr; a name in a file can be longer than a screen."""

_ASCII = str.maketrans(
    {"\u2014": "-", "\u2013": "-", "±": "+-", "→": "->", "×": "x", "·": "|", "…": "...", "█": "#"}
    | {chr(code): "" for code in range(0x2589, 0x2590)}
)

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def printable(text: str) -> str:
    r"""The text on one line: control characters as ``\x1b``, undecodable bytes as ``\xff``.

    >>> printable("a\x1b[31m.jpg")
    'a\\x1b[31m.jpg'
    """
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python decodes a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0]) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    )


def elided(text: str) -> str:
    """The text safe and on one line of at most ``LONGEST`` characters, without its middle if need be."""
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def clipped(text: str, width: int) -> str:
    """A safe text of at most ``width`` columns; what is cut off is shown as such.

    Three points, not one sign, so that tables keep their width where only ASCII can be shown.

    >>> clipped("a rather long name", 11)
    'a rather...'
    """
    text = printable(text)
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."


def wrapped(text: str, width: int, **options: Any) -> list[str]:
    """Lines broken between words only: names like ``resnet-small`` stay whole. ``options`` are those of textwrap."""
    return textwrap.wrap(text, width, break_on_hyphens=False, **options)


def folded(text: str, width: int) -> list[str]:
    """A line broken between words; what follows stands under the text behind its label.

    >>> folded("note    three images are left out", 26)
    ['note    three images are', '        left out']
    """
    if len(text) <= width:
        return [text]
    label = re.match(r"[a-z]+ {2,}", text)
    indent = " " * (label.end() if label else 2)
    return wrapped(text, width, subsequent_indent=indent, break_long_words=False)


def aligned(rows: list[list[str]], left: int = 1) -> list[str]:
    """Lines of columns, the first ``left`` ones flush left, the others flush right. The first row are the headers.

    They go in as a row: tabulate makes columns wider than their headers.
    """
    from tabulate import tabulate

    sides = ["left" if i < left else "right" for i in range(len(rows[0]))]
    table = tabulate(rows, tablefmt="plain", colalign=sides, disable_numparse=True)
    return [line.rstrip() for line in table.splitlines()]


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: NaN and infinity, for which JSON has no word, become null."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, list | tuple) else value


class Console:
    """The two output streams of one command.

    Attributes:
        live: lines on stderr may be redrawn.
        width: columns of the terminal; 80 when there is none.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, environ: Mapping[str, str] | None = None):
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self.environ = os.environ if environ is None else environ
        self.out_name = "standard output"
        self.quiet = False
        self.verbose = False
        self.width = self._columns() or (_terminal_columns() if environ is None else 0) or 80
        self.live = is_terminal(self._err) and self.environ.get("TERM") != "dumb"
        self._wants_ascii = is_c_locale(self.environ)
        self._live_line = ""

    def _columns(self) -> int:
        columns = self.environ.get("COLUMNS", "")
        return int(columns) if columns.isascii() and columns.isdigit() and len(columns) < 10 else 0

    @contextlib.contextmanager
    def results_to(self, stream: TextIO, name: str) -> Iterator[None]:
        """Within, results go to another stream; ``name`` is what errors call it."""
        kept = self._out, self.out_name
        self._out, self.out_name = stream, name
        try:
            yield
        finally:
            self._out, self.out_name = kept

    @property
    def out_is_terminal(self) -> bool:
        return is_terminal(self._out)

    @property
    def err_is_terminal(self) -> bool:
        return is_terminal(self._err)

    @property
    def result_width(self) -> int:
        """Columns for results: the terminal's, and 80 elsewhere, so that files do not depend on the terminal."""
        return max(self.width, 40) if self.out_is_terminal else 80

    @property
    def err_is_unicode(self) -> bool:
        """Whether stderr shows more than ASCII."""
        return self._encodable(self._err, "\u28ff") == "\u28ff" and not self._wants_ascii

    @property
    def binary_out(self):
        """The byte stream of stdout, for arrays."""
        self._out.flush()
        return self._out.buffer

    def result(self, line: str) -> None:
        """One line of the command's result, on stdout."""
        self.cells(line)

    def cells(self, *cells: str) -> None:
        """The same of several cells with tabulators between them."""
        self.clear()
        self._write(self._out, "\t".join(map(printable, cells)))

    def results(self, lines) -> None:
        for line in lines:
            self.result(line)

    def note(self, line: str, style: str | None = None, fold: bool = True) -> None:
        """One line of progress or explanation, on stderr; nothing with --quiet.

        On a terminal a longer one is folded, except where ``fold`` is False: rows of tables, and commands to copy.
        """
        if self.quiet:
            return
        self.clear()
        line = elided(line)
        for part in folded(line, self.width) if fold and self.err_is_terminal else [line]:
            self._write(self._err, self.styled(part, style))

    def detail(self, line: str) -> None:
        """One line that only --verbose shows."""
        if self.verbose:
            self.note(line, "dim")

    def hint(self, line: str, fold: bool = True) -> None:
        """A suggestion, only for a person at a terminal."""
        if self.live:
            self.note(line, "dim", fold)

    def warning(self, line: str) -> None:
        """Something that is likely to matter; shown even with --quiet."""
        self.clear()
        self._write(self._err, f"dltool: {self.styled('warning:', 'yellow')} {elided(line)}")

    def failure(self, line: str) -> None:
        """A thing that failed while the command goes on."""
        self.clear()
        self._write(self._err, f"dltool: {elided(line)}")

    def error(self, line: str) -> None:
        """The one line that ends a command."""
        self.clear()
        self._write(self._err, f"dltool: {self.styled('error:', 'red')} {elided(line)}")

    def raw_error(self, text: str) -> None:
        """A traceback as it is."""
        self.clear()
        self._err.write(text)
        self._err.flush()

    def draw(self, line: str) -> None:
        """Redraw the moving line; does nothing where lines cannot move."""
        if self.live and not self.quiet:
            shown = self._encodable(self._err, printable(line))[: max(self.width - 1, 1)]
            padding = " " * (len(self._live_line) - len(shown))
            self._live_line = shown
            self._err.write(f"\r{shown}{padding}")
            self._err.flush()

    def clear(self) -> None:
        """Take the moving line away."""
        if self._live_line:
            self._err.write("\r" + " " * len(self._live_line) + "\r")
            self._err.flush()
            self._live_line = ""

    def styled(self, text: str, style: str | None) -> str:
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if style and self.wants_color(self._err) else text

    def wants_color(self, stream: TextIO) -> bool:
        """Whether a stream is coloured: NO_COLOR, then FORCE_COLOR, then what the terminal can."""
        if self.environ.get("NO_COLOR"):
            return False
        if self.environ.get("FORCE_COLOR") not in (None, "", "0"):
            return True
        return is_terminal(stream) and self.environ.get("TERM") != "dumb"

    def _encodable(self, stream: TextIO, text: str) -> str:
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
        if self._wants_ascii and stream is self._err:
            text = text.translate(_ASCII)  # signs that we draw; names in results stay as they are
        if encoding in ("utf8", "utf8sig"):
            return text
        return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")

    def _write(self, stream: TextIO, line: str) -> None:
        try:
            stream.write(self._encodable(stream, line) + "\n")
            if stream is self._err:
                stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(cannot_write(error, self.out_name)) from error

    def flush(self) -> None:
        """Push buffered results out. Raises OutputError (a full disk), BrokenPipeError."""
        try:
            self._out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(cannot_write(error, self.out_name)) from error


def cannot_write(error: OSError, name: str = "standard output") -> str:
    return f"{name}: {(error.strerror or str(error)).lower()}; free space or write elsewhere"


def _terminal_columns() -> int:
    """Columns of the terminal behind stdout or stderr; 0 without one. ``shutil`` would cost 3 ms to import."""
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            return os.get_terminal_size(stream.fileno()).columns
        except (AttributeError, ValueError, OSError):
            continue
    return 0


def is_c_locale(environ: Mapping[str, str]) -> bool:
    """Whether the user chose the locale C, whose texts are ASCII.

    Python then still writes UTF-8, and where LANG said C it sets LC_CTYPE itself, to C.UTF-8 (PEP 538, PEP 540).
    """
    names = [environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if names[1] == "C.UTF-8" and names[2] in ("C", "POSIX"):
        names[1] = ""
    return next(filter(None, names), "") in ("C", "POSIX")


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # a replaced or closed stream
        return False
