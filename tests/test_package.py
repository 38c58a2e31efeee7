"""What the installed package promises: its metadata, its entry point, its texts, its weight."""

import importlib
import importlib.metadata
import importlib.resources
import subprocess
import sys
import tomllib

import pytest

import dltool

RUNTIME = {"numpy", "click", "h5py", "pillow", "tabulate"}


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names_of(requirements):
    return {requirement.split(">")[0].split("=")[0].split("[")[0] for requirement in requirements}


def test_runtime_needs_five_packages(project):
    assert names_of(project["dependencies"]) == RUNTIME


def test_extras_are_the_documented_ones(project):
    assert set(project["optional-dependencies"]) == {"plot", "mpi", "test", "interop"}


def test_entry_point_exists(project):
    module, _, function = project["scripts"]["dltool"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_installed_version_is_the_packages():
    try:
        installed = importlib.metadata.version("dltool")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("dltool is not installed, it runs from its sources")
    assert installed == dltool.__version__


def test_version_option_prints_the_version():
    run = subprocess.run([sys.executable, "-m", "dltool", "--version"], capture_output=True, text=True, check=True)
    assert dltool.__version__ in run.stdout
    assert run.stderr == ""


def test_changelog_comes_with_the_package_and_starts_with_this_version():
    text = (importlib.resources.files("dltool") / "help" / "changelog.md").read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if line.startswith("## "))
    assert first == f"## {dltool.__version__}"


def test_importing_the_package_loads_nothing_from_outside():
    code = "import sys; before = set(sys.modules); import dltool; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tops = {name.split(".")[0] for name in run.stdout.split()}
    assert tops - {"dltool"} <= set(sys.stdlib_module_names)


def test_licence_is_apache_2(project, repository):
    assert project["license"] == "Apache-2.0"
    text = (repository / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
