from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import spritz_cli
import vidgen_reader
from spritz_cli.errors import InfrastructureError, UsageError, VidgenError
from tests import wheels
from tests.wheels import FOLDERS

ROOT = Path(__file__).parents[2]
PACKAGES = ("spritz_cli", "vidgen_reader")
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; .+)? \\$", re.MULTILINE)

PROJECTS = {
    name: tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    for name, folder in FOLDERS.items()
}
MAIN, READER = (PROJECTS[name]["project"] for name in ("spritz-vidgen", "spritz-vidgen-reader"))

#: What neither reading the manifest nor queueing a job may load.
HEAVY = ("yaml", "pydantic", "jinja2", "cairocffi", "PIL", "typer", "rich", "openai", "httpx")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, frozenset[str]]:
    """Return the names of the files in each freshly built wheel."""
    return {
        wheel.name.partition("-")[0]: _files(wheel)
        for wheel in wheels.build(tmp_path_factory.mktemp("wheels"))
    }


@pytest.fixture(scope="module")
def shipped(built: dict[str, frozenset[str]]) -> frozenset[str]:
    return built["spritz_vidgen_reader"]


def test_the_reader_ships_the_catalog_the_profiles_and_every_scene(shipped: frozenset[str]) -> None:
    names = ["templates.yaml", "providers.yaml"]
    names += [str(path.relative_to(ROOT)) for path in (ROOT / "svg_templates").rglob("*.j2")]

    assert {f"spritz_cli/data/{name}" for name in names} <= shipped


def test_the_reader_ships_every_module_and_says_that_it_is_typed(shipped: frozenset[str]) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "spritz_cli").rglob("*.py")}

    assert modules <= shipped
    assert {
        f"{name}/{file}" for name in PACKAGES for file in ("__init__.py", "py.typed")
    } <= shipped


def test_the_reader_ships_what_lies_beside_the_modules(shipped: frozenset[str]) -> None:
    folders = ("schemas", "completions")
    files = [path for name in folders for path in (ROOT / "spritz_cli" / "cli" / name).iterdir()]

    assert len(files) > len(folders)
    assert {str(path.relative_to(ROOT)) for path in files} <= shipped


def test_the_reader_ships_nothing_else(shipped: frozenset[str]) -> None:
    tops = {name.partition("/")[0] for name in shipped}

    assert tops == {*PACKAGES, f"spritz_vidgen_reader-{READER['version']}.dist-info"}
    assert not [name for name in shipped if name.endswith((".pyc", ".mp4"))]


def test_the_doubles_load_without_what_only_tests_install() -> None:
    code = "import sys; sys.modules['fakeredis'] = None; import spritz_cli.testing"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)


def test_the_main_distribution_has_no_files_of_its_own(built: dict[str, frozenset[str]]) -> None:
    tops = {name.partition("/")[0] for name in built["spritz_vidgen"]}

    assert tops == {f"spritz_vidgen-{MAIN['version']}.dist-info"}


def test_an_sdist_of_the_reader_makes_the_same_wheel(
    shipped: frozenset[str], tmp_path: Path
) -> None:
    (sdist,) = wheels.build(tmp_path / "sdist", "sdist", ROOT / "reader")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (wheel,) = wheels.build(tmp_path / "wheel", "wheel", tmp_path / sdist.name[: -len(".tar.gz")])

    assert _files(wheel) == shipped


def test_both_distributions_have_one_version_and_one_licence() -> None:
    version = MAIN["version"]

    assert version == READER["version"] == spritz_cli.__version__
    assert f"spritz-vidgen-reader[enqueue]=={version}" in MAIN["dependencies"]
    assert (ROOT / "reader/LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_everything_public_is_exported_in_order() -> None:
    exported = spritz_cli.__all__

    assert exported == sorted({*spritz_cli._HOMES, "__version__"})
    assert all(getattr(spritz_cli, name) for name in exported)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(spritz_cli, "nothing")  # noqa: B009 - a type checker would refuse it


def test_every_error_that_an_application_may_meet_is_exported() -> None:
    kinds: list[type[VidgenError]] = [
        VidgenError,
        *_kinds_of(UsageError),
        *_kinds_of(InfrastructureError),
    ]

    for kind in kinds:
        assert getattr(spritz_cli, kind.__name__) is kind


def _kinds_of(error: type[VidgenError]) -> list[type[VidgenError]]:
    # Storage refines StorageError for its own use, in modules that another test may have loaded.
    subclasses = [
        kind
        for kind in error.__subclasses__()
        if not kind.__module__.startswith("spritz_cli.storage.")
    ]
    return [error, *(kind for below in subclasses for kind in _kinds_of(below))]


def test_the_reader_exports_what_needs_no_more_than_itself() -> None:
    whole = {
        "CatalogError",
        "InvalidFile",
        "ProvidersError",
        "StorageError",
        "Template",
        "generate_video_job",
        "get_template",
    }

    assert vidgen_reader.__all__ == sorted({*spritz_cli.__all__} - whole - {"run_cleanup"})
    assert all(getattr(vidgen_reader, name) for name in vidgen_reader.__all__)


@pytest.mark.parametrize(
    "code",
    [
        "from spritz_cli import VideoManifest, enqueue_video_generation",
        "from spritz_cli import enqueue_videos_for_recommendations",
        "import vidgen_reader",
        "import spritz_cli.runs.job_queue",
    ],
)
def test_to_read_and_to_queue_loads_nothing_that_draws_or_parses(code: str) -> None:
    assert not {*HEAVY} & _loaded(code)


def test_nothing_is_loaded_before_it_is_used() -> None:
    ours = {name for name in _loaded("import spritz_cli") if name.startswith("spritz_cli")}

    assert ours == {"spritz_cli"}


def test_every_dependency_is_locked_within_its_bounds() -> None:
    pins = {pin["name"]: pin["version"] for pin in PIN.finditer(LOCK)}

    for requirement in _requirements():
        name = canonicalize_name(requirement.name)
        assert requirement.specifier.contains(pins[name]), f"{name} {pins[name]}: run `make lock`"


def test_every_library_that_the_code_imports_is_declared() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in _requirements(dev=False)}
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
    (hatchling,) = [str(one) for one in _requirements() if one.name == "hatchling"]

    for project in PROJECTS.values():
        assert project["build-system"]["requires"] == [hatchling]


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
    assert "none of these package managers is installed: apt-get=libcairo2" in done.stderr


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


def _requirements(*, dev: bool = True) -> Iterator[Requirement]:
    """Yield what both projects need from elsewhere, for development too unless not `dev`."""
    for project in (MAIN, READER):
        groups = {"": project["dependencies"], **project["optional-dependencies"]}
        for text in chain.from_iterable(groups[name] for name in groups if dev or name != "dev"):
            if canonicalize_name((requirement := Requirement(text)).name) not in FOLDERS:
                yield requirement


def _loaded(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    return {*subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()}


def _files(wheel: Path) -> frozenset[str]:
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())
