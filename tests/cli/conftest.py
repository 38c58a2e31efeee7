"""Running dltool as a user does."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_dltool(repository):
    """``run_dltool(*words, cwd=None, input=None, NAME="value")`` in a process of its own.

    Gives returncode, stdout and stderr as text.
    """
    environment = {**os.environ, "PYTHONPATH": str(repository)}

    def run(*words, cwd=None, input=None, **environ):
        env = {**environment, **environ}
        command = [sys.executable, "-W", "error", "-m", "dltool", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, input=input, env=env, timeout=120)

    run.environ = environment
    return run
