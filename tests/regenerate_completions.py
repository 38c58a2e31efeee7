"""Writes ``completions/`` from the real commands: ``python tests/regenerate_completions.py``.

``tests/cli/test_completion.py`` compares, and says to run this when a command or an option was added.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = {"bash": "dltool.bash", "zsh": "_dltool", "fish": "dltool.fish"}
"""Shell -> the name under which it finds the script."""


def text(shell: str) -> str:
    """The script of a shell, as ``dltool completion SHELL`` prints it."""
    from dltool.cli.described import describe
    from dltool.cli.main import group
    from dltool.cli.shells import SCRIPTS

    return SCRIPTS[shell](describe(group))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    (ROOT / "completions").mkdir(exist_ok=True)
    for shell, name in FILES.items():
        (ROOT / "completions" / name).write_text(text(shell), encoding="utf-8")
