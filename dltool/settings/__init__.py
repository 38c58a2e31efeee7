"""What each command was asked to do: one frozen dataclass per command, in the user's words.

The command line fills them, workflows read them, and a library user may build them by hand. ``None`` means "not said":
the workflow then takes the model file's own value or the default that its docstring names. Imports the standard
library only.
"""

from dltool.settings.rows import DataSettings, PluginFile
from dltool.settings.training import (
    BuildSettings,
    FinetuneSettings,
    FitSettings,
    LrFindSettings,
    PseudoLabelSettings,
    TuneSettings,
)
from dltool.settings.use import ConvertSettings, EvaluateSettings, PredictSettings, SummarySettings

__all__ = [
    "BuildSettings",
    "ConvertSettings",
    "DataSettings",
    "EvaluateSettings",
    "FinetuneSettings",
    "FitSettings",
    "LrFindSettings",
    "PluginFile",
    "PredictSettings",
    "PseudoLabelSettings",
    "SummarySettings",
    "TuneSettings",
]
