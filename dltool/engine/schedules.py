"""Learning-rate schedules: the rate of every optimizer step. Imports the registry only.

A schedule is called with the step, counted from 1 over the whole training, and answers the learning rate. It keeps no
state, so a run that is resumed at some step goes on with the same rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dltool.registry import Registry


class Schedule(Protocol):
    """The rate of each step."""

    def __call__(self, step: int) -> float:
        """The learning rate of ``step``, counted from 1."""
        ...


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")


@SCHEDULES.register("constant")
@dataclass(frozen=True)
class Constant:
    """The same rate at every step."""

    learning_rate: float

    def __call__(self, step: int) -> float:
        return self.learning_rate
