"""``dltool`` in processes of its own, without paying for a new interpreter each time.

A server process imports dltool once and forks for every run; the fork gets its own session, an empty stdin, files for
stdout and stderr, and is killed with everything it started when its time is over. Peak memory is measured (the largest
of the run's processes), and a run that goes astray cannot take the machine with it.

    server = ForkServer(); server.run("summary", "m.h5", seconds=5).code; server.close()
"""

import contextlib
import io
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PRIVATE_BYTES = 2 << 30
"""No run may ask for more memory of its own than this; file mappings do not count."""


@dataclass(frozen=True)
class Run:
    """How a run of the command line ended.

    Attributes:
        code: negative after a signal, None when the time was over.
        seconds: of processor time, the run's and its children's; a busy machine does not change it.
        peak_mb: resident memory of the largest process.
    """

    args: tuple[str, ...]
    code: int | None
    out: bytes
    err: str
    seconds: float
    peak_mb: float = 0


class ForkServer:
    """The client's side; see the module.

    Args:
        preloaded: modules that all runs find imported. With h5py a model is read in 5 ms instead of 35.
    """

    def __init__(self, *preloaded: str) -> None:
        search = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        quick = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.security.fork_server", *preloaded],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": search, **quick},
        )  # fmt: skip

    def _ask(self, **request: object) -> dict:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return {**answer, "out": bytes.fromhex(answer["out"])}

    def run(self, *args: object, seconds: float = 60, cwd: str | Path | None = None) -> Run:
        """``dltool ARGS...``, for at most ``seconds`` by the clock."""
        words = tuple(map(str, args))
        return Run(words, **self._ask(commands=None, words=words, seconds=seconds, cwd=str(cwd) if cwd else None))

    def run_all(self, commands: Iterable[tuple], seconds: float, cwd: str | Path | None = None) -> list[Run]:
        """Many commands one after the other in a single fork; for those that are not expected to crash or hang."""
        words = [tuple(map(str, command)) for command in commands]
        done = self._ask(commands=words, words=None, seconds=seconds, cwd=str(cwd) if cwd else None)
        assert done["code"] == 0, f"{done['code']} after {done['seconds']:.0f} s: {done['err'][-2000:]}"
        found = map(json.loads, done["out"].decode().splitlines())
        return [
            Run(args, code, out.encode("utf-8", "surrogatepass"), err, s)
            for args, (code, out, err, s) in zip(words, found, strict=True)
        ]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


# -- the server's side


def serve() -> None:
    """Answer requests until stdin ends."""
    for name in ("build", "fit", "evaluate", "predict", "summary"):
        import_module(f"dltool.cli.{name}"), import_module(f"dltool.workflows.{name}")
    for name in ("dltool.cli.main", "dltool.cli.rows", "tabulate", *sys.argv[1:]):
        import_module(name)
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)


def forked(request: dict) -> dict:
    """One request in a fork, waited for."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            live(request, out.fileno(), err.fileno())
        code, usage = wait(pid, request["seconds"])
        out.seek(0), err.seek(0)
        return {
            "code": code,
            "out": out.read().hex(),
            "err": err.read().decode("utf-8", "backslashreplace"),
            "seconds": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss / 1024,
        }


def live(request: dict, out: int, err: int) -> None:
    """The fork's whole life."""
    code = 99
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (PRIVATE_BYTES, PRIVATE_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115, they live as long as the process
        sys.stderr = open(2, "w", errors="backslashreplace")  # noqa: SIM115
        if request["cwd"]:
            os.chdir(request["cwd"])
        code = dltool(request["words"]) if request["words"] is not None else all_of(request["commands"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def dltool(words: list[str]) -> int:
    from dltool.cli.main import main

    return main(words)


def all_of(commands: list[list[str]]) -> int:
    """Run the commands; one line of JSON for each on stdout."""
    for words in commands:
        out, err = io.StringIO(), io.StringIO()
        start = processor_time()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = dltool(words)
        print(json.dumps((code, out.getvalue(), err.getvalue(), processor_time() - start)), flush=True)
    return 0


def processor_time() -> float:
    """Of this process and its finished children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def wait(pid: int, seconds: float) -> tuple[int | None, resource.struct_rusage]:
    """The exit code (None: killed when the time was over), and what the run took with all that it started."""
    descriptor = os.pidfd_open(pid)
    finished = bool(select.select([descriptor], [], [], seconds)[0])
    os.close(descriptor)
    if not finished:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return (os.waitstatus_to_exitcode(status) if finished else None), usage


if __name__ == "__main__":
    serve()
