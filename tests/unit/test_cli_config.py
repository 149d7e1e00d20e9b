"""`vidgen config`, and the warning about variables that nothing reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spritz_cli.cli import main
from spritz_cli.cli.variables import unknown_variables
from spritz_cli.settings import VARIABLES
from tests import documents


@pytest.fixture(autouse=True)
def same_log_level() -> Iterator[None]:
    """What a command of these tests logs is no concern of the tests after it."""
    logger = logging.getLogger("spritz_cli")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(capsys: pytest.CaptureFixture, *options: str, code: int = 0) -> dict[str, Any]:
    assert main(["config", "--json", *options]) == code
    return documents.read(capsys.readouterr().out)


def setting(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in document["settings"] if item["name"] == name)


def test_every_setting_has_a_line_with_its_value_and_origin(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (folder / "pyproject.toml").write_text("[tool.vidgen]\nttl_days = 7\n")
    monkeypatch.setenv("VIDGEN_QUEUE", "mine")
    assert main(["config", "--state-dir", "state"]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert set(VARIABLES) <= set(lines)
    assert lines["ttl_days"] == ["7", str(folder / "pyproject.toml")]
    assert lines["queue"] == ["mine", "VIDGEN_QUEUE"]
    assert lines["state_dir"] == [str(folder / "state"), "--state-dir"]
    assert lines["url_prefix"] == ["/videos", "default"]
    assert lines["provider"] == ["not", "set", "default"]


@pytest.mark.parametrize(
    ("options", "level", "where"),
    [
        ((), "WARNING", None),
        (("-q",), "ERROR", "--quiet"),
        (("-v",), "INFO", "--verbose"),
        (("-vv",), "DEBUG", "--verbose"),
        (("-v", "--verbose"), "DEBUG", "--verbose"),
        (("-q", "--log-level", "info"), "INFO", "--log-level"),
    ],
)
def test_each_flag_for_the_log_is_an_origin(
    options: tuple[str, ...], level: str, where: str | None, capsys: pytest.CaptureFixture
) -> None:
    log = setting(config(capsys, *options), "log")
    assert (log["value"], log["where"]) == (level, where)


def test_a_flag_for_the_log_beats_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("VIDGEN_LOG", "DEBUG")
    assert setting(config(capsys, "-q"), "log")["value"] == "ERROR"


def test_the_document_names_the_project(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert config(capsys)["project"] == {"folder": str(folder), "file": None}
    (folder / "pyproject.toml").write_text("[tool.vidgen]\n")
    assert config(capsys)["project"]["file"] == str(folder / "pyproject.toml")


def test_secrets_are_set_or_not_set_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "geheim-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim-2")
    monkeypatch.setenv("REDIS_URL", "redis://user:geheim-3@cache:6379/0?password=geheim-4")
    monkeypatch.setenv("VIDGEN_URL_PREFIX", "https://geheim-5:geheim-6@cdn.example/v")
    monkeypatch.setenv("VIDGEN_VIDEOS_DIR", "s3://films/x")
    assert main(["config"]) == 0
    assert main(["config", "--json"]) == 0
    shown = capsys.readouterr()
    text, _, document = shown.out.partition("{")
    assert "geheim" not in shown.out + shown.err
    assert "redis://***@cache:6379/0" in text
    secrets = {item["variable"]: item["set"] for item in documents.read("{" + document)["secrets"]}
    assert secrets == {
        "VIDGEN_API_KEY": False,
        "OPENAI_API_KEY": True,
        "AWS_ACCESS_KEY_ID": False,
        "AWS_SECRET_ACCESS_KEY": True,
        "AWS_SESSION_TOKEN": False,
    }


def test_the_provider_says_which_secrets_apply(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("VIDGEN_PROVIDER", "openrouter")
    secrets = [item["variable"] for item in config(capsys)["secrets"]]
    assert secrets == ["VIDGEN_API_KEY", "OPENROUTER_API_KEY"]


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("VIDGEN_TTL_DAYS", "soon", "ttl_days"),
        ("VIDGEN_CATALOG", "~nobody-of-that-name/x", "catalog"),
        ("VIDGEN_VIDEOS_DIR", "https://me:geheim@x/y", "videos_dir"),
        ("VIDGEN_PROVIDER", "opena", "provider"),
        ("VIDGEN_BASE_URL", "https://me:geheim@x/v1", "base_url"),
    ],
)
def test_it_works_with_a_setting_that_is_not_valid_and_says_which(
    variable: str,
    value: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("VIDGEN_PROVIDER", "openai")
    monkeypatch.setenv(variable, value)
    assert main(["config", "--json"]) == 2
    shown = capsys.readouterr()
    document = documents.read(shown.out)
    assert [item["name"] for item in document["settings"] if item["error"]] == [name]
    assert shown.err.startswith("error: ")
    assert "geheim" not in shown.out + shown.err


# Variables that nothing reads


def test_a_variable_that_nothing_reads_is_told_the_nearest_that_something_does() -> None:
    environ = {"VIDGEN_TTL": "3", "VIDGEN_VIDEO_DIR": "v", "VIDGEN_XYZ": "1", "VIDGEN_EMPTY": ""}
    assert unknown_variables(environ=environ) == {
        "VIDGEN_TTL": "VIDGEN_TTL_DAYS",
        "VIDGEN_VIDEO_DIR": "VIDGEN_VIDEOS_DIR",
        "VIDGEN_XYZ": "",
    }


def test_settings_secrets_and_keys_of_profiles_are_known(folder: Path) -> None:
    profile = "profiles:\n  mine: {extends: openai, api_key_env: [VIDGEN_MY_KEY]}\n"
    (folder / "providers.yaml").write_text(profile)
    names = [*VARIABLES.values(), "VIDGEN_API_KEY", "VIDGEN_MY_KEY", "OTHER"]
    assert unknown_variables(folder / "templates.yaml", dict.fromkeys(names, "x")) == {}
    assert "VIDGEN_MY_KEY" in unknown_variables(environ={"VIDGEN_MY_KEY": "x"})


def test_the_warning_comes_once_on_stderr_and_not_when_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("VIDGEN_TTL", "3")
    assert main(["lint", "--words", "high_utilization"]) == 0
    shown = capsys.readouterr()
    assert shown.err == (
        "warning: VIDGEN_TTL is set, but vidgen has no such setting; "
        "did you mean VIDGEN_TTL_DAYS?\n"
    )
    assert "VIDGEN_TTL" not in shown.out
    assert main(["lint", "--words", "high_utilization", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_the_document_lists_variables_that_nothing_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("VIDGEN_QUEU", "x")
    unknown = config(capsys)["unknown_variables"]
    assert unknown == [{"variable": "VIDGEN_QUEU", "nearest": "VIDGEN_QUEUE"}]
