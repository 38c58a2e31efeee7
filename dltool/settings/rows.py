"""Where rows come from, and files of the user's own definitions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PluginFile:
    """A file of the user's own definitions that was read.

    Attributes:
        path: as given with --plugin. digest: SHA-256 of its bytes.
    """

    path: str
    digest: str

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.replace("\\", "/").rpartition("/")[2]


@dataclass(frozen=True)
class DataSettings:
    """Where the rows come from and how images are read.

    Attributes:
        data: paths as given with --data (folders, arrays, lists, "-"), in order; ``NAME=x.npy`` for a model's input.
        labels: the .npy with the labels, when --data is an array; several for several arrays, or ``NAME=y.npy`` for
            each output of a model.
        image_size: (height, width) in pixels.
        color: "rgb" or "gray".
        resize: "stretch", "crop" or "pad".
        class_names: names of the classes in the order of the model's outputs.
        limit: use at most this many rows.
        allow_empty: accept class folders without images.
        skip_bad: leave unreadable images out instead of stopping.
        multi_label: a row may have several labels: rows of 0 and 1, or ``cat;dog`` in a list of images.
        group: a file that says which rows belong together, so that no group is in both parts of a split.
        window: rows are so many steps of a series, which --data names; None: rows are rows, or as the model remembers.
        horizon: so many steps after a window are its targets; None: 1. target_column: of the series that are predicted;
            None: all.
        target: "input" when rows are their own targets (autoencoders); None: labels are.
    """

    data: tuple[str, ...] = ()
    labels: str | tuple[str, ...] | None = None
    image_size: tuple[int, int] | None = None
    color: str | None = None
    resize: str | None = None
    class_names: tuple[str, ...] | None = None
    limit: int | None = None
    allow_empty: bool = False
    skip_bad: bool = False
    multi_label: bool = False
    group: str | None = None
    window: int | None = None
    horizon: int | None = None
    target_column: tuple[int, ...] | None = None
    target: str | None = None
