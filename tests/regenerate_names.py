"""Writes ``dltool/names.py`` from the registries: ``python tests/regenerate_names.py``.

``tests/test_names.py`` compares, and says to run this when a definition was added.
"""

import inspect
import subprocess
import sys
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
    from dltool.registry import options_of, required_of, schedule_options

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
