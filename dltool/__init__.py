"""dltool trains, measures and uses neural networks from the command line, in files that Keras opens.

    cli            the commands: options in, text out; the only place that prints
    api            the same from Python: load, build, Model; the names of this module
    plugin         what a user's own layers, losses and callbacks are made of
    workflows      one page per command: settings in, result out
    training       the loop, its callbacks, the objective
    data           folders of images and arrays as datasets; splits; the loader
    modelfile      Keras whole-model HDF5 files, and everything about Keras's versions
    architectures  ready networks by name: (input shape, outputs, options) -> graph
    engine         the mathematics, on numpy alone: graph, weights, layers, losses, optimizers, executor
    errors, registry, settings, names, wording, version      the standard library only; all may import them

Imports go downward in this list, never sideways.

``import dltool`` loads nothing; ``dltool.load``, ``dltool.build`` and the other names of ``dltool.api`` come with their
first use.
"""

from typing import Any

from dltool.version import __version__ as __version__

API = ("Callback", "Events", "Model", "Run", "build", "load")
"""What ``dltool.api`` gives this module."""


def __getattr__(name: str) -> Any:
    if name not in API:
        raise AttributeError(f"module 'dltool' has no attribute {name!r}")
    import dltool.api

    return getattr(dltool.api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *API])
