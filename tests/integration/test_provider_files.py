"""A providers.yaml beside the catalog, as a user of the command line meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import documents
from tests.small import write_project

PROVIDERS = """\
profiles:
  mine: {extends: vllm-omni, model: wan}
  broken:
    extends: vllm-omni
    model: wan #2
    lists: 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, {"first": 5})
    (tmp_path / "providers.yaml").write_text(PROVIDERS)
    return tmp_path


def plan(
    project: Path, redis_url: str, provider: str, *options: str
) -> subprocess.CompletedProcess[str]:
    names = ("PATH", "PYTHONPATH", "HOME", "TMPDIR")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    return subprocess.run(
        [sys.executable, *options, "-m", "spritz_cli", "plan", "--json"],
        cwd=project,
        env={**environment, "REDIS_URL": redis_url, "VIDGEN_PROVIDER": provider},
        capture_output=True,
        text=True,
    )


def test_a_broken_profile_stops_only_who_uses_it(project: Path, real_redis_url: str) -> None:
    assert plan(project, real_redis_url, "mine").returncode == 0

    refused = plan(project, real_redis_url, "broken")

    assert refused.returncode == 2
    error = documents.read(refused.stdout)["error"]
    assert error["message"].startswith("2 problems in providers.yaml, the first: ")
    assert [(item["file"], item["line"]) for item in error["problems"]] == [
        ("providers.yaml", 5),
        ("providers.yaml", 6),
    ]
    assert "error: providers.yaml:5: the text ends at a “#”" in refused.stderr


def test_a_plan_with_a_known_provider_waits_for_no_heavy_library(
    project: Path, real_redis_url: str
) -> None:
    plan(project, real_redis_url, "mine")

    again = plan(project, real_redis_url, "mine", "-X", "importtime")

    assert again.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "spritz_cli.catalog.providers" in loaded
    assert not {"yaml", "pydantic", "jinja2"} & loaded
