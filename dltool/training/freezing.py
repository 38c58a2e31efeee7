"""Which layers do not train: by the beginning of the network or by name."""

from __future__ import annotations

from dataclasses import replace

from dltool.engine.graph import Graph
from dltool.engine.surgery import is_called
from dltool.errors import UsageError
from dltool.registry import nearest


def frozen(graph: Graph, text: str) -> Graph:
    """The graph with exactly those layers frozen that ``text`` names.

    Args:
        text: ``"3"`` (the first three layers that have weights), ``"conv*,bn1"`` (names and patterns, see
            ``surgery.is_called``) or ``"none"``.

    Raises:
        UsageError: a name that no layer has, or nothing would be left to train.
    """
    weighted = [name for name, specs in graph.specs.items() if specs]
    chosen = _chosen(weighted, text)
    trains = [name for name in weighted if any(spec.trainable for spec in graph.specs[name])]
    if chosen >= set(trains):
        raise UsageError(f"--freeze: {text!r} leaves no layer to train; there are {_listed(weighted)}")
    changed = {
        name: replace(graph.layers[name], trainable=name not in chosen)
        for name in weighted
        if graph.layers[name].trainable != (name not in chosen)
    }
    return graph.with_layers(changed) if changed else graph


def _chosen(weighted: list[str], text: str) -> set[str]:
    if text == "none":
        return set()
    if text.isascii() and text.isdigit():
        return set(weighted[: int(text)])
    found: set[str] = set()
    for pattern in filter(None, (part.strip() for part in text.split(","))):
        matching = {name for name in weighted if is_called(name, pattern)}
        if not matching:
            close = nearest(pattern, weighted)
            advice = f"did you mean {close!r}?" if close else f"there are {_listed(weighted)}"
            raise UsageError(f"--freeze: no layer with weights is called {pattern!r}; {advice}")
        found |= matching
    if not found:
        raise UsageError("--freeze: names no layer; give a number, names or patterns as 'conv*', or none")
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
