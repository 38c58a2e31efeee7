"""Training events on the screen: what was understood, a moving bar on a terminal, one plain line per epoch.

``Progress`` has the methods of ``dltool.training.callbacks.Events`` (a test compares) without importing it, so that
this module stays light.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from dltool.cli.console import Console
from dltool.names import METRIC_SHORT
from dltool.wording import counted

REDRAW_SECONDS = 0.1
BAR_WIDTH = 20
BAR_LEAST = 5


class Progress:
    """Shows a training run.

    Args:
        clock: gives seconds.
        resume: the command that goes on with a run that was interrupted, "" when there is none.
        epochs: how many there are in all, where a run is but one of several; None: as many as the run has.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        resume: str = "",
        epochs: int | None = None,
    ):
        self.console, self._clock, self.resume, self.epochs = console, clock, resume, epochs
        self._columns: list[str] = []
        self._started = self._drawn = clock()
        self._first_sample = 0
        self._first_epoch: tuple[float, float] | None = None

    def understood(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.console.note(line)

    def note(self, text: str) -> None:
        self.console.note(text)

    def warning(self, text: str) -> None:
        self.console.warning(text)

    def hint(self, text: str) -> None:
        self.console.note(f"hint    {text}")

    def epoch_begin(self, run: Any) -> None:
        self._started, self._first_sample = self._clock(), run.samples
        self._draw(run)

    def batch_end(self, run: Any) -> None:
        if self.console.live and self._clock() - self._drawn >= REDRAW_SECONDS:
            self._draw(run)

    def test_batch_end(self, run: Any) -> None:
        if self.console.live and self._clock() - self._drawn >= REDRAW_SECONDS:
            self._drawn = self._clock()
            part = run.validated / run.num_validation if run.num_validation else 1.0
            self.console.draw(moving_line(self._epoch(run), part, ["validating"], self.console.width - 1))

    def epoch_end(self, run: Any) -> None:
        if self._first_epoch is None:
            self._first_epoch = run.waiting.waited, run.waiting.seconds
        logs = {"learning_rate": run.learning_rate, **run.logs}  # at an epoch's end the logs have the rate, too
        values = self._fitting([name for name in logs if name not in ("epoch", "learning_rate")], run)
        if values != self._columns:
            self._columns = values
            self.console.note(self._header(run, values), "bold", fold=False)
        cells = [f"{number(logs[name]):>{_width(name)}}" for name in values]
        star = " *" if run.is_best else ""
        rate = f"{logs['learning_rate']:.1e}"
        line = f"{self._epoch(run)}  {'  '.join(cells)}  {rate:>8}  {duration(run.seconds):>6}{star}"
        self.console.note(line, fold=False)

    def finished(self, run: Any) -> None:
        self._tell_waiting(run)
        end = f"stopped at epoch {run.epoch}: {run.stop}" if run.stop else f"finished {counted(run.epoch, 'epoch')}"
        if run.best_epoch is None:
            self.console.note(end)
            return
        best = next((row for row in run.history if row.get("epoch") == run.best_epoch), {})
        shown = [name for name in ("val_loss", "val_accuracy", "loss", run.monitor) if name in best]
        if "val_loss" in shown:
            shown.remove("loss") if "loss" in shown else None
        values = ", ".join(f"{short(name)} {number(best[name])}" for name in dict.fromkeys(shown))
        self.console.note(f"{end}; kept epoch {run.best_epoch}" + (f" ({values})" if values else ""))

    def _tell_waiting(self, run: Any) -> None:
        """The first epoch apart from the others, because it alone decodes images that stay in memory."""
        whole = run.waiting
        if not whole.seconds:
            return
        text = f"waited {whole.waited / whole.seconds:.0%} of the training time for data"
        waited, seconds = self._first_epoch or (0.0, 0.0)
        if seconds and whole.seconds > seconds:
            later = (whole.waited - waited) / (whole.seconds - seconds)
            text += f": {waited / seconds:.0%} in the first epoch, {later:.0%} later"
        self.console.detail(text)

    def diverged(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.console.note(line)

    def interrupted(self, run: Any, path: str) -> None:
        where = f" in epoch {run.done + 1} after {run.batch:,} of {run.steps_per_epoch:,} batches" if run.batch else ""
        self.console.note(f"saved   {path}{where}")
        if self.resume:
            self.console.note(f"resume  {self.resume}", fold=False)

    def _fitting(self, names: list[str], run: Any) -> list[str]:
        """The columns that a terminal has room for; metrics of the training rows give way first, the last of them."""
        names, star = list(names), 2
        while self.console.err_is_terminal and len(self._header(run, names)) + star > self.console.width:
            less = [name for name in names if f"val_{name}" in names and name != "loss"] or names[2:]
            if not less:
                break
            names.remove(less[-1])
        return names

    def _header(self, run: Any, columns: Sequence[str]) -> str:
        names = [f"{short(name):>{_width(name)}}" for name in columns]
        return f"{'epoch':>{len(self._epoch(run))}}  {'  '.join(names)}  {'lr':>8}  {'time':>6}"

    def _epoch(self, run: Any) -> str:
        total = str(self.epochs or run.epochs)
        return f"{run.epoch:>{len(total)}}/{total}".rjust(5)

    def _draw(self, run: Any) -> None:
        self._drawn = self._clock()
        if not self.console.live or self.console.quiet:
            return
        unit = "img" if len(run.model.graph.input_shapes[0]) == 3 else "rows"
        logs = run.logs if run.batch else {}
        values = [f"{short(name)} {number(value)}" for name, value in logs.items() if not name.startswith("val_")][:3]
        speed = rate_and_eta(
            run.samples - self._first_sample, run.num_rows - run.samples, self._drawn - self._started, unit
        )
        part = run.samples / run.num_rows if run.num_rows else 1.0
        self.console.draw(moving_line(self._epoch(run), part, [*values, *speed], self.console.width - 1))


class Counter:
    """A moving count for work that has no epochs: evaluate and predict."""

    def __init__(self, console: Console, what: str, unit: str = "rows", clock: Callable[[], float] = time.monotonic):
        self.console, self.what, self.unit, self._clock = console, what, unit, clock
        self._started = clock()
        self._drawn = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` rows are finished."""
        now = self._clock()
        if self.console.live and (now - self._drawn >= REDRAW_SECONDS or done == total):
            self._drawn = now
            speed = rate_and_eta(done, total - done, now - self._started, self.unit)
            part = done / total if total else 1.0
            self.console.draw(moving_line(self.what, part, speed, self.console.width - 1))


def tell_waiting(console: Console, found: Sequence[Any]) -> None:
    """With --verbose: how much of the time of all work together was spent waiting for data."""
    seconds = sum(waiting.seconds for waiting in found)
    if seconds:
        console.detail(f"waited {sum(waiting.waited for waiting in found) / seconds:.0%} of the time for data")


def moving_line(what: str, part: float, cells: list[str], width: int) -> str:
    """``what``, a bar and the cells; where that is too wide the bar gives way first, then cells before the last two."""
    cells = list(cells)
    while True:
        room = width - len("  ".join([what, bar(1.0, 0), *cells]))
        if room >= BAR_LEAST or len(cells) <= 2:
            return "  ".join([what, bar(part, min(max(room, 0), BAR_WIDTH)), *cells])
        del cells[-3]


def rate_and_eta(done: int, left: int, seconds: float, unit: str) -> list[str]:
    """``["266 img/s", "eta 3s"]``; nothing before there is something to measure."""
    if done <= 0 or seconds <= 0:
        return []
    per_second = done / seconds
    return [
        f"{per_second:,.0f} {unit}/s" if per_second >= 10 else f"{per_second:.1f} {unit}/s",
        f"eta {duration(left / per_second)}",
    ]


def bar(part: float, width: int = BAR_WIDTH) -> str:
    """``█████▌      27%``."""
    eighths = round(min(max(part, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    drawn = "█" * full + (chr(0x2590 - rest) if rest else "")
    return f"{drawn:<{width}} {100 * part:3.0f}%"


def duration(seconds: float) -> str:
    """``6.1s``, ``1m 25s``, ``2h 03m``."""
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 59.95 else "1m 00s"
    minutes, whole = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {whole:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def short(name: str) -> str:
    prefix, base = ("val_", name[4:]) if name.startswith("val_") else ("", name)
    return prefix + METRIC_SHORT.get(base, base)


def _width(name: str) -> int:
    return max(len(short(name)), 6)


def number(value: float) -> str:
    """``0.9812``, ``1.2e-05``, ``123.4``."""
    magnitude = abs(value)
    if magnitude and (magnitude < 5e-4 or magnitude >= 1e5):
        return f"{value:.1e}"
    return f"{value:.4f}" if magnitude < 100 else f"{value:.1f}"
