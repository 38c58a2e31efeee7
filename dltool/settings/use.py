"""What the commands that use models were asked to do."""

from dataclasses import dataclass, field

from dltool.settings.rows import DataSettings, PluginFile


@dataclass(frozen=True)
class EvaluateSettings:
    """Measure a model on labelled data; the model file's own image options hold unless ``data`` says otherwise.

    Attributes:
        other: a second model to compare with on the same rows.
        beta: recall counts so many times as much as precision in the F score that is given besides F1.
        top: k of the top-k accuracy; None: 5 above ten classes, 2 from three, none below.
        top_losses: so many rows with the largest loss are listed.
        tta: average over several views of each image, as training made them.
        beam: strings are decoded along so many beginnings; None: by the likeliest symbol of each step.
        fail_under: (metric, limit) pairs; ``ShortError``'s exit code when one is missed.
        exact: no algorithm that rounds several times as much as direct sums.
        plugins: see FitSettings.
    """

    model: str
    data: DataSettings
    batch_size: int = 64
    jobs: int | None = None
    backend: str = "auto"
    other: str | None = None
    beta: float = 1.0
    top: int | None = None
    top_losses: int = 0
    fail_under: tuple[tuple[str, float], ...] = ()
    exact: bool = False
    tta: bool = False
    beam: int | None = None
    plugins: tuple[PluginFile, ...] = ()


@dataclass(frozen=True)
class PredictSettings:
    """Predict for files, folders and arrays.

    Attributes:
        inputs: paths in the order of the output rows; a folder stands for the images in it.
        probs: give the probability of every class.
        top: number of best labels per row.
        data: image options (``data.data`` stays empty; ``inputs`` says what to read).
        min_prob: below this probability the label is "?".
        layer: give this layer's output instead of the model's.
        exact: no algorithm that rounds several times as much as direct sums.
        tta: see EvaluateSettings.
        sort_into: a folder that gets links to the inputs, one folder per label.
        beam: see EvaluateSettings.
        pictures: a folder for the images that the model gives, as PNG; force: it may hold files already.
    """

    model: str
    inputs: tuple[str, ...]
    batch_size: int = 64
    jobs: int | None = None
    backend: str = "auto"
    probs: bool = False
    top: int = 1
    data: DataSettings = field(default_factory=DataSettings)
    min_prob: float = 0.0
    layer: str | None = None
    exact: bool = False
    sort_into: str | None = None
    tta: bool = False
    beam: int | None = None
    pictures: str | None = None
    force: bool = False


@dataclass(frozen=True)
class SummarySettings:
    """Show what a model file holds.

    Attributes:
        timing: measure each layer at inference, with ``batch_size`` rows.
        weights: None; "" for statistics of all weights; a layer's or weight's name for that.
        diff: another model file to compare with.
        activations: look at the units of each layer on the rows of ``data``.
    """

    model: str
    timing: bool = False
    batch_size: int = 64
    weights: str | None = None
    diff: str | None = None
    activations: bool = False
    data: DataSettings = field(default_factory=DataSettings)


@dataclass(frozen=True)
class ConvertSettings:
    """A model in another format.

    Attributes:
        source: a model file, or one of weights only; then one of ``from_config`` and ``arch`` says the network.
        target: the file to write; its name's ending says the format.
        from_config: Keras JSON, or a model file, with the network of the weights.
        arch: a ready architecture with the network of the weights, for samples of the shape ``input`` and ``classes``
            outputs. rescale: see BuildSettings.
        class_names: names of the classes in the order of the outputs.
        labels_from: a model file whose class names and preprocessing are taken over.
    """

    source: str
    target: str
    from_config: str | None = None
    arch: str | None = None
    input: tuple[int | None, ...] | None = None
    classes: int | None = None
    rescale: bool = True
    class_names: tuple[str, ...] | None = None
    labels_from: str | None = None
    force: bool = False
