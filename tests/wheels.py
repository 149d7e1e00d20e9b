"""Our two wheels, and environments that have nothing but one of them and what it asks for."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.processes import ROOT

#: Each distribution of this repository and the folder of its pyproject.toml.
FOLDERS = {"spritz-vidgen": ROOT, "spritz-vidgen-reader": ROOT / "reader"}


def build(folder: Path, kind: str = "wheel", source: Path | None = None) -> list[Path]:
    """Build both distributions, or that of `source`, as `kind` into `folder`."""
    for source_folder in [source] if source else FOLDERS.values():
        command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
        subprocess.run(command, cwd=source_folder, check=True, capture_output=True, timeout=60)
    return sorted(folder.iterdir())


def environment(folder: Path, wheels: Path, requirement: str) -> Path:
    """Make an environment that holds only `requirement` of ours; return its bin folder.

    Our wheel is installed with pip. The libraries are those of the tests' own
    environment, linked, so that no network is needed; pip checks that none is missing.
    """
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    _link_libraries(Requirement(requirement), site, set())
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install"]
    options = ["--no-index", "--find-links", str(wheels), "--no-compile", "--quiet"]
    done = subprocess.run(
        [*command, *options, requirement], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def _link_libraries(requirement: Requirement, site: Path, seen: set[str]) -> None:
    found = distribution(requirement.name)
    key = str(requirement)
    if key in seen:
        return
    seen.add(key)
    if canonicalize_name(requirement.name) not in FOLDERS:
        for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            link = site / name
            if not link.is_symlink():
                link.symlink_to(str(found.locate_file(name)))
    for text in found.requires or ():
        needed = Requirement(text)
        extras = requirement.extras or {""}
        if not needed.marker or any(needed.marker.evaluate({"extra": one}) for one in extras):
            _link_libraries(needed, site, seen)
