"""What a model file remembers of the plugins that it was trained with, and the callbacks that they registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dltool.settings import PluginFile
from dltool.training.callbacks import CALLBACKS, Callback

KEY = "plugins"
"""Where a model's recipe keeps the plugins of its training."""
MARK = " sha256:"
OWN = "own:"
"""Before the name of a user's callback, among those whose memory is in the file."""


def own_callbacks() -> dict[str, Callback]:
    """One of each registered callback, by name."""
    return {name: CALLBACKS.get(name)() for name in CALLBACKS}


def recall_own(memory: dict[str, Any], own: Mapping[str, Callback]) -> None:
    """Give the user's callbacks of an interrupted run their memory back; one that is new has none."""
    for name, callback in own.items():
        if OWN + name in memory:
            callback.restore(memory[OWN + name])


def recorded(plugins: Sequence[PluginFile]) -> list[str]:
    """What a model's recipe says of plugins, ``"my.py sha256:2c26..."``; no paths."""
    return [f"{plugin.name}{MARK}{plugin.digest}" for plugin in plugins]


def differences(recipe: dict[str, Any], plugins: Sequence[PluginFile]) -> list[str]:
    """Sentences about the plugins that a model was trained with and that are not those given now."""
    given = {plugin.name: plugin.digest for plugin in plugins}
    found = []
    for name, _, digest in (text.rpartition(MARK) for text in recipe.get(KEY) or ()):
        if name not in given:
            found.append(f"the model was trained with the plugin {name}, which is not given; see --plugin")
        elif given[name] != digest:
            found.append(f"the plugin {name} is not the one that the model was trained with; it was changed since")
    return found
