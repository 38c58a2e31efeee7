"""``-o FILE``: results in a file that appears whole or not at all."""

import contextlib
import os
from collections.abc import Iterator

from dltool.cli.console import Console


def check_output(path: str | None, force: bool) -> None:
    """Find out before the work whether the file can be written. Raises OutputError."""
    if path not in (None, "-"):
        from dltool.modelfile.atomic import check_target

        check_target(path, overwrite=force)


@contextlib.contextmanager
def output_to(console: Console, path: str | None, force: bool) -> Iterator[None]:
    """Within, the console's results go to the file (None or "-": to stdout); it replaces an old one at the end."""
    if path in (None, "-"):
        yield
        return
    from dltool.modelfile.atomic import replacing

    with (
        replacing(path, 0, overwrite=force) as descriptor,
        open(os.dup(descriptor), "w", encoding="utf-8", newline="\n") as stream,
        console.results_to(stream, path),
    ):
        yield
        console.flush()
