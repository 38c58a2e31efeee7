"""Writes ``dltool/names.py`` from the registries: ``python tests/regenerate_names.py``.

``tests/test_names.py`` compares, and says to run this when a definition was added.
"""

import inspect
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "dltool" / "names.py"

HEADER = '''"""The registered names, so that help, completion and typos need no numpy. Imports nothing.

Generated from the registries by ``python tests/regenerate_names.py``; a test compares.

LAYERS: Keras class -> its constructor's options in order, each with what it takes ("int", "number", "numbers",
"flag", "size", "text", "time", "layer" or "any"). LAYER_REQUIRED: the options without a default.
OPTIMIZERS, LOSSES, METRICS, SCHEDULES, AUGMENTATIONS: name -> options likewise.
ARCHITECTURES: name -> option -> default. AUGMENT_PRESETS: name -> list of augmentations.
METRIC_SHORT: name -> the word in progress lines. *_ALIASES: short name -> full name.
"""
'''

NOT_KERAS = ("name", "legacy", "unbiased_moving_variance", "schedule")
"""Fields that a user does not set: the layer's name stands before the word, the others keep the arithmetic of files."""


def kind_of(name: str, annotation: str) -> str:
    """What a constructor option takes, read from its annotation."""
    if "bool" in annotation:
        return "flag"
    if annotation.startswith("Layer"):
        return "layer"
    if annotation == "str" or name.endswith(("_initializer", "_regularizer", "_constraint")):
        return "text"
    if "tuple" in annotation or "Shape" in annotation:
        return "numbers" if "float" in annotation else "size"
    if "float" in annotation:
        return "number"
    return "int" if "int" in annotation else "any"


def options_of(cls: type) -> dict[str, str]:
    """The options of a registered dataclass in Keras's order, ``trainable`` last."""
    found = [f for f in fields(cls) if f.init and f.name not in NOT_KERAS]
    found.sort(key=lambda f: f.name == "trainable")
    return {f.name: kind_of(f.name, f.type if isinstance(f.type, str) else str(f.type)) for f in found}


def required_of(cls: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls) if f.init and f.default is MISSING and f.default_factory is MISSING)


def schedule_options(cls: type) -> dict[str, str]:
    """The options of a schedule; times are "time" (``10`` epochs or ``500steps``)."""
    found = {name: kind for name, kind in options_of(cls).items() if name != "learning_rate"}
    return {name: "time" if name in cls.durations else kind for name, kind in found.items()}


def architecture_options(function) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "rescale"}


def tables() -> dict[str, object]:
    from dltool.architectures.catalog import ARCHITECTURES
    from dltool.data.augment import AUGMENTATIONS, PRESETS
    from dltool.engine.activations import ACTIVATIONS
    from dltool.engine.constraints import CONSTRAINTS
    from dltool.engine.initializers import INITIALIZERS
    from dltool.engine.layers import LAYERS
    from dltool.engine.losses import LOSSES
    from dltool.engine.metrics import METRICS
    from dltool.engine.optimizers import OPTIMIZERS
    from dltool.engine.regularizers import REGULARIZERS
    from dltool.engine.schedules import SCHEDULES

    required = {name: required_of(LAYERS.get(name)) for name in LAYERS}
    return {
        "LAYERS": {name: options_of(LAYERS.get(name)) for name in LAYERS},
        "LAYER_REQUIRED": {name: keys for name, keys in required.items() if keys},
        "LAYER_ALIASES": LAYERS.aliases(),
        "ACTIVATIONS": tuple(ACTIVATIONS.names()),
        "ACTIVATION_ALIASES": ACTIVATIONS.aliases(),
        "INITIALIZERS": tuple(INITIALIZERS.names()),
        "INITIALIZER_ALIASES": INITIALIZERS.aliases(),
        "CONSTRAINTS": tuple(CONSTRAINTS.names()),
        "CONSTRAINT_ALIASES": CONSTRAINTS.aliases(),
        "REGULARIZERS": tuple(REGULARIZERS.names()),
        "REGULARIZER_ALIASES": REGULARIZERS.aliases(),
        "LOSSES": {name: options_of(LOSSES.get(name)) for name in LOSSES},
        "LOSS_ALIASES": LOSSES.aliases(),
        "METRICS": {name: options_of(METRICS.get(name)) for name in METRICS},
        "METRIC_SHORT": {name: METRICS.get(name).short for name in METRICS if METRICS.get(name).short},
        "METRIC_ALIASES": METRICS.aliases(),
        "OPTIMIZERS": {name: options_of(OPTIMIZERS.get(name)) for name in OPTIMIZERS},
        "OPTIMIZER_ALIASES": OPTIMIZERS.aliases(),
        "SCHEDULES": {name: schedule_options(SCHEDULES.get(name)) for name in SCHEDULES},
        "SCHEDULE_ALIASES": SCHEDULES.aliases(),
        "AUGMENTATIONS": {name: options_of(AUGMENTATIONS.get(name)) for name in AUGMENTATIONS},
        "AUGMENT_PRESETS": PRESETS,
        "ARCHITECTURES": {name: architecture_options(ARCHITECTURES.get(name)) for name in ARCHITECTURES},
    }


def text() -> str:
    """The source of ``dltool/names.py``, formatted as ruff does."""
    body = "\n".join(f"{name} = {value!r}" for name, value in tables().items())
    command = [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", str(TARGET), "-"]
    formatted = subprocess.run(
        command, input=f"{HEADER}\n{body}\n", capture_output=True, text=True, check=True, cwd=ROOT
    )
    return formatted.stdout


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    TARGET.write_text(text(), encoding="utf-8")
