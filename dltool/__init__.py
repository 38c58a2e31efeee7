"""dltool trains, measures and uses neural networks from the command line, in files that Keras opens.

    cli            the commands: options in, text out; the only place that prints
    workflows      one page per command: settings in, result out
    training       the loop, its callbacks, the objective
    data           folders of images and arrays as datasets; splits; the loader
    modelfile      Keras whole-model HDF5 files, and everything about Keras's versions
    architectures  ready networks by name: (input shape, outputs, options) -> graph
    engine         the mathematics, on numpy alone: graph, weights, layers, losses, optimizers, executor
    errors, registry, settings, names      the standard library only; all may import them

Imports go downward in this list, never sideways.
"""

from dltool.version import __version__ as __version__
