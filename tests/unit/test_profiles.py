"""Each file of tests/providers holds one mistake, and says what vidgen must say about it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest

from spritz_cli.catalog.profile_schema import EXPECTED, ProfileEntry
from spritz_cli.catalog.providers import (
    DECIDING,
    MAX_BYTES,
    load_profile,
    provider_files,
    provider_problems,
)
from spritz_cli.cli import doctor
from spritz_cli.errors import ProvidersError, UsageError
from spritz_cli.settings import load_settings, shipped
from spritz_cli.videos_api.profile import Profile

ROOT = Path(__file__).parents[2]
SHIPPED = shipped("providers.yaml")
OPENAI = load_profile("openai", [SHIPPED])
NAMES = ("openai", "vllm-omni", "sglang", "litellm", "gemini-compat", "openrouter")
BAD = sorted((ROOT / "tests" / "providers").glob("*.yaml"))
HEADER = re.compile(r"^# expect: line (\d+): (.*)\n# hint: (.*)\n", re.MULTILINE)


def load(tmp_path: Path, text: str, name: str = "mine", *, alone: bool = False) -> Profile:
    file = tmp_path / "providers.yaml"
    file.write_text(text, "utf-8")
    return load_profile(name, [file] if alone else [SHIPPED, file])


def refused(tmp_path: Path, text: str, name: str = "mine") -> ProvidersError:
    with pytest.raises(ProvidersError) as caught:
        load(tmp_path, text, name)
    assert all(problem.hint for problem in caught.value.problems)
    return caught.value


# What ships


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_that_ships_can_be_loaded(name: str) -> None:
    profile = load_profile(name, [SHIPPED])

    assert profile.name == name
    assert sum(profile.plan_seconds(15)) >= 15
    assert "1280x720" in profile.sizes


def test_no_profile_that_ships_has_a_problem() -> None:
    assert provider_problems([SHIPPED]) == []


def test_a_profile_of_the_file_has_the_keys_of_a_profile() -> None:
    keys = {item.name for item in fields(Profile)} - {"name"}

    assert set(ProfileEntry.model_fields) == {"extends", *keys}
    assert {re.split(r"[.\[]", key)[0] for key in EXPECTED} <= {"profiles", "extends", *keys}


# Files laid over one another


def test_a_file_that_does_not_exist_is_skipped(tmp_path: Path) -> None:
    assert load_profile("openai", [SHIPPED, tmp_path / "none.yaml"]) == OPENAI


def test_an_unknown_provider_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no provider “opnai”") as caught:
        load_profile("opnai", [SHIPPED])

    assert caught.value.hint == "Did you mean openai?"
    with pytest.raises(UsageError) as caught:
        load_profile("zzz\udcff", [SHIPPED], tmp_path)
    assert caught.value.hint.startswith("Known: gemini-compat, litellm, ")


def test_a_users_file_is_laid_over_the_one_that_ships(tmp_path: Path) -> None:
    text = "profiles: {openai: {base_url: http://gpu:1/v1/, prices: {sora-2: 0.2}, retired: {}}}"

    profile = load(tmp_path, text, "openai")

    assert profile.base_url == "http://gpu:1/v1"
    assert profile.price_micros("sora-2", "1280x720", 4) == 800_000
    assert profile.price_micros("sora-2-pro", "1280x720", 4) == 1_200_000
    assert not profile.is_retired(date(2030, 1, 1))
    assert profile.sizes == OPENAI.sizes


def test_a_profile_can_extend_another_and_change_some_keys(tmp_path: Path) -> None:
    text = """
profiles:
  child: {extends: mine, allowed_seconds: 4-6}
  mine: {extends: sglang, model: wan, extra_fields: {fps: 16, ratio: 16:9, hd: true}}
"""

    child = load(tmp_path, text, "child")

    assert (child.name, child.model, child.encoding) == ("child", "wan", "json")
    assert child.allowed_seconds == (4, 5, 6)
    assert child.extra_fields == {"fps": 16, "ratio": "16:9", "hd": True}


def test_a_profile_of_ones_own_needs_four_keys_only(tmp_path: Path) -> None:
    text = """
version: 1
profiles:
  mine:
    base_url: https://host/v1
    model: m
    allowed_seconds: 5
    sizes: 1280x720
    auth: header:api-key
    retired: {old: "2026-01-02"}
"""

    profile = load(tmp_path, text, alone=True)

    assert profile.allowed_seconds == (5,)
    assert profile.auth == "header:api-key"
    assert profile.price_micros("m", "1280x720", 5) is None
    assert profile.is_retired(date(2026, 1, 2), "old")
    assert not profile.is_retired(date(2026, 1, 2))


# Mistakes


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_mistake_is_named_with_its_line_and_what_to_do(path: Path) -> None:
    expected = HEADER.findall(path.read_bytes().decode("utf-8", "replace"))

    with pytest.raises(ProvidersError) as caught:
        load_profile("mine", [SHIPPED, path])

    problems = caught.value.problems
    assert [(str(item.line), item.message, item.hint) for item in problems] == expected
    assert {item.file for item in problems} == {str(path.relative_to(Path.cwd()))}


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_secret_in_the_wrong_place_is_not_quoted(path: Path) -> None:
    with pytest.raises(ProvidersError) as caught:
        load_profile("mine", [SHIPPED, path])

    for secret in ("verysecret", "hunter2"):
        assert secret not in str(caught.value.problems)


def test_the_error_says_how_many_problems_there_are_and_names_the_first(tmp_path: Path) -> None:
    error = refused(tmp_path, "profiles:\n  mine: {extends: openai}\n  mine: {}\nprofile: 1\n")

    first = f"{tmp_path / 'providers.yaml'}:3: the key “mine” is already on line 2"
    assert error.message == f"2 problems in providers.yaml, the first: {first}"
    assert error.hint == error.problems[0].hint
    assert error.exit_code == 2


MISTAKEN = """
profiles:
  mine: {extends: openai, model: wan}
  broken:
    base_url: nowhere
    model: a #b
    model: c
  lost: {extends: nobody}
  ring: {extends: ring}
  1: {}
  alias: &here [1]
  incomplete: {model: m}
  begun: {model: m}
  whole: {extends: begun, base_url: http://h, allowed_seconds: 4, sizes: 1280x720}
"""


def test_a_mistake_in_a_profile_that_is_not_in_use_stops_nobody(tmp_path: Path) -> None:
    assert load(tmp_path, MISTAKEN).model == "wan"
    assert load(tmp_path, MISTAKEN, "whole").model == "m"
    assert load(tmp_path, MISTAKEN, "openai") == OPENAI


def test_all_problems_of_all_profiles_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(MISTAKEN, "utf-8")

    lines = [problem.line for problem in provider_problems([SHIPPED, file])]

    # The last is three keys that `incomplete` lacks; what is only extended may lack them.
    assert lines == [5, 6, 7, 8, 9, 10, 11, 11, 12, 12, 12]


def test_a_mistake_in_what_a_profile_extends_is_its_own(tmp_path: Path) -> None:
    error = refused(tmp_path, "profiles:\n  mine: {extends: a}\n  a: {lists: 1}\n  b: {lists: 2}")

    assert [problem.line for problem in error.problems] == [3]


def test_a_mistake_in_a_users_file_is_not_that_of_the_one_that_ships(tmp_path: Path) -> None:
    error = refused(tmp_path, "profiles: {openai: {prices: {sora-2: free}}}", "openai")

    assert [problem.file for problem in error.problems] == [str(tmp_path / "providers.yaml")]


def test_a_profile_that_a_mistake_hides_is_not_called_unknown(tmp_path: Path) -> None:
    error = refused(tmp_path, "profile: {mine: {extends: openai}}")

    assert error.problems[0].hint == "Did you mean “profiles”?"


HOSTILE = {
    "deep": "[" * 5_000,
    "deep block": "- " * 5_000,
    "large": "#" * (MAX_BYTES + 1),
    "binary": "\x00\x01" * 1_000,
    "very many profiles": "profiles:\n" + "".join(f" p{n}: {{a: 1}}\n" for n in range(9_000)),
    "very many keys": f"profiles: {{mine: {{{', '.join(f'k{n}: 1' for n in range(9_000))}}}}}",
    "one key, many times": f"profiles: {{mine: {{{'model: a, ' * 9_000}}}}}",
    "a long chain": "profiles:\n mine: {extends: p0}\n"
    + "".join(f" p{n}: {{extends: p{n + 1}}}\n" for n in range(8_000)),
    "steering": 'profiles: {"\\e[2J": {}}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_plain_lines(tmp_path: Path, text: str) -> None:
    error = refused(tmp_path, text)

    assert len(error.problems) <= 101
    assert len(provider_problems([SHIPPED, tmp_path / "providers.yaml"])) <= 101
    assert all(problem.message.isprintable() for problem in error.problems)
    assert all(len(problem.message) <= 500 for problem in error.problems)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_a_file_saved_on_windows_is_read_alike(tmp_path: Path, encoding: str, ending: str) -> None:
    file = tmp_path / "providers.yaml"
    text = "profiles:\n  mine:\n    extends: openai\n    model: größer\n"
    file.write_text(text, encoding, newline=ending)

    assert load_profile("mine", [SHIPPED, file]).model == "größer"


# Reading


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProvidersError, match=":1: the file cannot be read: Is a directory"):
        load_profile("openai", [SHIPPED, tmp_path])


def test_a_pipe_in_place_of_the_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "providers.yaml")

    with pytest.raises(
        ProvidersError, match=":1: the file cannot be read: it is not a regular file"
    ):
        load_profile("openai", [SHIPPED, tmp_path / "providers.yaml"])


def test_a_link_to_nothing_is_not_an_absent_file(tmp_path: Path) -> None:
    (tmp_path / "providers.yaml").symlink_to(tmp_path / "gone.yaml")

    with pytest.raises(ProvidersError, match=":1: the file cannot be read: No such file"):
        load_profile("openai", [SHIPPED, tmp_path / "providers.yaml"])


def test_a_catalog_that_is_a_link_has_the_providers_beside_the_file_it_leads_to(
    tmp_path: Path,
) -> None:
    for name in ("real", "linked"):
        (tmp_path / name).mkdir()
    (tmp_path / "real" / "templates.yaml").touch()
    (tmp_path / "linked" / "templates.yaml").symlink_to("../real/templates.yaml")
    real, linked = (tmp_path / name / "templates.yaml" for name in ("real", "linked"))

    (tmp_path / "real" / "providers.yaml").touch()
    assert provider_files(linked) == provider_files(real)
    (tmp_path / "linked" / "providers.yaml").touch()
    assert provider_files(linked) == (SHIPPED, tmp_path / "linked" / "providers.yaml")


def test_doctor_reports_a_profile_that_is_not_in_use(tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    settings = load_settings({}, catalog=tmp_path / "templates.yaml")
    assert doctor.CHECKS["footage"](settings).state == "ok"

    file.write_text("profiles:\n  mine: {extends: vllm-omni, lists: 1}\n")
    check = doctor.CHECKS["footage"](settings)
    assert (check.state, check.fix) == ("warn", "Make it true or false.")
    assert f"{file}:2: profiles.mine.lists must be true or false" in check.detail

    file.write_text("profiles: [")
    assert doctor.CHECKS["footage"](settings).state == "warn"


# The cache


@pytest.mark.parametrize("name", NAMES)
def test_a_cached_profile_equals_a_fresh_one(tmp_path: Path, name: str) -> None:
    fresh = load_profile(name, [SHIPPED], tmp_path)
    [file] = tmp_path.iterdir()
    before = file.stat()

    cached = load_profile(name, [SHIPPED], tmp_path)

    assert cached == fresh == load_profile(name, [SHIPPED])
    assert file.stat() == before


LOADING = (
    "import sys; from pathlib import Path; from spritz_cli.catalog.providers import load_profile;"
    "load_profile('openai', [Path(sys.argv[1])], *map(Path, sys.argv[2:]));"
)


def in_a_new_process(program: str, *arguments: object) -> set[str]:
    command = [sys.executable, "-c", LOADING + program, *map(str, arguments)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_a_cached_profile_needs_no_heavy_library(tmp_path: Path) -> None:
    load_profile("openai", [SHIPPED], tmp_path)

    heavy = in_a_new_process("print(*{'yaml', 'pydantic'} & set(sys.modules))", SHIPPED, tmp_path)

    assert heavy == set()


def test_every_module_that_shapes_a_profile_decides_the_name_of_its_cache() -> None:
    names = in_a_new_process(
        "print(*(name for name in sys.modules if 'spritz_cli.' in name))", SHIPPED
    )

    rest = {
        name.removeprefix("spritz_cli.")
        for name in names
        if not name.startswith("spritz_cli.catalog.")
    }
    assert rest - {"errors", "settings", "models", "videos_api"} == set(DECIDING)


@pytest.mark.parametrize(
    "edit",
    [
        lambda file: file.write_text("profiles: {openai: {model: sora-3}}"),
        lambda file: file.unlink(),
    ],
    ids=["changed", "gone"],
)
def test_an_edit_is_seen_and_replaces_the_old_cache(
    tmp_path: Path, edit: Callable[[Path], object]
) -> None:
    file, cache = tmp_path / "providers.yaml", tmp_path / "state"
    file.write_text("profiles: {openai: {model: wan}}")
    files = [SHIPPED, file]
    assert load_profile("openai", files, cache).model == "wan"

    edit(file)

    assert load_profile("openai", files, cache) == load_profile("openai", files)
    assert load_profile("sglang", files, cache).name == "sglang"
    assert len(list(cache.iterdir())) == 1


def test_a_profile_with_a_problem_leaves_no_cache(tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text("profiles: {openai: {lists: 1}}")

    with pytest.raises(ProvidersError):
        load_profile("openai", [SHIPPED, file], tmp_path / "state")

    assert not (tmp_path / "state").exists()


# What a profile answers


@pytest.mark.parametrize(
    ("allowed", "duration", "planned"),
    [
        ((4, 8, 12), 15, (8, 8)),
        ((4, 8, 12), 18, (12, 8)),
        ((4, 8, 12), 20, (12, 8)),
        ((4, 8, 12), 3, (4,)),
        ((4, 8, 12), 12.2, (8, 8)),
        (tuple(range(1, 16)), 18, (9, 9)),
        (tuple(range(4, 16)), 20, (10, 10)),
        (tuple(range(1, 16)), 15, (15,)),
        ((5, 10), 18, (10, 10)),
        ((6,), 20, (6, 6, 6, 6)),
        ((7, 9), 60, (9, 9, 7, 7, 7, 7, 7, 7)),
    ],
)
def test_segments_cover_the_film_with_as_little_footage_as_possible(
    allowed: tuple[int, ...], duration: float, planned: tuple[int, ...]
) -> None:
    assert replace(OPENAI, allowed_seconds=allowed).plan_seconds(duration) == planned


def test_prices_are_exact_and_rounded_up() -> None:
    assert OPENAI.price_micros("sora-2", "1280x720", 12) == 1_200_000
    assert OPENAI.priced(0.0000004).price_micros("any", "1x1", 1) == 1
    assert OPENAI.priced(0.07).price_micros("any", "1280x720", 3) == 210_000


def test_an_unknown_model_or_size_has_no_price() -> None:
    assert OPENAI.price_micros("sora-3", "1280x720", 4) is None
    assert OPENAI.price_micros("sora-2", "1792x1024", 4) is None


def test_ones_own_server_costs_nothing() -> None:
    assert load_profile("vllm-omni", [SHIPPED]).price_micros("anything", "832x480", 15) == 0


def test_openais_own_service_is_retired() -> None:
    assert not OPENAI.is_retired(date(2026, 9, 23))
    assert OPENAI.is_retired(date(2026, 9, 24))
    assert OPENAI.is_retired(date(2026, 9, 24), "sora-2-pro")
