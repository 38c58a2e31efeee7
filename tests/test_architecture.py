"""Imports point downward only, outside packages stay in their room, and the house has no unexpected rooms.

    cli -> workflows -> training | data | modelfile | architectures -> engine -> errors, registry, settings, wording

``plugin`` is what users' own definitions import: it gathers names of the engine, the data and the training, and nothing
in the package imports it. ``api`` stands beside ``cli`` over the workflows; the package itself gives its names, each
at its first use.

The checks read the source with ``ast``, so imports inside functions and under ``TYPE_CHECKING`` count as well.
"""

import ast
import fnmatch
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

BASICS = {"errors", "registry", "settings", "names", "wording", "version"}
SIBLINGS = {"training", "data", "modelfile", "architectures"}
MAY_IMPORT = {
    **{room: BASICS for room in BASICS},
    "engine": BASICS,
    **{room: BASICS | {"engine"} for room in SIBLINGS},
    "workflows": BASICS | {"engine"} | SIBLINGS,
    "plugin": {"engine", "data", "training"},
    "api": BASICS | {"engine"} | SIBLINGS | {"workflows"},
    "cli": BASICS | {"engine"} | SIBLINGS | {"workflows"},
    "__init__": {"version", "api"},
    "__main__": {"cli"},
}
"""Room -> the other rooms of the package that it may import from."""

OUTSIDE = {
    **{room: set() for room in BASICS},
    "engine": {"numpy"},
    "architectures": {"numpy"},
    "training": {"numpy"},
    "data": {"numpy", "PIL"},
    "modelfile": {"numpy", "h5py"},
    "workflows": {"numpy", "matplotlib"},
    "plugin": set(),
    "api": {"numpy"},
    "cli": {"numpy", "click", "tabulate"},
    "__init__": set(),
    "__main__": set(),
}
"""Room -> the packages from outside the standard library that it may import."""

LIGHT_AT_CLI_TOP = BASICS | {"cli"}
"""What a cli module may import outside functions, so that --help stays fast."""

TOP_LEVEL = {"dltool", "tests", "sample_data", "completions", "pyproject.toml", "README.md", "LICENSE"}


@dataclass(frozen=True)
class Import:
    """One imported module: where it stands, its full dotted name, whether a function body holds it."""

    line: int
    module: str
    inside_function: bool
    for_types_only: bool


def imports_of(tree: ast.AST, module: str, is_package: bool) -> Iterator[Import]:
    """All imports of a parsed module; relative ones are made absolute, ``from a import b`` gives ``a.b``."""

    def walk(node: ast.AST, inside: bool, types: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            names = imported_names(child, module, is_package)
            yield from (Import(child.lineno, name, inside, types) for name in names)
            deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            guarded = types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            yield from walk(child, deeper, guarded)

    return walk(tree, False, False)


def imported_names(node: ast.AST, module: str, is_package: bool) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parents = module.split(".") if is_package else module.split(".")[:-1]
        parents = parents[: len(parents) - node.level + 1]
        base = ".".join([*parents, *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def room_of(module: str) -> str:
    """The part of the package that a dotted name belongs to: dltool.engine.graph -> engine."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module's text breaks, one line per broken rule.

    Args:
        source: the module's text.
        module: its dotted name, for example ``dltool.engine.graph``.
    """
    room, found = room_of(module), []
    if room not in MAY_IMPORT:
        return [f"{module}: {room!r} is no room of the package; known: {', '.join(MAY_IMPORT)}"]
    tree = ast.parse(source)
    for item in imports_of(tree, module, is_package):
        problem = problem_with(item, room)
        if problem:
            found.append(f"{module}:{item.line}: {problem}")
    if room != "cli":
        found.extend(f"{module}:{line}: only cli prints" for line in print_lines(tree))
    return found


def problem_with(item: Import, room: str) -> str | None:
    top = item.module.split(".")[0]
    if top == "dltool":
        target = room_of(item.module)
        if target not in MAY_IMPORT:  # a name out of dltool/__init__.py
            target = "__init__"
        if target not in MAY_IMPORT[room] | {room, "__init__"}:
            return f"{room} must not import {item.module}"
        if room == "cli" and target not in LIGHT_AT_CLI_TOP | {"__init__"} and not item.inside_function:
            return f"cli imports {item.module} outside a function, which slows --help down"
        return None
    if top in sys.stdlib_module_names:
        return None
    if top not in OUTSIDE[room]:
        return f"{room} must not import {item.module}"
    if room == "cli" and top != "click" and not item.inside_function:
        return f"cli imports {item.module} outside a function, which slows --help down"
    return None


def print_lines(tree: ast.AST) -> list[int]:
    """Lines that call print or touch the standard streams."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            lines.append(node.lineno)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.stdout", "sys.stderr"}:
            lines.append(node.lineno)
    return lines


@pytest.fixture(scope="module")
def modules(repository) -> dict[str, Path]:
    """Dotted name -> file, for every module of the package."""
    return {module_name(path, repository): path for path in sorted((repository / "dltool").rglob("*.py"))}


def test_imports_point_downward_and_only_cli_prints(modules):
    found = []
    for module, path in modules.items():
        found += violations(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    assert not found, "\n" + "\n".join(found)


def test_no_modules_import_each_other_in_a_ring(modules):
    graph = {}
    for module, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        items = imports_of(tree, module, path.name == "__init__.py")
        names = {item.module for item in items if not item.for_types_only}
        targets = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[module] = (targets & modules.keys()) - {module}
    ring = find_ring(graph)
    assert ring is None, " -> ".join(ring or [])


def find_ring(graph: dict[str, set[str]]) -> list[str] | None:
    """The modules of one import ring in order, or None."""
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str] | None:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in finished:
            return None
        for target in sorted(graph[module]):
            ring = visit(target, [*path, module])
            if ring:
                return ring
        finished.add(module)
        return None

    return next((ring for module in sorted(graph) if (ring := visit(module, []))), None)


def test_the_repository_holds_only_the_agreed_top_level_entries(repository):
    patterns = (repository / ".gitignore").read_text(encoding="utf-8").split()
    ignored = [pattern.strip("/") for pattern in patterns]
    names = {path.name for path in repository.iterdir() if not path.name.startswith(".")}
    kept = {name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)}
    assert kept <= TOP_LEVEL


@pytest.mark.parametrize(
    ("module", "line", "message"),
    [
        ("dltool.engine.graph", "import h5py", "engine must not import h5py"),
        ("dltool.engine.graph", "from dltool.training.loop import train", "engine must not import dltool.training"),
        ("dltool.engine.graph", "def f():\n    from dltool import data", "engine must not import dltool.data"),
        ("dltool.engine.layers.base", "from ...cli import main", "engine must not import dltool.cli.main"),
        ("dltool.data.folder", "from dltool.modelfile import reading", "data must not import dltool.modelfile.reading"),
        ("dltool.data.folder", "import PIL.Image\nimport click", "data must not import click"),
        ("dltool.training.loop", "from PIL import Image", "training must not import PIL.Image"),
        ("dltool.workflows.fit", "from dltool.cli.console import table", "workflows must not import dltool.cli"),
        ("dltool.workflows.fit", "import tabulate", "workflows must not import tabulate"),
        ("dltool.errors", "import numpy as np", "errors must not import numpy"),
        ("dltool.registry", "from .engine import graph", "registry must not import dltool.engine.graph"),
        ("dltool.cli.fit", "from dltool.workflows import fit", "slows --help down"),
        ("dltool.cli.fit", "import numpy", "slows --help down"),
        ("dltool.engine.model", "print('hello')", "only cli prints"),
        ("dltool.training.loop", "import sys\nsys.stderr.write('x')", "only cli prints"),
        ("dltool.helpers.text", "", "no room of the package"),
    ],
)
def test_a_planted_violation_is_found(module, line, message):
    found = violations(line, module)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("dltool.engine.graph", "import numpy as np\nfrom dltool.errors import UsageError\nimport json"),
        ("dltool.workflows.fit", "from dltool.modelfile import reading\nfrom dltool.training.loop import train"),
        ("dltool.cli.fit", "import click\ndef command():\n    from dltool.workflows import fit"),
        ("dltool.__main__", "from dltool.cli.main import main"),
        ("dltool.data.folder", "from .dataset import Dataset\nfrom PIL import Image"),
    ],
)
def test_allowed_imports_pass(module, line):
    assert violations(line, module) == []


def test_a_planted_ring_is_found():
    assert find_ring({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_ring({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None
