from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; .+)? \\$", re.MULTILINE)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """Return the names of the files in a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


def test_the_wheel_ships_the_catalog_and_every_scene(shipped: frozenset[str]) -> None:
    scenes = {
        f"spritz_cli/data/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "svg_templates").rglob("*.j2")
    }

    assert {"spritz_cli/data/templates.yaml"} | scenes <= shipped


def test_the_wheel_ships_every_module(shipped: frozenset[str]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "spritz_cli").rglob("*.py")}

    assert modules <= shipped


def test_the_wheel_ships_nothing_else(shipped: frozenset[str]) -> None:
    strangers = {name for name in shipped if not name.startswith(("spritz_cli/", "vidgen-"))}

    assert not strangers
    assert not [name for name in shipped if name.endswith((".pyc", ".mp4"))]


def test_every_dependency_is_locked_within_its_bounds() -> None:
    pins = {pin["name"]: pin["version"] for pin in PIN.finditer(LOCK)}

    for requirement in _requirements():
        name = canonicalize_name(requirement.name)
        assert requirement.specifier.contains(pins[name]), f"{name} {pins[name]}: run `make lock`"


def test_every_library_that_the_code_imports_is_declared() -> None:
    requirements = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["s3"]]
    declared = {canonicalize_name(Requirement(text).name) for text in requirements}
    # testing.py is for tests; pydantic pins the exact version of its own core.
    elsewhere = {"spritz_cli", "fakeredis", "pydantic_core", *sys.stdlib_module_names}
    homes = packages_distributions()

    for module in _imported() - elsewhere:
        assert canonicalize_name(homes[module][0]) in declared, module


def test_every_pin_has_hashes() -> None:
    for block in re.split(r"^(?=[a-z])", LOCK, flags=re.MULTILINE)[1:]:
        assert PIN.match(block), block.splitlines()[0]
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_lock_names_no_host_and_no_folder() -> None:
    assert not re.search(r"://|--\S*(index|find-links)|(?<!\S)/", LOCK)


def test_the_build_backend_is_the_locked_one() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]

    assert build["requires"] == [str(one) for one in _requirements() if one.name == "hatchling"]


def test_help_lists_every_target_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)

    listed = subprocess.run(
        ["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=10
    ).stdout

    assert re.findall(r"^  make ([a-z0-9-]+)", listed, re.MULTILINE) == phony.split()


def test_a_missing_system_package_is_installed_as_root(tmp_path: Path) -> None:
    _tool(tmp_path, "id", "echo 0")
    _tool(tmp_path, "apt-get", 'echo "$@" >>calls; [ "$1" = update ] || [ -e lists ]')

    refused = _system_package(tmp_path)
    (tmp_path / "lists").touch()
    installed = _system_package(tmp_path)

    install = "install -qq -y --no-install-recommends libcairo2"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [install, "update -qq", install, install]
    assert (refused.returncode, installed.returncode) == (3, 0)
    assert "error: cairo could not be installed" in refused.stderr


def test_without_root_the_command_is_said_and_not_run(tmp_path: Path) -> None:
    _tool(tmp_path, "id", "echo 1000")
    _tool(tmp_path, "sudo", "exit 1")
    _tool(tmp_path, "apt-get", "touch calls")

    done = _system_package(tmp_path)

    assert done.returncode == 3
    assert "sudo apt-get install -qq -y --no-install-recommends libcairo2" in done.stderr
    assert not (tmp_path / "calls").exists()


def test_an_unknown_package_manager_is_an_error(tmp_path: Path) -> None:
    done = _system_package(tmp_path)

    assert done.returncode == 3
    assert "none of these package managers is here: apt-get=libcairo2" in done.stderr


def test_without_a_fit_python_the_error_says_what_to_do(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "a folder" / "scripts")
    script = tmp_path / "a folder" / "scripts" / "environment"
    environ = {**os.environ, "PYTHON": "/nowhere/python3"}

    done = subprocess.run(["sh", script], env=environ, capture_output=True, text=True, timeout=10)

    assert done.returncode == 3
    assert "no Python 3.11 or newer among: /nowhere/python3" in done.stderr
    assert "hint: " in done.stderr


def _tool(folder: Path, name: str, script: str) -> None:
    """Put a program on the PATH that `_system_package` uses."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _system_package(folder: Path) -> subprocess.CompletedProcess[str]:
    for name in ("sh", "env", "touch"):
        _tool(folder, name, f'exec {shutil.which(name)} "$@"')
    return subprocess.run(
        [shutil.which("sh") or "sh", ROOT / "scripts/system-package", "cairo", "apt-get=libcairo2"],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        capture_output=True,
        text=True,
        timeout=10,
    )


def _imported() -> set[str]:
    """Return the top names of everything that the package imports, wherever it does."""
    names: set[str] = set()
    for path in (ROOT / "spritz_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add((node.module or "").partition(".")[0])
    return names


def _requirements() -> Iterator[Requirement]:
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]:
        yield Requirement(text)
