from __future__ import annotations

from pathlib import Path

import pytest

from spritz_cli.errors import UsageError
from spritz_cli.settings import VARIABLES, load_settings, shipped


def test_without_anything_set_things_lie_in_the_working_directory(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert settings.videos_dir == tmp_path / "videos"
    assert settings.state_dir == tmp_path / ".vidgen"
    assert settings.catalog == shipped("templates.yaml")
    assert settings.scenes == shipped("svg_templates")
    assert settings.redis_url is None


def test_a_catalog_in_the_working_directory_wins_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "templates.yaml").touch()
    (tmp_path / "svg_templates").mkdir()
    settings = load_settings({}, tmp_path)
    assert settings.catalog == tmp_path / "templates.yaml"
    assert settings.scenes == tmp_path / "svg_templates"


def test_flags_beat_the_environment_and_it_beats_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.vidgen]\nqueue = "c"\nttl_days = 7\n')
    environ = {"VIDGEN_QUEUE": "b", "VIDGEN_URL_PREFIX": "https://cdn.example/v"}
    settings = load_settings(environ, tmp_path, queue="a")
    assert (settings.queue, settings.url_prefix, settings.ttl_days) == (
        "a",
        "https://cdn.example/v",
        7.0,
    )


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load_settings({"REDIS_URL": ""}, tmp_path).redis_url is None


def test_a_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    settings = load_settings({"VIDGEN_TTL_DAYS": "3", "VIDGEN_LOG": "debug"}, tmp_path)
    assert load_settings(settings.environment(), Path("/")) == settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIDGEN_TTL_DAYS", "soon"),
        ("VIDGEN_TTL_DAYS", "0"),
        ("VIDGEN_TTL_DAYS", "nan"),
        ("VIDGEN_DISK_QUOTA_GB", "-5"),
        ("VIDGEN_DISK_QUOTA_GB", "inf"),
        ("VIDGEN_TTL_DAYS", "3651"),
        ("VIDGEN_TTL_DAYS", "1e300"),
        ("VIDGEN_DISK_QUOTA_GB", "1000001"),
        ("VIDGEN_LOG", "loud"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(variable: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{variable} must be .*{value}"):
        load_settings({variable: value}, tmp_path)


def test_the_largest_values_are_allowed(tmp_path: Path) -> None:
    environ = {"VIDGEN_TTL_DAYS": "3650", "VIDGEN_DISK_QUOTA_GB": "1e6"}
    settings = load_settings(environ, tmp_path)
    assert (settings.ttl_days, settings.disk_quota_gb) == (3650.0, 1_000_000.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.vidgen]\nquue = "x"\n', "unknown keys: quue"),
        ("[tool.vidgen\n", "pyproject.toml"),
        ("tool = 3\n", r"\[tool.vidgen\]"),
        ("[tool]\nvidgen = 3\n", r"\[tool.vidgen\]"),
    ],
)
def test_a_bad_pyproject_is_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_settings({}, tmp_path)


def test_every_variable_belongs_to_a_setting(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert all(hasattr(settings, name) for name in VARIABLES)
