"""What a provider's answers mean, and which addresses footage may come from."""

from __future__ import annotations

import json
import socket
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from spritz_cli.errors import ProviderKind
from spritz_cli.videos_api.addresses import Gatekeeper, Refused
from spritz_cli.videos_api.answers import Answer, Scrubber, job_from, job_id, refusal
from spritz_cli.videos_api.search import Search, VideoRequest

SCRUB = Scrubber("sk-secret-key")
REQUEST = VideoRequest("A gauge falls", "sora-2", "1280x720", 8)
NOW = 1_800_000_000.0


def answer(document: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps(document).encode())


def error(status: int, **fields: Any) -> Answer:
    return answer({"error": fields}, status)


WRAPPED = 'OpenAIException - {"error":{"message":"no","code":"moderation_blocked"}}'
REFUSALS: list[tuple[Answer, ProviderKind]] = [
    (error(400, code="moderation_blocked", message="no"), "moderation"),
    (error(400, code="400", message=WRAPPED), "moderation"),
    (error(400, code=None, message="Blocked by the RAI filter"), "moderation"),
    (error(403, code="content_policy_violation", message=""), "moderation"),
    (error(429, code="insufficient_quota", message="plan and billing details"), "quota"),
    (error(400, code="400", message="Budget has been exceeded! Current cost: 5"), "quota"),
    (error(402, message="top up"), "quota"),
    (error(429, message="slow down"), "rate"),
    (error(400, code="429", message="Rate limit reached"), "rate"),
    (error(401, message="who?"), "auth"),
    (error(400, code="400", message="No connected db."), "auth"),
    (error(403, message="your region is blocked"), "auth"),
    (answer({"detail": [{"msg": "field required"}]}, 422), "invalid"),
    (error(404, message="no such model"), "invalid"),
    (answer({"error": "all broken"}, 500), "server"),
    (answer(["what"], 502), "server"),
    (Answer(500, {}, b"\xff\x00<html>oops</html>"), "server"),
]


@pytest.mark.parametrize(("refused", "kind"), REFUSALS, ids=lambda value: str(value)[:60])
def test_refusals_are_classified(refused: Answer, kind: ProviderKind) -> None:
    found = refusal(refused, "an order", SCRUB)

    assert found.kind == kind
    assert found.hint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"llm_provider-retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "300"}, 0.3),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_a_server_may_say_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert Answer(429, headers).retry_after == seconds


def test_a_server_may_say_when_to_come_back_as_a_date() -> None:
    found = Answer(429, {"retry-after": formatdate(time.time() + 60)}).retry_after

    assert found == pytest.approx(60, abs=3)


def test_messages_are_one_short_line_without_secrets() -> None:
    said = "key sk-secret-key\x1b[31m\n\tBearer abcdefgh, sk-proj-123456 " + "x" * 1_000

    shown = SCRUB(said)

    assert "secret" not in shown
    assert "abcdefgh" not in shown
    assert "proj-123456" not in shown
    assert shown.isprintable()
    assert len(shown) == 300


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("queued", "pending"),
        ("processing", "pending"),
        ("warming", "pending"),
        (None, "pending"),
        (7, "pending"),
        ("Completed", "done"),
        ("succeeded", "done"),
        ("cancelled", "failed"),
        ("deleted", "failed"),
    ],
)
def test_every_word_for_a_state_is_understood(status: Any, expected: str) -> None:
    assert job_from({"status": status}, "a", SCRUB).status == expected


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ({"code": "moderation_blocked", "message": "no"}, "moderation", "moderation_blocked: no"),
        ({"code": 500, "message": "CUDA"}, "server", "500: CUDA"),
        ({"message": "out of memory"}, "server", "out of memory"),
        ("expired while queued", "server", "expired while queued"),
        (None, "server", "status failed"),
        (["what"], "server", "status failed"),
    ],
)
def test_the_error_of_a_job_has_many_forms(said: Any, kind: str, words: str) -> None:
    job = job_from({"status": "failed", "error": said}, "a", SCRUB)

    assert job.error is not None
    assert job.error.kind == kind
    assert words in job.error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "https://a/1"},
        {"urls": ["https://a/1"]},
        {"urls": [{"url": "https://a/1"}]},
        {"unsigned_urls": ["https://a/1", "https://a/1"]},
        {"video": {"url": "https://a/1"}},
        {"outputs": {"video_url": "https://a/1"}},
        {"file": "https://a/1"},
    ],
)
def test_the_address_of_the_footage_has_many_places(fields: dict[str, Any]) -> None:
    assert job_from({"status": "done", **fields}, "a", SCRUB).urls == ("https://a/1",)


def test_other_texts_are_not_taken_for_addresses() -> None:
    fields = {"url": "file:///etc/passwd", "urls": ["//a/b", "gopher://a", 5, None, [["x"]]]}

    assert job_from(fields, "a", SCRUB).urls == ()


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"usage": {"cost": 0.8}}, 800_000),
        ({"cost": "0.0000001"}, 1),
        ({"usage": {"cost": -1}}, None),
        ({"cost": "NaN"}, None),
        ({"cost": 1e30}, None),
        ({"cost": True}, None),
        ({}, None),
    ],
)
def test_the_reported_cost_is_read_in_micro_dollars(
    fields: dict[str, Any], cost: int | None
) -> None:
    assert job_from(fields, "a", SCRUB).cost_micros == cost


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"id": "a/b="}, "a/b="),
        ({"id": 12}, "12"),
        ({"task_id": "t"}, "t"),
        ({"id": ".."}, None),
        ({"id": ""}, None),
        ({"id": {"a": 1}}, None),
        ({"id": "x" * 3_000}, None),
    ],
)
def test_a_job_is_known_by_its_id(document: dict[str, Any], expected: str | None) -> None:
    assert job_id(document) == expected


# --- the list of jobs ---------------------------------------------------------------------------


def listed(name: str = "v1", **changes: Any) -> dict[str, Any]:
    job = {
        "id": name,
        "status": "queued",
        "created_at": int(NOW),
        "prompt": REQUEST.prompt,
        "model": REQUEST.model,
        "size": REQUEST.size,
        "seconds": "8",
    }
    return {key: value for key, value in {**job, **changes}.items() if value is not None}


def searched(*pages: Any, known: tuple[str, ...] = ()) -> Search:
    search = Search(REQUEST, NOW, known, names_model=True)
    for page in pages:
        assert search.next_query() is not None
        search.take(page if isinstance(page, Answer) else answer(page))
    assert search.next_query() is None
    return search


def page(*jobs: dict[str, Any], more: bool | None = False) -> dict[str, Any]:
    whole = {"object": "list", "data": [*jobs], "has_more": more}
    return {key: value for key, value in whole.items() if value is not None}


def test_the_one_job_that_matches_is_found() -> None:
    search = searched(page(listed("other", prompt="Else"), listed()))

    assert search.match is not None
    assert search.match["id"] == "v1"
    assert not search.doubt


@pytest.mark.parametrize(
    "job",
    [
        listed(prompt="Something else"),
        listed(created_at=NOW - 60),
        listed(created_at=(NOW - 60) * 1000),
        listed("known"),
        listed(prompt="Something else", created_at=None),
    ],
    ids=["prompt", "time", "milliseconds", "known", "prompt without time"],
)
def test_a_complete_list_of_other_jobs_holds_no_such_job(job: dict[str, Any]) -> None:
    search = searched(page(job), known=("known",))

    assert search.match is None
    assert not search.doubt


@pytest.mark.parametrize(
    "jobs",
    [
        [listed("a"), listed("b")],
        [listed(prompt=None)],
        [listed(prompt="A gauge…")],
        [listed(prompt="educational. A gauge falls")],
        [listed(created_at=None)],
        [listed(model="wan")],
        [listed(size="720x1280")],
        [listed(seconds="4")],
        [{"status": "queued"}],
    ],
    ids=["two", "no prompt", "cut", "wrapped", "no time", "model", "size", "seconds", "no id"],
)
def test_a_job_that_may_be_the_one_is_a_doubt(jobs: list[dict[str, Any]]) -> None:
    search = searched(page(*jobs))

    assert search.match is None
    assert search.doubt


def test_what_is_not_echoed_does_not_count_against_a_job() -> None:
    search = searched(page(listed(model=None, size="", seconds=None)))

    assert search.match is not None


def test_a_full_match_outdoes_one_that_differs() -> None:
    assert searched(page(listed("a", seconds=12), listed("b"))).match is not None


def test_the_name_of_a_gateways_model_may_have_a_prefix() -> None:
    assert searched(page(listed(model="openai/sora-2"))).match is not None


def test_pages_are_turned_until_the_jobs_are_older() -> None:
    new = page(listed("a", prompt="Else"), more=True)
    old = page(listed("b", prompt="Else"), listed("c", created_at=NOW - 99), more=True)

    search = searched(new, old)

    assert not search.doubt
    assert search.match is None


def test_a_list_in_another_order_is_read_to_its_end() -> None:
    first = page(listed("a", created_at=NOW - 99), listed("b", prompt="Else"), more=True)

    search = searched(first, page(listed("c"), more=False))

    assert search.match is not None
    assert search.match["id"] == "c"


def test_without_has_more_an_empty_page_is_the_end() -> None:
    assert not searched(page(listed(prompt="Else"), more=None), page(more=None)).doubt


def test_a_server_that_repeats_its_page_cannot_say_that_a_job_is_missing() -> None:
    same = page(listed(prompt="Else"), more=None)

    assert searched(same, same).doubt


def test_a_very_long_list_cannot_say_that_a_job_is_missing() -> None:
    pages = [page(listed(f"v{number}", prompt="Else"), more=True) for number in range(10)]

    assert "longer than 10 pages" in searched(*pages).doubt


@pytest.mark.parametrize(
    "told",
    [answer({"error": "no"}, 400), answer([1]), answer({"data": 5}), Answer(200, {}, b"<p>")],
)
def test_anything_but_a_list_is_a_doubt(told: Answer) -> None:
    assert searched(told).doubt


def test_the_clock_of_the_server_may_be_wrong() -> None:
    slow = time.time() - 3_600
    search = Search(REQUEST, time.time(), (), names_model=True)

    search.take(answer(page(listed(created_at=int(slow))), date=formatdate(slow, usegmt=True)))

    assert search.match is not None


# --- where footage may come from ----------------------------------------------------------------

PUBLIC = Gatekeeper(httpx.URL("https://93.184.216.9/v1"))
LOCAL = Gatekeeper(httpx.URL("http://127.0.0.1:8000/v1"))


@pytest.mark.parametrize(
    "address",
    [
        "http://93.184.215.14/a.mp4",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.100.100.200/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://[::1]/",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "ftp://93.184.215.14/",
        "file:///etc/passwd",
    ],
)
def test_nothing_is_fetched_from_inside_our_network(address: str) -> None:
    with pytest.raises(Refused):
        PUBLIC.check(httpx.URL(address))


def test_a_public_address_may_be_fetched_from() -> None:
    assert PUBLIC.check(httpx.URL("https://93.184.215.14/a?b=c")) == ["93.184.215.14"]


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", (text, 443)) for text in ("93.184.215.14", "10.0.0.7")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    with pytest.raises(Refused, match=r"cdn\.example is in a private network"):
        PUBLIC.check(httpx.URL("https://cdn.example/a"))


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/", "http://10.0.0.1/", "https://9.9.9.9/"])
def test_a_local_server_may_name_local_addresses(address: str) -> None:
    assert LOCAL.check(httpx.URL(address))


@pytest.mark.parametrize(
    "address", ["http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://100.100.100.200/"]
)
def test_even_a_local_server_may_not_name_a_metadata_service(address: str) -> None:
    with pytest.raises(Refused):
        LOCAL.check(httpx.URL(address))


@pytest.mark.parametrize(
    ("address", "home"),
    [
        ("https://93.184.216.9/other", True),
        ("https://93.184.216.9:443/v1", True),
        ("http://93.184.216.9/v1", False),
        ("https://93.184.216.9:444/v1", False),
        ("https://93.184.216.9.evil.example/v1", False),
        ("https://me@93.184.216.10/v1", False),
    ],
)
def test_home_is_the_same_scheme_host_and_port(address: str, home: bool) -> None:
    assert PUBLIC.is_home(httpx.URL(address)) is home
