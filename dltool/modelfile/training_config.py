"""Keras's ``training_config`` <-> the engine's losses, metrics and optimizer.

An unknown loss, metric or optimizer never keeps a model from being read: it becomes None (or a name in a list), and
whoever trains asks for another. Only what names code of Python itself is refused, by ``keras3.check_home``.
"""

from __future__ import annotations

from typing import Any

from dltool.engine.losses import LOSSES, Loss, loss
from dltool.engine.metrics import METRICS, metric
from dltool.engine.optimizers import Optimizer, optimizer
from dltool.engine.rate_schedules import InverseTimeDecay
from dltool.errors import UsageError
from dltool.modelfile.graph_json import value_to_json
from dltool.modelfile.saved import TrainingConfig

OLD_LOSSES = {
    "huber_loss": "huber",
    "logcosh": "log_cosh",
    "cosine_proximity": "cosine_similarity",
    "kullback_leibler_divergence": "kl_divergence",
}
GENERIC_METRICS = ("accuracy", "acc", "crossentropy", "ce")
"""Names whose meaning depends on the output; they are resolved when the targets are known."""


def read_training_config(raw: dict[str, Any], output_names: tuple[str, ...], version: str) -> TrainingConfig:
    """The engine's view of a ``training_config`` (after ``keras3.simplify``)."""
    spellings = per_output(raw.get("loss"), output_names, None)
    weights = per_output(raw.get("loss_weights"), output_names, 1.0)
    known, unknown = read_metrics(raw.get("metrics"), raw.get("weighted_metrics"))
    spelled = raw.get("optimizer_config")
    return TrainingConfig(
        losses=tuple(read_loss(entry) for entry in spellings),
        loss_names=tuple(spelled_name(entry) for entry in spellings),
        loss_weights=tuple(float(w) if isinstance(w, int | float) else 1.0 for w in weights),
        metrics=known,
        unknown_metrics=unknown,
        optimizer=read_optimizer(spelled, version),
        optimizer_name=spelled_name(spelled),
    )


def read_compile_config(raw: dict[str, Any], output_names: tuple[str, ...], version: str) -> TrainingConfig | None:
    """The same of a ``compile_config``, as Keras keeps it in archives and JSON; it spells one key otherwise."""
    found = read_training_config({**raw, "optimizer_config": raw.get("optimizer")}, output_names, version)
    return found if any(found.loss_names) else None


def per_output(value: Any, output_names: tuple[str, ...], missing: Any) -> list[Any]:
    """One entry per output, of a single value, a list or a dict by output name."""
    count = len(output_names)
    if isinstance(value, dict) and "class_name" not in value:
        return [value.get(name, missing) for name in output_names]
    if isinstance(value, list):
        return [*value[:count], *[missing] * (count - len(value))]
    return [missing if value is None else value] * count


def spelled_name(value: Any) -> str:
    """How the file calls a loss, metric or optimizer, for messages."""
    if isinstance(value, dict):
        config = value.get("config")
        inner = config.get("fn") if isinstance(config, dict) else config
        value = inner if value.get("class_name") == "function" else value.get("class_name")
    return str(value)[:80] if value else ""


def read_loss(value: Any) -> Loss | None:
    """The loss of a name or object in any generation's spelling; None when it is not known."""
    if isinstance(value, str):
        value = OLD_LOSSES.get(value, value)
    elif isinstance(value, dict) and isinstance(value.get("config"), dict):
        config = {key: entry for key, entry in value["config"].items() if key != "fn"}
        if config.get("reduction") in ("auto", "mean"):
            config["reduction"] = "sum_over_batch_size"
        value = {"class_name": value.get("class_name"), "config": config}
    return engine_object(loss, value)


def engine_object(make: Any, value: Any) -> Any:
    """``make(value)``, or None for what the engine does not know; the values come from a file and may be anything."""
    if value is None:
        return None
    try:
        return make(value)
    except (UsageError, TypeError, ValueError, KeyError, AttributeError, OverflowError):
        return None


def read_metrics(*lists: Any) -> tuple[tuple[str | dict[str, Any], ...], tuple[str, ...]]:
    """Known metrics without repetition, and the names of unknown ones."""
    known: list[str | dict[str, Any]] = []
    unknown: list[str] = []
    for value in flat(lists):
        plain = plain_metric(value)
        if isinstance(plain, str) and plain in GENERIC_METRICS:
            plain = {"acc": "accuracy", "ce": "crossentropy"}.get(plain, plain)
            target = known
        elif engine_object(metric, plain) is not None:
            target = known
        else:
            target, plain = unknown, spelled_name(value)
        if plain and plain not in target:
            target.append(plain)
    return tuple(known), tuple(unknown)


def flat(value: Any) -> list[Any]:
    """Metrics come as a list, a list per output, or a dict by output."""
    if isinstance(value, dict) and "class_name" not in value:
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [entry for inner in value for entry in flat(inner)]
    return [] if value is None else [value]


def plain_metric(value: Any) -> Any:
    """``MeanMetricWrapper`` and friends by the function they wrap; objects without type and wrapper noise."""
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return value
    class_name = value.get("class_name")
    config = {key: entry for key, entry in value["config"].items() if key != "dtype"}
    wrapped = config.pop("fn", None)
    if class_name in ("MeanMetricWrapper", "SumOverBatchSizeMetricWrapper"):
        return wrapped if isinstance(wrapped, str) else config.get("name")
    if isinstance(class_name, str) and class_name in METRICS and config.get("name") == METRICS.canonical(class_name):
        del config["name"]
    return {"class_name": class_name, "config": config} if config else class_name


# -- optimizers


def read_optimizer(value: Any, version: str) -> Optimizer | None:
    """The optimizer in any generation's spelling; None when it, or its schedule, is not known.

    Keras 2's keys are translated, ``decay`` is kept, and the old arithmetic is chosen where the file comes from it
    (tf.keras until 2.10 and its "legacy" optimizers later; they alone write ``decay``).
    """
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return engine_object(optimizer, value)
    class_name = str(value.get("class_name")).removeprefix("Custom>")
    if class_name.startswith("LossScaleOptimizer"):  # for float16; dltool computes in float32
        return read_optimizer(value["config"].get("inner_optimizer"), version)
    config = {key: entry for key, entry in value["config"].items() if entry is not None}
    if "lr" in config:
        config["learning_rate"] = config.pop("lr")
    old = major(version) < 3 and ("decay" in config or "schedule_decay" in config or config.get("is_legacy_optimizer"))
    if (
        class_name == "Nadam"
        and old
        and config.get("decay", config.get("schedule_decay")) in (0.004, 0.0040000001899898052)
    ):
        config.pop("decay", None), config.pop("schedule_decay", None)
    if class_name == "Adagrad" and old and "initial_accumulator_value" not in config:
        config["initial_accumulator_value"] = 0.0
    config = without_schedule(config)
    if class_name in ("RMSprop", "Nadam") and old:
        config["legacy"] = True
    return engine_object(optimizer, {"class_name": class_name, "config": config})


def without_schedule(config: dict[str, Any]) -> dict[str, Any]:
    """``InverseTimeDecay`` is the old ``decay``; other schedules stay as they are."""
    rate = config.get("learning_rate")
    if (
        not isinstance(rate, dict)
        or rate.get("class_name") != "InverseTimeDecay"
        or not isinstance(rate.get("config"), dict)
    ):
        return config
    schedule = rate["config"]
    if schedule.get("staircase") or not schedule.get("decay_steps"):
        return config
    decay = schedule.get("decay_rate", 0.0) / schedule["decay_steps"]
    return {**config, "learning_rate": schedule.get("initial_learning_rate"), "decay": decay}


def major(version: str) -> int:
    """2 of "2.15.0"; files without a version are Keras 1."""
    head = version.split(".")[0]
    return int(head) if head.isdigit() else 1


# -- writing


def training_to_json(config: TrainingConfig) -> dict[str, Any]:
    """Everything of a TrainingConfig, for ``/dltool``."""
    return {
        "losses": [None if one is None else object_to_json(one) for one in config.losses],
        "loss_names": list(config.loss_names),
        "loss_weights": list(config.loss_weights),
        "metrics": list(config.metrics),
        "unknown_metrics": list(config.unknown_metrics),
        "optimizer": None if config.optimizer is None else object_to_json(config.optimizer),
        "optimizer_name": config.optimizer_name,
    }


def training_from_json(raw: dict[str, Any]) -> TrainingConfig:
    """The inverse of ``training_to_json``; losses and metrics of a plugin that is not there are unknown ones.

    Raises UsageError for options that they do not have.
    """
    known = [entry for entry in raw["metrics"] if entry in GENERIC_METRICS or spelled_name(entry) in METRICS]
    for entry in known:
        if entry not in GENERIC_METRICS:
            metric(entry)
    unknown = [spelled_name(entry) for entry in raw["metrics"] if entry not in known]
    return TrainingConfig(
        losses=tuple(loss(one) if spelled_name(one) in LOSSES else None for one in raw["losses"]),
        loss_names=tuple(raw["loss_names"]),
        loss_weights=tuple(raw["loss_weights"]),
        metrics=tuple(known),
        unknown_metrics=(*raw["unknown_metrics"], *unknown),
        optimizer=None if raw["optimizer"] is None else optimizer(raw["optimizer"]),
        optimizer_name=raw["optimizer_name"],
    )


def object_to_json(value: Loss | Optimizer) -> dict[str, Any]:
    return {"class_name": value.keras_class, "config": value_to_json(value.config())}


def keras_training_config(config: TrainingConfig | None, output_names: tuple[str, ...]) -> dict[str, Any] | None:
    """A ``training_config`` that Keras 3 and tf_keras both compile, or None when that cannot be said in Keras's words.

    Full loss names only ("mse" fails in Keras 3); ``loss_weights`` and ``optimizer_config`` must be there. tf_keras has
    no CTC and would refuse the whole file, so models of strings are opened without a compile step.
    """
    if config is None or config.optimizer is None or any(one is None or one.per_row for one in config.losses):
        return None
    losses = [keras_loss(one) for one in config.losses]
    several = len(output_names) > 1
    weighted = several and any(weight != 1.0 for weight in config.loss_weights)
    metrics = [keras_metric(one) for one in config.metrics]
    return {
        "loss": losses if several else losses[0],
        "metrics": [metrics] * len(output_names) if several and metrics else metrics or None,
        "weighted_metrics": None,
        "loss_weights": list(config.loss_weights) if weighted else None,
        "optimizer_config": keras_optimizer(config.optimizer),
    }


def keras_loss(value: Loss) -> str | dict[str, Any]:
    changed = {key: entry for key, entry in value.config().items() if entry != getattr(type(value)(), key)}
    if not changed:
        return LOSSES.canonical(value.keras_class)
    return {"class_name": value.keras_class, "config": {"name": value.name, **changed}}


def keras_metric(value: str | dict[str, Any]) -> str | dict[str, Any]:
    """Averages by name; counted metrics as objects, because tf_keras does not know their names ("auc")."""
    if isinstance(value, str) and value in GENERIC_METRICS:
        return value
    name = METRICS.canonical(value if isinstance(value, str) else value["class_name"])
    config = {} if isinstance(value, str) else value.get("config", {})
    if not config and getattr(METRICS.get(name), "by_name", False):
        return name
    return {"class_name": METRICS.get(name).keras_class, "config": {"name": name, **config}}


def keras_optimizer(value: Optimizer) -> dict[str, Any]:
    """Class and the options that differ from None; the old ``decay`` as the schedule that equals it.

    Keras 3 rejects ``decay``; the schedule needs its module for both generations to find it.
    """
    config = {
        key: entry
        for key, entry in value.config().items()
        if entry is not None and key not in ("decay", "legacy", "schedule")
    }
    schedule = value.schedule
    if schedule is not None:
        schedule = schedule.scaled(value.learning_rate / schedule.peak)
    elif value.decay:
        schedule = InverseTimeDecay(value.learning_rate, 1, value.decay)
    if schedule is not None:
        config["learning_rate"] = {
            "module": "keras.optimizers.schedules",
            "class_name": type(schedule).__name__,
            "config": value_to_json(schedule.config()),
            "registered_name": None,
        }
    return {"class_name": value.keras_class, "config": config}
