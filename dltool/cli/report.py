"""The tables of ``dltool evaluate``, in at most 80 columns (or the terminal's)."""

from typing import Any

from dltool.cli.console import Console, aligned, clipped, printable

MOST_CLASSES = 30
"""So many classes get a row each; of more, the worst are shown."""
NAME_WIDTH = 24
"""Class names are cut to this in tables."""
CELL_WIDTH = 10
"""And to this as headers of the confusion matrix."""


def show(console: Console, result: Any) -> None:
    """Everything that was measured of one model."""
    classes = f", {len(result.classes):,} {_noun(result)}" if result.classes else ""
    console.result(f"{result.n:,} {result.unit if result.n != 1 else result.unit[:-1]}{classes}")
    lines = [(name, _number(value.value), _remark(name, value, result)) for name, value in result.metrics.items()]
    lines.append(("loss", _number(result.loss), ""))
    width = max(len(name) for name, _, _ in lines)
    console.results(f"{name:<{width}}  {value}  {remark}".rstrip() for name, value, remark in lines)
    for report in result.outputs:
        if len(result.outputs) > 1 and report.classes is not None:
            console.results(["", f"output {report.name}"])
        show_output(console, report)
    if result.top_losses:
        show_losses(console, result.top_losses)


def show_output(console: Console, report: Any) -> None:
    """Classes, confusion and mistakes of one output."""
    width = console.result_width
    if report.classes is not None:
        console.results(["", *class_table(report)])
    if report.confusion is not None:
        console.results(["", *confusion_lines(report, width)])
    if report.confused:
        console.results(["", *confused_lines(report, width)])


def show_comparison(console: Console, found: Any) -> None:
    """Both models, one after the other, then the verdict."""
    for result in (found.first, found.second):
        console.results([f"== {result.model}"])
        show(console, result)
        console.result("")
    console.results(verdict_lines(found))


def verdict_lines(found: Any) -> list[str]:
    """Which model is better and how sure that is."""
    difference = found.verdict.difference
    interval = f"(95%: {difference.low:+.4f} to {difference.high:+.4f})" if difference.low is not None else ""
    words = f"better: {found.better}" if found.better else "no clear difference: chance explains it"
    if not hasattr(found.verdict, "only_first"):
        lines = [f"mean squared error, second minus first: {difference.value:+.4g} {interval}".rstrip()]
        return [*lines, f"paired z test: p {_p(found.p)}", words]
    verdict = found.verdict
    return [
        f"accuracy, second minus first: {difference.value:+.4f} {interval}".rstrip(),
        f"only the first is right on {verdict.only_first:,} rows, only the second on {verdict.only_second:,}",
        f"McNemar's test: mid-p {_p(verdict.p_mid)}, exact p {_p(verdict.p_exact)}",
        words,
    ]


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 else f"{value:.1e}"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.5g}"


def _noun(result: Any) -> str:
    return "labels" if result.outputs[0].kind == "labels" else "classes"


def _remark(name: str, measure: Any, result: Any) -> str:
    parts = []
    if measure.low is not None:
        parts.append(f"95%: {_number(measure.low)} to {_number(measure.high)}")
    if name == "accuracy" and result.majority is not None:
        no_better = ", no better" if measure.low is not None and measure.low <= result.majority else ""
        parts.append(f"majority class {result.majority:.4f}{no_better}")
    if name == "ece":
        parts.append("expected calibration error, 15 bins")
    if name == "auc" and result.classes and len(result.classes) > 2:
        parts.append("one against the rest")
    return f"({', '.join(parts)})" if parts else ""


def class_table(report: Any) -> list[str]:
    """Precision, recall and F of every class, or of the worst when there are many."""
    many = len(report.scores) > MOST_CLASSES
    scores = sorted(report.scores, key=lambda s: s.f1)[:MOST_CLASSES] if many else report.scores
    extra = [] if report.beta == 1 else [f"f{report.beta:g}"]
    headers = [f"worst {MOST_CLASSES} classes" if many else "class", "prec", "rec", "f1", *extra, "n"]
    rows = [
        [clipped(s.name, NAME_WIDTH), *(f"{v:.3f}" for v in (s.precision, s.recall, s.f1)), f"{s.n:,}"] for s in scores
    ]
    if extra:
        rows = [[*row[:4], f"{s.f_beta:.3f}", row[4]] for row, s in zip(rows, scores, strict=True)]
    return aligned([headers, *rows])


def confusion_lines(report: Any, width: int) -> list[str]:
    """The matrix with names, else with numbered columns and then closer ones, else one line that says why not."""
    for numbered, gap in ((False, 2), (True, 2), (True, 1)):
        lines = confusion_table(report, numbered, gap)
        if max(map(len, lines)) <= width:
            return lines
    size = len(report.classes)
    return [f"confusion matrix: {size} x {size} is too wide for {width} columns; --json has it"]


def confusion_table(report: Any, numbered: bool = False, gap: int = 2) -> list[str]:
    """The confusion matrix as lines, rows true, columns predicted; ``numbered``: columns by number.

    Not by tabulate, which widens every column for its header.
    """
    names = [clipped(name, CELL_WIDTH if numbered else NAME_WIDTH) for name in report.classes]
    if numbered:
        names = [f"{i} {name}" if name != str(i) else name for i, name in enumerate(names)]
    columns = [str(i) if numbered else clipped(name, CELL_WIDTH) for i, name in enumerate(report.classes)]
    counts = [[f"{count:,}" if count else "." for count in row] for row in report.confusion.tolist()]
    rows = [columns, *counts]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    first = max(len(name) for name in ["true\\pred", *names])
    return [
        f"{name:<{first}}" + "".join(f"{'':{gap}}{cell:>{w}}" for cell, w in zip(row, widths, strict=True))
        for name, row in zip(["true\\pred", *names], rows, strict=True)
    ]


def confused_lines(report: Any, width: int) -> list[str]:
    """The most frequent mistakes with their first files, as many as fit."""
    lines = ["most confused (true -> predicted)"]
    pairs = [f"{clipped(pair.true, NAME_WIDTH)} -> {clipped(pair.predicted, NAME_WIDTH)}" for pair in report.confused]
    counts = [f"{pair.count:,}" for pair in report.confused]
    widest, most = max(map(len, pairs)), max(map(len, counts))
    for pair, name, count in zip(report.confused, pairs, counts, strict=True):
        line = start = f"  {name:<{widest}}  {count:>{most}} "
        for path in map(printable, pair.first):
            if line != start and len(line) + len(path) + 1 > width:
                break
            line += f" {path}"
        lines.append(line if len(line) <= width else f"{start} {_end_of(pair.first[0], width - len(start) - 1)}")
    return lines


def _end_of(path: str, width: int) -> str:
    """The end of a long path: the file's name tells more than the folders."""
    path = printable(path)
    return path if len(path) <= width else "..." + path[len(path) - max(width - 3, 1) :]


def show_losses(console: Console, rows: Any) -> None:
    """The rows with the largest losses."""
    width = console.result_width
    console.results(["", "largest losses"])
    for row in rows:
        what = f"{clipped(row.true, NAME_WIDTH)} -> {clipped(row.predicted, NAME_WIDTH)}" if row.true else ""
        prob = f" {row.prob:.4f}" if row.prob is not None else ""
        start = f"  {_number(row.loss):>8}  {what}{prob}  "
        console.result(start + _end_of(row.path, max(width - len(start), 10)))
