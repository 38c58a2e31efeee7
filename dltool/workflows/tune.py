"""``dltool tune``: random search with successive halving; the best trial's model is kept.

Trial n draws its values from the seed and n alone, and which trial goes on depends on the results alone: so many trials
give the same search again, and a search that was killed goes on from its journal. A trial is the training that ``fit``
would do with its values for all epochs; at the end of a rung it pauses, and goes on exactly where it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

from dltool.errors import DltoolError, ModelFileError, OutputError, UsageError
from dltool.modelfile.atomic import SUFFIX, check_target, reason_of
from dltool.modelfile.lock import locked
from dltool.modelfile.writing import check_model_target
from dltool.settings import TuneSettings
from dltool.training.callbacks import Monitor
from dltool.training.interrupt import leaving_on_sigterm
from dltool.training.search_space import Parameter, parse_all
from dltool.workflows.fitting.begin import write_seconds
from dltool.workflows.fitting.report import understood
from dltool.workflows.fitting.resuming import OPTIONS
from dltool.workflows.plugin_record import differences, recorded
from dltool.workflows.tuning.journal import Entry, Journal
from dltool.workflows.tuning.parameters import architectures, check_names
from dltool.workflows.tuning.search import Search, TuneEvents
from dltool.workflows.tuning.trials import Bench, chosen_monitor, open_for_trials

SCHEMA = "dltool.tune/1"
OWN_FILE = re.compile(rf"trial-\d+\.h5|\.trial-\d+\.h5\..*{re.escape(SUFFIX)}")
"""What a search writes into its folder: the trials, and what a trial was written to when the process was killed."""


@dataclass(frozen=True)
class TuneResult:
    """Attributes:
    path: the file with the best model. monitor: what trials were compared by. epochs: of a whole trial.
    entries: all results, as they came. best: the best of them.
    stopped: why the search ended. seconds: that it took, with its earlier parts.
    """

    path: str
    monitor: Monitor
    epochs: int
    entries: tuple[Entry, ...]
    best: Entry
    stopped: str
    seconds: float

    @property
    def ranking(self) -> list[Entry]:
        """The best result of every trial, the best trial first."""
        found: dict[int, Entry] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.result.rank):
            found.setdefault(entry.result.trial, entry)
        return list(found.values())

    def as_json(self) -> dict[str, Any]:
        """The documented form of ``--json``."""
        facts = {"schema": SCHEMA, "model": self.path, "monitor": self.monitor.name, "best": self.best.as_json()}
        results = [entry.as_json() for entry in self.entries]
        return {**facts, "results": results, "stopped": self.stopped, "seconds": round(self.seconds, 3)}


def run(settings: TuneSettings, events: TuneEvents | None = None, began: float | None = None) -> TuneResult:
    """Search, and write the best model.

    Args:
        began: what ``time.monotonic`` said when the time of ``settings.time`` began; None: now.

    Raises:
        UsageError, DataError, ModelFileError, OutputError: before the first batch, for everything that can be checked.
        DivergedError: every trial diverged. ShortError: the time was too short for any.
        KeyboardInterrupt, SystemExit: a signal came; the best model so far was written, unless that would replace the
            model that the trials start from.
    """
    start, events = began or time.monotonic(), events or TuneEvents()
    space = checked_space(settings)
    path, in_place = target(settings, space)
    with locked(path), locked(settings.journal) if settings.journal else nullcontext(), leaving_on_sigterm():
        journal = Journal(settings.journal)
        check_model_target(path, overwrite=settings.fit.force or in_place or bool(journal.entries))
        with folder_for(settings.journal) as folder:
            search = prepared(settings, space, journal, Bench(settings.fit, folder, events, start))
            try:
                stopped = search.go()
            except (KeyboardInterrupt, SystemExit):
                events.left(path, kept=not in_place and kept_so_far(search, path))
                raise
            found = search.keep(path)
    entries = tuple(journal.entries)
    return TuneResult(path, search.bench.monitor, settings.fit.epochs, entries, found, stopped, search.elapsed)


def checked_space(settings: TuneSettings) -> tuple[Parameter, ...]:
    """What is tried. Raises UsageError for what can be refused before the data are read."""
    space = parse_all(settings.tries)
    check_names(space, settings.fit)
    if settings.time is None and settings.trials is None:
        raise UsageError("--time: missing; say how long to search, as --time 10m, or --trials 30")
    if settings.fit.epochs < 1 or settings.fit.batch_size < 1 or (settings.trials or 1) < 1:
        raise UsageError("--epochs, --batch-size, --trials: must be at least 1; leave them out for the defaults")
    return space


def target(settings: TuneSettings, space: tuple[Parameter, ...]) -> tuple[str, bool]:
    """The file that gets the best model, and whether the trials start from it. Raises ModelFileError, OutputError."""
    fit = settings.fit
    is_new = bool(architectures(space, fit))
    if not is_new and not os.path.lexists(fit.model):
        raise ModelFileError(f"{fit.model}: does not exist; build it first, or give --arch cnn to build it now")
    path = fit.output or fit.model
    check_model_target(path)
    if settings.journal is not None:
        check_target(settings.journal)
    return path, not is_new and path == fit.model


def prepared(settings: TuneSettings, space: tuple[Parameter, ...], journal: Journal, bench: Bench) -> Search:
    """The search, with the data open and everything checked; goes on where the journal ends."""
    wanted, opened, task = open_for_trials(settings.fit, space)
    bench = replace(bench, settings=wanted, opened=opened, monitor=chosen_monitor(wanted, space, task))
    header = {
        "try": list(settings.tries),
        "options": {name: getattr(settings.fit, name) for name in OPTIONS if name not in ("time", "restarts")},
        "plugins": recorded(wanted.plugins),
        "data": task.saved.fingerprint,
        "model": "" if wanted.arch or architectures(space, wanted) else file_digest(settings.fit.model),
    }
    journal.begin(header, settings.fit.force)
    if not journal.entries:
        clear(bench.folder)
    search = Search(bench, space, journal, bench.events, settings.trials, settings.time, write_seconds(task))
    bench.events.understood(understood(replace(wanted, val=settings.fit.val), task)[:2])
    for text in differences(task.saved.recipe, wanted.plugins):
        bench.events.warning(text)
    if journal.entries:
        bench.events.note(f"journal {journal.path}: goes on after {len(journal.entries)} results")
    return search


def file_digest(path: str) -> str:
    """SHA-256 of a file that was read before."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kept_so_far(search: Search, path: str) -> bool:
    """Write the best model of a search that is being left; whether there was one."""
    try:
        search.keep(path)
    except DltoolError:
        return False
    return True


@contextmanager
def folder_for(journal: str | None) -> Iterator[str]:
    """A folder for the trials' files, gone after a search that ended.

    With a journal it lies beside it, and stays when the search is interrupted or somebody keeps other files there.

    Raises:
        OutputError: it cannot be made.
    """
    if journal is None:
        with tempfile.TemporaryDirectory(prefix="dltool-tune-") as folder:
            yield folder
        return
    folder = f"{journal}.trials"
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {reason_of(error)}; give another --journal") from None
    try:
        yield folder
        clear(folder)
    finally:
        with suppress(OSError):
            os.rmdir(folder)  # while nothing is in it


def clear(folder: str) -> None:
    """Remove the trials' files from their folder, also half written ones, and nothing else."""
    for name in os.listdir(folder):
        if OWN_FILE.fullmatch(name):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))
