"""What a search does next, whether that fits into its time, and what it writes down."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dltool.engine.streams import generator
from dltool.errors import DivergedError, ShortError
from dltool.modelfile.writing import write
from dltool.training.callbacks import Events, Monitor
from dltool.training.halving import Result, best, promotions, rungs
from dltool.training.search_space import Parameter, draw
from dltool.training.time_limit import duration_text
from dltool.wording import counted
from dltool.workflows.tuning.journal import Entry, Journal
from dltool.workflows.tuning.trials import Bench, Measured

REDRAWS = 100
"""So often values that were drawn before are drawn again, before all there are count as tried."""


class TuneEvents(Events):
    """Events of a search."""

    def trial_begin(self, trial: int, epochs: int, values: dict[str, Any]) -> None:
        """A trial (counted from 0) goes on until it has had so many epochs."""

    def trial_end(self, entry: Entry, monitor: Monitor, is_best: bool) -> None:
        """It has come there, or diverged; ``monitor`` is what trials are compared by."""

    def left(self, path: str, kept: bool) -> None:
        """A signal ended the search; ``kept`` says whether ``path`` has the best model so far."""


@dataclass(frozen=True)
class Job:
    """A trial that goes on to the end of a rung, and the seconds that are expected to take."""

    trial: int
    rung: int
    seconds: float


@dataclass
class Search:
    """A search under way.

    Attributes:
        trials: how many are begun at most; None: no limit. seconds: for the whole command, or None.
        reserve: seconds for what comes after the last trial.
        before: seconds that earlier parts of this search took.
        ran: trials that this part of it has trained.
    """

    bench: Bench
    space: tuple[Parameter, ...]
    journal: Journal
    events: TuneEvents
    trials: int | None = None
    seconds: float | None = None
    reserve: float = 0.0
    before: float = 0.0
    ran: int = 0
    _drawn: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rungs = rungs(self.bench.settings.epochs)
        self.before = self.journal.entries[-1].elapsed if self.journal.entries else 0.0

    @property
    def elapsed(self) -> float:
        return self.before + time.monotonic() - self.bench.start

    @property
    def results(self) -> list[Result]:
        return [entry.result for entry in self.journal.entries]

    def go(self) -> str:
        """Train one trial after the other; why there is no next one.

        Raises:
            KeyboardInterrupt, SystemExit: a signal came.
        """
        deadline = math.inf if self.seconds is None else self.bench.start - self.before + self.seconds - self.reserve
        while (job := self.next_job()) is not None:
            values, begun = self.values_of(job.trial), time.monotonic()
            self.events.trial_begin(job.trial, self.rungs[job.rung], values)
            found = self.bench.train(job.trial, values, self.rungs[job.rung], deadline)
            if found is None:
                return self._time_is_over
            self._write_down(job, values, found, time.monotonic() - begun)
        return self._reason()

    def _reason(self) -> str:
        begun = len({result.trial for result in self.results})
        if self.trials is not None and begun >= self.trials:
            return f"{counted(begun, 'trial')} {'is' if begun == 1 else 'are'} done"
        if self.values_of(begun) is None:
            return "the only combination was tried" if begun == 1 else f"all {begun} combinations were tried"
        return self._time_is_over

    @property
    def _time_is_over(self) -> str:
        return f"the time of {duration_text(self.seconds)} is over"

    def next_job(self) -> Job | None:
        """A promotion, else a new trial, else what brings the best of each rung further; None when nothing is left.

        A job that would not end in time is none.
        """
        results, last = self.results, len(self.rungs)
        begun = len({result.trial for result in results})
        new = Job(begun, 0, statistics.mean([r.seconds for r in results if r.rung == 0] or [0.0]))
        for job in self._promoted(promotions(results, last, closing=False)):
            return job
        more = (self.trials is None or begun < self.trials) and self.values_of(begun) is not None
        if more and self._fits(new.seconds + self._completing(results)):
            return new
        return next(self._promoted(promotions(results, last, closing=True)), None)

    def _promoted(self, found: Iterator[Result]) -> Iterator[Job]:
        jobs = (Job(result.trial, result.rung + 1, self._cost(result, result.rung + 1)) for result in found)
        return (job for job in jobs if self._fits(job.seconds))

    def _cost(self, result: Result, rung: int) -> float:
        """Seconds from a result to the end of a further rung, at the trial's own speed."""
        epochs = self.rungs[result.rung] - (self.rungs[result.rung - 1] if result.rung else 0)
        there = self.rungs[result.rung] if self.bench.has(result.trial) else 0
        return result.seconds / epochs * (self.rungs[rung] - there)

    def _completing(self, results: list[Result]) -> float:
        """Seconds until the first trial comes to the last rung; 0 when one has."""
        finite = [result for result in results if not math.isnan(result.score)]
        furthest = max((result.rung for result in finite), default=len(self.rungs) - 1)
        if furthest == len(self.rungs) - 1:
            return 0.0
        leader = min((result for result in finite if result.rung == furthest), key=lambda r: r.rank)
        return self._cost(leader, len(self.rungs) - 1)

    def _fits(self, seconds: float) -> bool:
        return self.seconds is None or self.elapsed + seconds + self.reserve <= self.seconds

    def values_of(self, trial: int) -> dict[str, Any] | None:
        """What a trial tries, as the seed and its number decide; None when everything was tried before it."""
        while len(self._drawn) <= trial:
            for again in range(REDRAWS):
                values = draw(self.space, generator(self.bench.settings.seed, "tune", len(self._drawn), again))
                if values not in self._drawn:
                    self._drawn.append(values)
                    break
            else:
                return None
        return self._drawn[trial]

    def _write_down(self, job: Job, values: dict[str, Any], found: Measured, seconds: float) -> None:
        result = Result(job.trial, job.rung, found.score, found.tie, seconds, self.rungs[job.rung])
        entry = Entry(result, values, found.values or {}, self.elapsed)
        self.journal.add(entry)
        self.ran += 1
        self.events.trial_end(entry, self.bench.monitor, best(self.results) is result)
        self._drop_files()

    def _drop_files(self) -> None:
        """Of trials that are in the worse half of where they have come: should one go on after all, it begins anew."""
        latest = {result.trial: result for result in self.results}
        winner = best(self.results)
        for rung in range(len(self.rungs)):
            here = sorted((r for r in latest.values() if r.rung == rung), key=lambda r: r.rank)
            for result in here[(len(here) + 1) // 2 :]:
                if winner is None or result.trial != winner.trial:
                    self.bench.drop(result.trial)

    def keep(self, path: str) -> Entry:
        """Write the best trial's model, unless nothing has changed since an earlier part of the search wrote it.

        Raises:
            DivergedError: all have diverged. ShortError: none came to the end of its first rung.
        """
        winner = best(self.results)
        if winner is None and self.results:
            raise DivergedError("tune: every trial diverged", "try smaller rates, as --try lr=1e-5..1e-3:log")
        if winner is None:
            raise ShortError(f"--time: no trial had its first epoch within {duration_text(self.seconds)}; give more")
        if self.ran or not os.path.exists(path):
            if not self.bench.has(winner.trial):
                self.bench.train(winner.trial, self.values_of(winner.trial), winner.epochs)
            write(self.bench.take(winner.trial), path)
        return next(entry for entry in self.journal.entries if entry.result is winner)
