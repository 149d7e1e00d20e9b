from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest

from spritz_cli.errors import UsageError
from spritz_cli.settings import shipped
from spritz_cli.videos_api.profile import PROFILE_KEYS
from spritz_cli.videos_api.profile_files import _CHECKS, MAX_BYTES
from spritz_cli.videos_api.profiles import Profile, load_profile, profile_names

SHIPPED = shipped("providers.yaml")
OPENAI = load_profile("openai", [SHIPPED])


def load(tmp_path: Path, text: str, name: str = "mine", *, alone: bool = False) -> Profile:
    file = tmp_path / "providers.yaml"
    file.write_text(text, "utf-8")
    return load_profile(name, [file] if alone else [SHIPPED, file])


def refused(tmp_path: Path, text: str, name: str = "mine") -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text, name)
    assert str(tmp_path / "providers.yaml") in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", profile_names([SHIPPED]))
def test_every_profile_that_ships_can_be_loaded(name: str) -> None:
    profile = load_profile(name, [SHIPPED])

    assert profile.name == name
    assert sum(profile.plan_seconds(15)) >= 15
    assert "1280x720" in profile.sizes


def test_the_known_providers_ship() -> None:
    expected = ("openai", "vllm-omni", "sglang", "litellm", "gemini-compat", "openrouter")

    assert profile_names([SHIPPED]) == expected


def test_every_key_of_a_profile_is_checked() -> None:
    assert set(_CHECKS) == {"extends", *PROFILE_KEYS}
    assert len(PROFILE_KEYS) == len(fields(Profile)) - 1


def test_a_file_that_does_not_exist_is_skipped(tmp_path: Path) -> None:
    assert load_profile("openai", [SHIPPED, tmp_path / "none.yaml"]) == OPENAI


def test_an_unknown_provider_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="no provider “opnai”") as caught:
        load_profile("opnai", [SHIPPED])

    assert caught.value.hint == "Did you mean openai?"


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


BAD = {
    "unknown key": ("{base_ur: x}", "profiles.mine: unknown key “base_ur”", "“base_url”"),
    "a list": ("[a]", "profiles.mine must be a mapping", "key: value"),
    "wrong type": ("{model: 5}", "profiles.mine.model must be one line of text, got 5", "quotes"),
    "bad date": ("{retired: 2026-13-45}", "profiles.mine.retired must be a date", "2026-09-24"),
    "bad date of a model": ("{retired: {m: soon}}", "profiles.mine.retired.m must be a", "2026"),
    "negative price": ("{prices: {m: -1}}", "profiles.mine.prices.m must be US dollars", "0.10"),
    "price as text": ("{prices: {m: {1280x720: free}}}", "prices.m.1280x720 must be", "0.10"),
    "endless price": ("{prices: {m: .inf}}", "profiles.mine.prices.m must be", "0.10"),
    "price of no size": ("{prices: {m: {hd: 1}}}", "prices.m.hd must be a size", "1280x720"),
    "empty seconds": ("{allowed_seconds: []}", "mine.allowed_seconds must be", "[4, 8, 12]"),
    "seconds backwards": ("{allowed_seconds: 9-4}", "mine.allowed_seconds must be", "4-15"),
    "true as seconds": ("{allowed_seconds: [true]}", "mine.allowed_seconds must be", "4-15"),
    "endless seconds": ("{allowed_seconds: .nan}", "mine.allowed_seconds must be", "4-15"),
    "bad size": ("{sizes: [720p]}", "profiles.mine.sizes must be sizes", "1280x720"),
    "bad url": ("{base_url: 'ftp://x'}", "mine.base_url must be an address", "address"),
    "url with query": ("{base_url: 'http://x/?a=b'}", "mine.base_url must be", "address"),
    "bad switch": ("{lists: maybe}", "profiles.mine.lists must be true or false", "true"),
    "bad word": ("{encoding: xml}", "mine.encoding must be multipart or json", "json"),
    "bad auth": ("{auth: 'header:a b'}", "profiles.mine.auth must be bearer", "api-key"),
    "nested fields": ("{extra_fields: {a: [1]}}", "mine.extra_fields.a must be text", "text"),
    "number as header": ("{extra_headers: {a: 0}}", "mine.extra_headers.a must be one", "quotes"),
    "bad header": ("{extra_headers: {a b: c}}", "mine.extra_headers.a b must be named", "letters"),
    "header in German": ("{extra_headers: {a: schön}}", "extra_headers.a must be plain", "ASCII"),
    "key as header": ("{extra_headers: {X-API-Key: s}}", "vidgen sets this header", "api_key_env"),
    "none in flight": ("{max_in_flight: 0}", "mine.max_in_flight must be a whole", "1,000"),
    "unknown parent": ("{extends: opanai}", "mine.extends: there is no profile", "“openai”"),
    "own parent": ("{extends: mine}", "mine.extends leads back to mine", "Delete"),
    "incomplete": ("{model: m}", "profiles.mine.base_url is missing", "base_url"),
}


@pytest.mark.parametrize(("entry", "message", "hint"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_named_with_its_key(
    tmp_path: Path, entry: str, message: str, hint: str
) -> None:
    error = refused(tmp_path, f"profiles: {{mine: {entry}}}")

    assert message in error.message
    assert hint in error.hint


def test_profiles_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, "profiles: {mine: {extends: b}, b: {extends: mine}}")

    assert "profiles.b.extends leads back to mine" in error.message


@pytest.mark.parametrize("key", ["sk-verysecret", ["sk-verysecret"]])
def test_a_key_in_place_of_its_variable_is_not_quoted(tmp_path: Path, key: object) -> None:
    error = refused(tmp_path, f"profiles: {{mine: {{api_key_env: {key}}}}}")

    assert "verysecret" not in error.message + error.hint


def test_a_password_in_an_address_is_not_quoted(tmp_path: Path) -> None:
    error = refused(tmp_path, "profiles: {mine: {base_url: 'https://me:hunter2@host/v1'}}")

    assert "hunter2" not in error.message + error.hint


HOSTILE = {
    "alias": "profiles: {a: &a {model: m}, mine: *a}",
    "bomb": "a: &a [x]\nb: &b [*a,*a]\nprofiles: *b",
    "merge": "profiles: {mine: {<<: {model: m}}}",
    "python tag": "profiles: !!python/object/apply:os.system ['true']",
    "deep": "[" * 5_000,
    "deep block": "- " * 5_000,
    "large": "#" * (MAX_BYTES + 1),
    "binary": "\x00\x01",
    "repeated": "profiles: {mine: {model: a, model: b}}",
    "keys that are no text": "profiles: {1: {}}",
    "lists as keys": "? [a]\n: 1",
    "very large number": f"profiles: {{mine: {{max_in_flight: {'9' * 5_000}}}}}",
    "large number": f"profiles: {{mine: {{max_in_flight: {'9' * 400}}}}}",
    "not closed": "profiles: {",
    "steering": 'profiles: {"\\e[2J": {}}',
    "two documents": "a: 1\n---\nb: 2",
    "other version": "version: 2",
    "a set": "profiles: !!set {a, b}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_one_plain_line(tmp_path: Path, text: str) -> None:
    error = refused(tmp_path, text)

    assert error.message.isprintable()
    assert len(error.message) < 400 + len(str(tmp_path))


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: it is not a file"):
        load_profile("openai", [SHIPPED, tmp_path])


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
