from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from spritz_cli.errors import UsageError
from spritz_cli.settings import PACKAGE, VARIABLES, load_settings, read_sources, shipped


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
        ("[tool]\nvidgen = 3\n", r"\[tool.vidgen\]"),
    ],
)
def test_a_pyproject_that_is_not_valid_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_settings({}, tmp_path)


def test_every_variable_belongs_to_a_setting(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert all(hasattr(settings, name) for name in VARIABLES)


def test_a_wrong_log_level_is_named_with_the_levels_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="invalid VIDGEN_LOG loud") as refused:
        load_settings({"VIDGEN_LOG": "loud"}, tmp_path)
    assert refused.value.hint == "Use DEBUG, INFO, WARNING or ERROR."


def test_a_gigabyte_is_decimal(tmp_path: Path) -> None:
    settings = load_settings({"VIDGEN_DISK_QUOTA_GB": "1.5"}, tmp_path)
    assert settings.disk_quota_bytes == 1_500_000_000


# pyproject.toml in the folders above


def project(folder: Path, text: str = '[tool.vidgen]\nqueue = "ours"\n') -> Path:
    """Write a pyproject.toml and return a folder far below it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    below = folder / "a" / "b"
    below.mkdir(parents=True, exist_ok=True)
    return below


def test_the_nearest_pyproject_with_our_table_counts(tmp_path: Path) -> None:
    project(tmp_path, '[tool.vidgen]\nqueue = "far"\n')
    below = project(tmp_path / "near", '[tool.vidgen]\nqueue = "near"\n')
    (below / "pyproject.toml").write_text('[project]\nname = "uses-vidgen"\n')
    assert load_settings({}, below).queue == "near"


def test_paths_and_defaults_count_from_the_folder_of_the_table(tmp_path: Path) -> None:
    below = project(tmp_path, '[tool.vidgen]\nvideos_dir = "films"\n')
    (tmp_path / "templates.yaml").touch()
    settings = load_settings({"VIDGEN_CATALOG": "here.yaml"}, below)
    assert settings.videos_dir == tmp_path / "films"
    assert settings.state_dir == tmp_path / ".vidgen"
    assert settings.catalog == below / "here.yaml"
    assert load_settings({}, below).catalog == tmp_path / "templates.yaml"
    assert load_settings({}, below, state_dir="here").state_dir == below / "here"


def test_without_our_table_nothing_counts_from_a_folder_above(tmp_path: Path) -> None:
    below = project(tmp_path, '[project]\nname = "vidgen"\n')
    (tmp_path / "templates.yaml").touch()
    settings = load_settings({}, below)
    assert settings.state_dir == below / ".vidgen"
    assert settings.catalog == shipped("templates.yaml")


@pytest.mark.parametrize("text", ["vidgen = [\n", "tool = 3\n", '[tool]\n"vidgen', "\xff vidgen"])
def test_a_file_that_is_not_ours_stops_nothing(text: str, tmp_path: Path) -> None:
    below = project(tmp_path, '[tool.vidgen]\nqueue = "ours"\n')
    (below / "pyproject.toml").write_bytes(text.encode("latin-1"))
    assert load_settings({}, below).queue == "ours"


def test_what_is_not_toml_is_remembered_for_the_log(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("vidgen = [\n")
    (line,) = read_sources({}, {}, tmp_path).project.unreadable
    assert line.startswith(f"{tmp_path / 'pyproject.toml'} is not valid TOML")


def test_our_table_in_a_file_above_that_is_not_toml_is_an_error(tmp_path: Path) -> None:
    below = project(tmp_path, "[tool.vidgen]\nqueue = \n")
    with pytest.raises(UsageError, match=str(tmp_path / "pyproject.toml")):
        load_settings({}, below)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('\ufeff[tool.vidgen]\nqueue = "ours"\n', "utf-8")
    assert load_settings({}, tmp_path).queue == "ours"


def test_an_unknown_key_is_told_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.vidgen]\nttl_day = 3\n")
    with pytest.raises(UsageError) as refused:
        load_settings({}, tmp_path)
    assert refused.value.hint == "Did you mean ttl_days?"


def test_a_pipe_of_that_name_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pyproject.toml")
    assert load_settings({}, tmp_path).queue == "video_generation"


# Paths


@pytest.mark.parametrize("name", ["catalog", "videos_dir", "state_dir"])
def test_a_path_that_is_no_text_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.vidgen]\n{name} = 3\n")
    with pytest.raises(UsageError, match=f"{name} in .* must be a path in quotes, got 3"):
        load_settings({}, tmp_path)


@pytest.mark.parametrize("variable", ["VIDGEN_CATALOG", "VIDGEN_VIDEOS_DIR", "VIDGEN_STATE_DIR"])
def test_the_home_of_nobody_is_refused(variable: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{variable}: no home directory is known"):
        load_settings({variable: "~nobody-of-that-name/x"}, tmp_path)


def test_an_address_that_is_refused_shows_no_password(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        load_settings({"VIDGEN_VIDEOS_DIR": "https://me:geheim@films.example/x"}, tmp_path)
    assert "https://***@films.example/x" in refused.value.message


def test_a_working_directory_that_is_gone_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="the working directory cannot be used"):
        load_settings({})


def test_the_environment_is_read_where_the_settings_say_so() -> None:
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text("utf-8"))
    }
    handing_on = {"runs/bench.py", "runs/local_workers.py"}
    machine = {"cli/console.py", "media/ffmpeg.py"}
    assert readers == {"settings.py", "cli/variables.py"} | handing_on | machine
