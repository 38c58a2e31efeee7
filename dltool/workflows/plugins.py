"""``--plugin FILE.py``: a user's own losses, metrics, layers, schedules, augmentations and callbacks.

A plugin is Python code that runs when, and only when, it was named on the command line; nothing in a model file can
name one. It registers what it defines in the registries of the package, under names that are free. Help, typos and
layer words look into ``dltool.names``, which follows the registries here. After the command all of it is forgotten.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, is_dataclass
from types import ModuleType, TracebackType
from typing import Any

from dltool import names
from dltool.architectures import vocabulary
from dltool.data.augment import AUGMENTATIONS, PRESETS
from dltool.data.augment.base import Colour, Erasing, Geometric, Mixing
from dltool.engine.layers import LAYERS, Layer
from dltool.engine.losses import LOSSES, Loss
from dltool.engine.metrics import METRICS, Metric
from dltool.engine.process_lanes import LaneDied
from dltool.engine.schedules import SCHEDULES, Schedule
from dltool.errors import DltoolError, UsageError
from dltool.registry import Registry, options_of, required_of, schedule_options
from dltool.settings import PluginFile
from dltool.training.callbacks import CALLBACKS, Callback

MOST_BYTES = 10_000_000
"""Of a plugin; larger files are something else."""


@dataclass(frozen=True)
class Kind:
    """One registry that plugins may add to.

    Attributes:
        bases: what is registered is a subclass of one of these.
        table, aliases: the tables of ``dltool.names`` that follow it.
        options: what the table says of an entry.
        check: what else must be so; gives what to do, or "".
    """

    registry: Registry[Any]
    bases: tuple[type, ...]
    table: dict[str, Any]
    aliases: dict[str, str]
    options: Callable[[Any], dict[str, str]]
    check: Callable[[str, Any], str]


def kinds() -> tuple[Kind, ...]:
    """All registries that plugins may add to."""
    pictures = (Geometric, Colour, Erasing, Mixing)
    return (
        Kind(LAYERS, (Layer,), names.LAYERS, names.LAYER_ALIASES, options_of, _layer_problem),
        Kind(LOSSES, (Loss,), names.LOSSES, names.LOSS_ALIASES, options_of, _loss_problem),
        Kind(METRICS, (Metric,), names.METRICS, names.METRIC_ALIASES, options_of, _metric_problem),
        Kind(SCHEDULES, (Schedule,), names.SCHEDULES, names.SCHEDULE_ALIASES, schedule_options, _schedule_problem),
        Kind(AUGMENTATIONS, pictures, names.AUGMENTATIONS, {}, options_of, _augmentation_problem),
        Kind(CALLBACKS, (Callback,), {}, {}, lambda cls: {}, _callback_problem),
    )


@contextmanager
def plugged(paths: Sequence[str]) -> Iterator[tuple[PluginFile, ...]]:
    """Read plugins; what they register can be used until the context ends.

    Raises:
        UsageError: a file cannot be read, stops with an error (the message names its line), takes a name that is
            taken, or defines something that cannot work.
    """
    with ExitStack() as stack:
        found: list[PluginFile] = []
        for path in paths:
            if any(os.path.realpath(path) == os.path.realpath(other.path) for other in found):
                raise UsageError(f"--plugin: {path} is given twice; give it once")
            found.append(stack.enter_context(_plugged(path)))
        yield tuple(found)


@contextmanager
def _plugged(path: str) -> Iterator[PluginFile]:
    source = _source(path)
    digest = hashlib.sha256(source).hexdigest()
    module = ModuleType(f"dltool_plugin_{digest[:16]}")
    module.__file__ = path
    before = {kind.registry.kind: set(kind.registry) for kind in kinds()}
    taken = {**vocabulary.kinds()}
    with ExitStack() as undo:
        for kind in kinds():
            undo.enter_context(kind.registry.restored_on_failure())
        sys.modules[module.__name__] = module  # dataclasses look their module up there
        undo.callback(sys.modules.pop, module.__name__, None)
        _execute(source, path, module)
        added = [(kind, name) for kind in kinds() for name in kind.registry if name not in before[kind.registry.kind]]
        for kind, name in added:
            _check(path, kind, name, taken)
        undo.callback(_forget, added)
        _tell_names(added)
        yield PluginFile(path, digest)


def _source(path: str) -> bytes:
    try:
        if not os.path.isfile(path):
            what = "is no file" if os.path.lexists(path) else "no such file"
            raise UsageError(f"--plugin: {path}: {what}; give a Python file, as my.py")
        with open(path, "rb") as file:
            source = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--plugin: {path}: cannot be read ({reason}); give a Python file, as my.py") from None
    if len(source) > MOST_BYTES:
        raise UsageError(f"--plugin: {path}: is larger than {MOST_BYTES // 10**6} MB; give a Python file, as my.py")
    return source


def _execute(source: bytes, path: str, module: ModuleType) -> None:
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UsageError(f"--plugin: {path}{line}: {text}; mend the plugin, or leave it out") from error
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        raise _told(error, path, "--plugin: ") from error


def _told(error: BaseException, path: str, before: str = "") -> UsageError:
    """The error of a plugin in one line, with the plugin's own line."""
    line = _last_line(error.__traceback__, path)
    where = f"{path}:{line}" if line else path
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return UsageError(f"{before}{where}: {f'{kind}: {text}' if text else kind}; mend the plugin, or leave it out")


def _last_line(traceback: TracebackType | None, path: str) -> int | None:
    """The line of a file that a traceback comes by last; None when it does not."""
    found = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            found = traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def _check(path: str, kind: Kind, name: str, taken: dict[str, str]) -> None:
    """Raise UsageError for what could not work later."""
    registry, cls = kind.registry, kind.registry.get(name)
    problem = ""
    if not isinstance(cls, type) or not issubclass(cls, kind.bases):
        problem = f"is none of {', '.join(base.__name__ for base in kind.bases)}; derive it from one"
    elif registry is not CALLBACKS and "__dataclass_fields__" not in vars(cls):
        problem = "is no dataclass; write @dataclass(frozen=True) above the class"
    elif registry not in (CALLBACKS, METRICS) and not cls.__dataclass_params__.frozen:
        problem = "can be changed; write @dataclass(frozen=True) above the class"
    elif registry is LAYERS and {name.lower(), vocabulary.snake(name)} & taken.keys():
        problem = f"is written {name.lower()}, which is a layer's word already; choose another name"
    problem = problem or kind.check(name, cls)
    if problem:
        raise UsageError(f"--plugin: {path}: {registry.kind} {name!r} {problem}")


def _layer_problem(name: str, cls: type[Layer]) -> str:
    return "" if cls.__name__ == name else f"is the class {cls.__name__}; register it under the name of its class"


def _loss_problem(name: str, cls: type[Loss]) -> str:
    if not cls.keras_class or cls.keras_class not in LOSSES or LOSSES.get(cls.keras_class) is not cls:
        return f"has the keras_class {cls.keras_class!r}; register it under that too, as LOSSES.register(name, class)"
    return "needs an option; give every field a default" if required_of(cls) else ""


def _metric_problem(name: str, cls: type[Metric]) -> str:
    if cls.registered != name:
        return f"has registered = {cls.registered!r}; set it to {name!r}"
    if not cls.keras_class or cls.keras_class not in METRICS or METRICS.get(cls.keras_class) is not cls:
        return f"has the keras_class {cls.keras_class!r}; register it under that too, as METRICS.register(name, class)"
    return "needs an option; give every field a default" if required_of(cls) else ""


def _schedule_problem(name: str, cls: type[Schedule]) -> str:
    needed = [option for option in required_of(cls) if option != "learning_rate"]
    return f"needs {needed[0]}; give the field a default" if needed else ""


def _augmentation_problem(name: str, cls: type) -> str:
    if name in PRESETS:
        return "is the name of a preset; choose another"
    return "needs an amount; give every field a default" if required_of(cls) else ""


def _callback_problem(name: str, cls: type[Callback]) -> str:
    return "is no class of its own; write a class" if is_dataclass(cls) and required_of(cls) else ""


def _tell_names(added: Sequence[tuple[Kind, str]]) -> None:
    """Let help, typos and layer words know what was registered."""
    for kind, name in added:
        cls = kind.registry.get(name)
        kind.table[name] = kind.options(cls)
        kind.aliases.update({alias: full for alias, full in kind.registry.aliases().items() if full == name})
        if kind.registry is LAYERS and required_of(cls):
            names.LAYER_REQUIRED[name] = required_of(cls)
        if kind.registry is METRICS and cls.short:
            names.METRIC_SHORT[name] = cls.short
    vocabulary.kinds.cache_clear()


def _forget(added: Sequence[tuple[Kind, str]]) -> None:
    for kind, name in added:
        for alias in [alias for alias, full in kind.aliases.items() if full == name]:
            del kind.aliases[alias]
        for table in (kind.table, names.LAYER_REQUIRED, names.METRIC_SHORT):
            table.pop(name, None)
        kind.registry.forget(name)
    vocabulary.kinds.cache_clear()


@contextmanager
def naming_plugins(plugins: Sequence[PluginFile]) -> Iterator[None]:
    """An error that comes out of a plugin's code becomes a UsageError in one line with the plugin's own line.

    An error of dltool's that the plugin raises itself stays as it is: its words are meant for the user.
    """
    try:
        yield
    except Exception as error:
        found = next((told for plugin in plugins if (told := _named(error, plugin.path)) is not None), None)
        if found is None:
            raise
        raise found from error


def _named(error: Exception, path: str) -> UsageError | None:
    """What to say of an error instead, if it came out of the plugin; it may have been made another on its way."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, LaneDied):
            told = _told_of_lane(one, path)
            if told is not None:
                return told
        elif _last_line(one.__traceback__, path) is not None:
            return None if isinstance(one, DltoolError) else _told(one, path)
        one = one.__cause__ or one.__context__
    return None


def _told_of_lane(error: LaneDied, path: str) -> UsageError | None:
    """The same for a lane that was another process: its traceback came as text."""
    for text in getattr(error, "__notes__", ()):
        lines = re.findall(rf'File "{re.escape(path)}", line (\d+)', text)
        if lines:
            words = text.strip().splitlines()[-1]
            return UsageError(f"{path}:{lines[-1]}: {words}; mend the plugin, or leave it out")
    return None
