"""The names after ``--try``, and what the values drawn for them make of a training's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dltool.architectures.literals import spec
from dltool.engine.graph import Graph
from dltool.engine.layers import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from dltool.errors import UsageError
from dltool.names import ARCHITECTURES
from dltool.registry import nearest
from dltool.settings import FitSettings
from dltool.training.search_space import Parameter

DROPOUT = "dropout"
OF_ARCH = "arch."
DROPPING = (Dropout, AlphaDropout, GaussianDropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D)


@dataclass(frozen=True)
class Known:
    """An option of ``fit`` that can be tried.

    Attributes:
        field: in ``FitSettings``. kind: makes the value of a text.
        optional: the choice ``none`` leaves the option out.
    """

    field: str
    kind: Callable[[Any], Any] = str
    optional: bool = False


OPTIONS = {
    "arch": Known("arch"),
    "augment": Known("augment"),
    "balance": Known("balance", optional=True),
    "batch-size": Known("batch_size", int),
    "class-weight": Known("class_weight", optional=True),
    "clip-norm": Known("clip_norm", float, optional=True),
    "clip-value": Known("clip_value", float, optional=True),
    "ema": Known("ema", float, optional=True),
    "freeze": Known("freeze"),
    "label-smoothing": Known("label_smoothing", float),
    "loss": Known("loss"),
    "lr": Known("learning_rate", float),
    "optimizer": Known("optimizer"),
    "schedule": Known("schedule"),
    "warmup": Known("warmup", optional=True),
    "weight-decay": Known("weight_decay", float),
}
"""The name after ``--try``, which is the option's without dashes."""


def check_names(space: Sequence[Parameter], settings: FitSettings) -> None:
    """Raise UsageError for a name that cannot be tried, or that the settings fix."""
    known = [*OPTIONS, DROPOUT, *(f"{OF_ARCH}{key}" for key in arch_options(space, settings))]
    for parameter in space:
        name = parameter.name
        if name.startswith(OF_ARCH) and not architectures(space, settings):
            raise UsageError(f"--try: {name} needs --arch; name the architecture, as --arch cnn")
        if name not in known:
            close = nearest(name, known)
            advice = f"did you mean {close!r}?" if close else f"these can be tried: {', '.join(known)}"
            raise UsageError(f"--try: {name!r} cannot be tried; {advice}")
        if name in OPTIONS and not parameter.choices and OPTIONS[name].kind is str:
            raise UsageError(f"--try: {name} is no number; write its values with commas between them")
        if name in OPTIONS and OPTIONS[name].kind is int and not (parameter.choices or parameter.whole):
            raise UsageError(f"--try: {name} is a whole number; write whole ends, as {name}=16..256:log")
        fixed = settings.given or ()
        if name in OPTIONS and OPTIONS[name].field in fixed:
            raise UsageError(f"--{name}: is tried with --try {name}, too; leave one of the two out")
        fixed_keys = spec(settings.arch)[1] if settings.arch else {}
        if name.removeprefix(OF_ARCH) in fixed_keys:
            raise UsageError(f"--try: {name} is fixed by --arch {settings.arch}; leave it out there")


def architectures(space: Sequence[Parameter], settings: FitSettings) -> list[str]:
    """The architectures that the trials will have; empty when all train the model in the file."""
    tried = next((parameter.choices for parameter in space if parameter.name == "arch"), ())
    return [*tried] if tried else [settings.arch] if settings.arch else []


def arch_options(space: Sequence[Parameter], settings: FitSettings) -> list[str]:
    """The options that all of these architectures have."""
    found = [ARCHITECTURES.get(text.partition(":")[0], {}) for text in architectures(space, settings)]
    return [key for key in found[0] if all(key in options for options in found)] if found else []


def applied(settings: FitSettings, values: Mapping[str, Any]) -> tuple[FitSettings, float | None]:
    """The settings of one trial, and the rate that its network's dropout layers shall have; None leaves them."""
    changed: dict[str, Any] = {}
    arch, dropout = values.get("arch", settings.arch), None
    for name, value in values.items():
        key = name.removeprefix(OF_ARCH)
        if name.startswith(OF_ARCH) or (name == DROPOUT and arch and DROPOUT in _options_of(arch)):
            arch += f"{',' if ':' in arch else ':'}{key}={value}"
        elif name == DROPOUT:
            dropout = float(value)
        else:
            known = OPTIONS[name]
            changed[known.field] = None if known.optional and value == "none" else known.kind(value)
    return replace(settings, **{**changed, "arch": arch}), dropout


def _options_of(arch: str) -> dict[str, Any]:
    return ARCHITECTURES.get(arch.partition(":")[0], {})


def with_dropout(graph: Graph, rate: float) -> Graph:
    """The graph with another rate in all of its dropout layers. Raises UsageError when it has none."""
    drops = [name for name, layer in graph.layers.items() if isinstance(layer, DROPPING)]
    if not drops:
        raise UsageError("--try: dropout needs a network with dropout layers; build it with some, or leave this out")
    return graph.with_layers({name: replace(graph.layers[name], rate=rate) for name in drops})


def as_words(values: Mapping[str, Any]) -> str:
    """``lr 0.0031, optimizer adam``."""
    return ", ".join(f"{name} {as_text(value)}" for name, value in values.items())


def as_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
