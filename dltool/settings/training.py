"""What the commands that make and train models were asked to do."""

from dataclasses import dataclass, field

from dltool.settings.rows import DataSettings, PluginFile


@dataclass(frozen=True)
class BuildSettings:
    """An untrained model: layer words, a ready architecture, or the network of another file.

    Attributes:
        model: the file to write; None writes nothing (--dry-run).
        input: shape of one sample, (28, 28, 1); None when the data or the words say it.
        classes: number of classes (or of outputs, for regression).
        words: layer words, ``("conv2d:32,3,same,relu", "flatten", ...)``.
        arch: ``"cnn"`` or ``"vgg-small:width=32"``.
        data: data to take the shape, the classes and the head from.
        metrics: names for the compile step; empty means what the head suggests.
        rescale: False leaves out the Rescaling layer of image models.
        from_config: a file with Keras's JSON of the network, "-" for standard input.
        like: a model file whose network, classes and compile step are taken, with fresh weights.
    """

    model: str | None
    input: tuple[int | None, ...] | None = None
    classes: int | None = None
    words: tuple[str, ...] = ()
    arch: str | None = None
    data: DataSettings | None = None
    loss: str | tuple[str, ...] | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    metrics: tuple[str, ...] = ()
    seed: int = 0
    force: bool = False
    rescale: bool = True
    from_config: str | None = None
    like: str | None = None


@dataclass(frozen=True)
class FitSettings:
    """A training run.

    Attributes:
        model: the model file; with ``arch`` it may be missing and is built first.
        val: validation paths; ``val_labels`` their labels when they are arrays.
        val_split: fraction held out for validation, 0 turns it off; None: 0.2 unless ``val`` or a valid/ folder is
            there or the data have fewer than 50 rows.
        optimizer: ``"adam"`` or ``"sgd:momentum=0.9,nesterov=true"``.
        learning_rate: a number, or "auto" for that of a range test.
        early_stop: stop after this many epochs without an improvement of ``monitor`` by ``min_delta``.
        balance: "oversample" lets the rows of rare classes come as often as those of the largest.
        decision_threshold: from this probability on the second of two classes is said; "auto": the one with the best
            F scores on the validation rows.
        class_weight: ``"balanced"``, ``"sqrt"`` or ``"cat=1,dog=99"``.
        jobs: lanes; None takes one per CPU. backend: "auto", "threads" or "processes".
        output: where to write instead of ``model``.
        keep_state: keep optimizer slots and counters in the file, so that training can go on exactly.
        normalize: put a Normalization layer, adapted to the data, before tabular arrays.
        rescale: see BuildSettings.
        loss: a name, or ``NAME=mse`` for each output. loss_weights: ``NAME=0.5`` for outputs that count differently.
        extra: lists (or other labelled data) whose rows are added to the training part only.
        schedule: ``"cosine:min=1e-6"``; warmup: ``"2"`` (epochs) or ``"500steps"``.
        checkpoint: a file for the weights of each improvement, or with ``{epoch}`` in its name one for every epoch.
        clip_norm, clip_value, weight_decay: of the optimizer, in Keras's sense.
        freeze: ``"3"``, ``"conv*,bn1"`` or ``"none"``; None leaves what the file says.
        init_from: a file whose layers' weights are the start, where names and shapes agree.
        exact: leave out algorithms that round several times as much as direct sums (Winograd's F(4, 3)).
        label_smoothing: part of each label that is spread over all classes.
        ema: keep a running average of the weights with this decay. time: seconds for the whole command.
        restarts: so many random starts are tried shortly, and the best is trained.
        augment: ``"medium"`` or ``"hflip,rotate=15"``; augment_preview: a .png to draw examples into, instead of
            training.
        log: a .csv or .jsonl file; log_every: "epoch" or "batch". plot: a picture of the curves.
        resume: go on with the interrupted run in the file; reset_optimizer: start its optimizer anew.
        plugins: the files of --plugin, which are read already; the model file remembers them.
        given: names of the fields that were said; with ``resume`` the others are those of the interrupted run. None:
            all were.
    """

    model: str
    data: DataSettings
    val: tuple[str, ...] = ()
    val_labels: str | tuple[str, ...] | None = None
    val_split: float | None = None
    arch: str | None = None
    epochs: int = 10
    batch_size: int = 64
    optimizer: str | None = None
    learning_rate: float | str | None = None
    loss: str | tuple[str, ...] | None = None
    metrics: tuple[str, ...] = ()
    early_stop: int | None = None
    min_delta: float = 0.0
    monitor: str | None = None
    class_weight: str | None = None
    balance: str | None = None
    decision_threshold: float | str | None = None
    seed: int = 0
    shuffle: bool = True
    jobs: int | None = None
    backend: str = "auto"
    output: str | None = None
    force: bool = False
    keep_state: bool = True
    normalize: bool = True
    rescale: bool = True
    loss_weights: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    schedule: str = "constant"
    warmup: str | None = None
    checkpoint: str | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    weight_decay: float | None = None
    freeze: str | None = None
    init_from: str | None = None
    exact: bool = False
    label_smoothing: float | None = None
    ema: float | None = None
    time: float | None = None
    restarts: int = 1
    augment: str | None = None
    augment_preview: str | None = None
    log: str | None = None
    log_every: str = "epoch"
    plot: str | None = None
    resume: bool = False
    reset_optimizer: bool = False
    plugins: tuple[PluginFile, ...] = ()
    given: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TuneSettings:
    """A search for the best options of a training.

    Attributes:
        fit: what all trials share; ``epochs`` are those of a whole trial, ``model`` or ``output`` gets the best model.
        tries: ``("lr=1e-4..1e-1:log", "optimizer=adam,sgd")``.
        time: seconds for the whole command. trials: how many are begun. One of both is given, or each.
        journal: a file that remembers every trial; nothing is written without.
    """

    fit: FitSettings
    tries: tuple[str, ...]
    time: float | None = None
    trials: int | None = None
    journal: str | None = None


@dataclass(frozen=True)
class LrFindSettings:
    """A learning-rate range test.

    Attributes:
        low, high: the first and the last rate. steps: how many are tried, one per batch.
        pick: which suggestion is the answer: "valley", "steepest" or "min10".
        optimizer, loss: as for a training run; None takes the file's own.
        plot: a picture of the curve to write; nothing else is written. force: replace an existing one.
    """

    model: str
    data: DataSettings
    low: float = 1e-7
    high: float = 10.0
    steps: int = 100
    pick: str = "valley"
    batch_size: int = 64
    optimizer: str | None = None
    loss: str | tuple[str, ...] | None = None
    seed: int = 0
    jobs: int | None = None
    backend: str = "auto"
    plot: str | None = None
    force: bool = False


@dataclass(frozen=True)
class PseudoLabelSettings:
    """Label unlabelled rows that the model is sure of.

    Attributes:
        unlabelled: folders, images, arrays or lists of paths.
        data: the labelled training data, for the class balance and, without ``val``, its part that the training held
            out; may be empty.
        val: labelled rows that the model was not trained on; ``val_labels`` their labels when they are arrays.
        threshold: ``"0.9"`` or ``"cat=0.9,dog=0.95"``, the least probability to accept; excludes ``min_precision``.
        min_precision: find each class's threshold on the validation rows, so that so many are right; None: 0.95.
        max_per_class: accept at most so many of each class, the surest.
        calibrate: fit a temperature on the validation rows before anything is judged.
        output: the list to write; None writes nothing. into: a folder for links to the accepted files, one folder per
            class.
        rounds: label and train so many times, as long as the validation does not worsen; needs ``train_to``, the file
            for the model that comes out. epochs: of each training; None: by those of the model's own, fewer for
            more rows. augment: see FitSettings; None: as in the model's own training.
        ask: instead list so many rows for a person to label.
        plugins: see FitSettings.
    """

    model: str
    unlabelled: tuple[str, ...]
    data: DataSettings = field(default_factory=DataSettings)
    val: tuple[str, ...] = ()
    val_labels: str | tuple[str, ...] | None = None
    threshold: str | None = None
    min_precision: float | None = None
    max_per_class: int | None = None
    calibrate: bool = True
    output: str | None = None
    into: str | None = None
    rounds: int = 1
    train_to: str | None = None
    epochs: int | None = None
    augment: str | None = None
    ask: int | None = None
    force: bool = False
    batch_size: int = 64
    jobs: int | None = None
    backend: str = "auto"
    plugins: tuple[PluginFile, ...] = ()


@dataclass(frozen=True)
class FinetuneSettings:
    """A trained model with a new head, for other classes.

    Attributes:
        model: the base, any model that can be read.
        pop: drop so many layers from the end, 0 none; at: drop all after this layer; neither: drop the usual head.
        head: layer words; empty: one Dense with a unit per class (softmax), or per number.
        epochs: of the new head alone; epochs_unfrozen: of head and base together, 0 keeps the base as it is. None: 10
            and 5, and with few rows so many that there are enough steps.
        unfreeze: which layers of the base train then: "all", the last N that have weights ("3"), or name patterns
            ("block5_*,block4_conv3"). gradual: block after block from the head down, sharing the passes.
        learning_rates: one for everything, or several by depth, the last for the head; empty: the optimizer's own for
            the head, and a hundredth, a tenth and the whole of it for the thirds of the network.
        precompute: compute the frozen base's features once; None: where there is room and nothing augments.
        features: a .npy file for them, or a .npz with their labels.
        bn: "update" lets batch normalisation of unfrozen layers train and follow the new data; "freeze" does not.
        preprocess: what a Keras application expects of its pixels: "caffe", "tf", "torch" or "none"; None: 0..1 where
            the file does not prepare them itself. augment: see FitSettings.
        output: the file to write; None replaces ``model``, with ``force`` only.
        val, val_labels, val_split, optimizer, loss, metrics, rescale, plugins: see FitSettings.
    """

    model: str
    data: DataSettings
    val: tuple[str, ...] = ()
    val_labels: str | tuple[str, ...] | None = None
    val_split: float | None = None
    pop: int | None = None
    at: str | None = None
    head: tuple[str, ...] = ()
    epochs: int | None = None
    epochs_unfrozen: int | None = None
    unfreeze: str = "all"
    learning_rates: tuple[float, ...] = ()
    gradual: bool = False
    precompute: bool | None = None
    features: str | None = None
    bn: str = "freeze"
    preprocess: str | None = None
    augment: str | None = None
    batch_size: int = 64
    optimizer: str | None = None
    loss: str | tuple[str, ...] | None = None
    metrics: tuple[str, ...] = ()
    seed: int = 0
    jobs: int | None = None
    backend: str = "auto"
    output: str | None = None
    force: bool = False
    rescale: bool = True
    plugins: tuple[PluginFile, ...] = ()
