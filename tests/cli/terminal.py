"""A real shell in a pseudo-terminal, to press TAB in."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SETUP = {
    # dltool is a function that keeps its arguments, so that the test sees what the shell would have passed.
    "bash": "dltool() {{ printf '%s\\0' \"$@\" > '{seen}.part'; mv '{seen}.part' '{seen}'; }}; . '{script}'",
    "zsh": (
        "autoload -U compinit; compinit -D -u; "
        "dltool() {{ printf '%s\\0' \"$@\" > '{seen}.part'; mv '{seen}.part' '{seen}' }}; . '{script}'"
    ),
    "fish": "function dltool; printf '%s\\0' $argv > '{seen}.part'; mv '{seen}.part' '{seen}'; end; source '{script}'",
}
TAKES_ITS_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
SECONDS = 20


class Shell:
    """An interactive shell that has read a completion script.

    >>> Shell("bash", "completions/dltool.bash", folder).arguments("dltool fi\\t\\n")
    ['fit']
    """

    def __init__(self, name, script, folder):
        self.folder = folder
        self.seen = folder / "seen"
        self._master, slave = pty.openpty()
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-c", TAKES_ITS_TERMINAL, *SHELLS[name]]
        self._process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=folder)
        os.close(slave)
        self.shown = ""
        self.arguments(SETUP[name].format(seen=self.seen, script=script) + "; dltool ready\n")

    def arguments(self, typed):
        """What dltool gets as arguments after these keys."""
        self.seen.unlink(missing_ok=True)
        os.write(self._master, typed.encode())
        deadline = time.monotonic() + SECONDS
        while not self.seen.exists():
            if time.monotonic() > deadline:
                raise AssertionError(f"{typed!r} ran nothing; the terminal shows {self.shown[-500:]!r}")
            self._read(0.02)
        return self.seen.read_bytes().decode().split("\0")[:-1]

    def _read(self, seconds):
        if select.select([self._master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # the shell has ended
                self.shown += os.read(self._master, 65536).decode(errors="replace")

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._master)


def run_in_terminal(command, environ, cwd, *, columns=80, stdout=None):
    """Run a command with a terminal as stdin and stderr, and as stdout unless one is given.

    Returns (exit code, everything that the terminal got).
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command, stdin=slave, stdout=stdout or slave, stderr=slave, env=environ, cwd=cwd)
    os.close(slave)
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # Linux's way to say that the last writer is gone
            break
        if not data:
            break
        shown += data
    os.close(master)
    return process.wait(timeout=60), shown.decode()
