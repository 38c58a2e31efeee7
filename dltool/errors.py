"""The errors that a user can meet, and the exit code of each.

    DltoolError            70  internal error (and the base of all)
    ├── ShortError          1  finished, but short: inputs failed, a gate was missed
    ├── UsageError          2  an option, layer word or combination is wrong
    │   └── UnknownNameError   a name that is not registered, with the nearest one
    ├── DataError           3  images, arrays or lists that cannot be used
    ├── ModelFileError      4  a model file that is damaged, unsafe or unsupported
    ├── OutputError         5  the result cannot be written
    ├── DivergedError       6  the loss became NaN or infinite
    └── PeerError           8  another process of a distributed run failed

A message names the file, layer or option first, then what is wrong, then what to do:
``m.h5: not an HDF5 file; give the model that 'dltool build' or Keras wrote``.
Imports the standard library only.
"""

EXIT_CODES = {
    0: "done",
    1: "finished but short: some inputs failed, a --fail-under gate was missed, no usable range found",
    2: "usage: an option, layer word or combination is wrong",
    3: "bad input data",
    4: "bad, unsafe or unsupported model file",
    5: "the output cannot be written",
    6: "training diverged; the best model was kept",
    8: "a distributed peer failed",
    70: "internal error; run again with --debug for the traceback",
    130: "stopped by SIGINT (Ctrl-C), state saved",
    141: "the reader of a pipe closed it",
    143: "stopped by SIGTERM, state saved",
}


class DltoolError(Exception):
    """Base of all errors that dltool raises on purpose."""

    exit_code = 70


class ShortError(DltoolError):
    exit_code = 1


class UsageError(DltoolError):
    exit_code = 2


class DataError(DltoolError):
    exit_code = 3


class ModelFileError(DltoolError):
    exit_code = 4


class OutputError(DltoolError):
    exit_code = 5


class DivergedError(DltoolError):
    """``problem`` is what happened, ``advice`` what to do."""

    exit_code = 6

    def __init__(self, problem: str, advice: str = ""):
        self.problem = problem
        super().__init__(f"{problem}; {advice}" if advice else problem)


class PeerError(DltoolError):
    exit_code = 8


class UnknownNameError(UsageError):
    """A name that no registry knows; ``suggestion`` is the nearest known one or None.

    ``where`` is the option or layer that names it: registries do not know it, who asks them adds it with ``at``.
    """

    def __init__(self, kind: str, name: str, suggestion: str | None, known: list[str], where: str = ""):
        self.kind, self.name, self.suggestion, self.known, self.where = kind, name, suggestion, known, where
        hint = f"did you mean {suggestion!r}?" if suggestion else f"known: {', '.join(known)}"
        super().__init__(f"{where}: unknown {kind} {name!r}; {hint}" if where else f"unknown {kind} {name!r}; {hint}")

    def at(self, where: str) -> "UnknownNameError":
        """The same error, naming the option: ``--optimizer: unknown optimizer 'adm'; did you mean 'adam'?``."""
        return UnknownNameError(self.kind, self.name, self.suggestion, self.known, where)
