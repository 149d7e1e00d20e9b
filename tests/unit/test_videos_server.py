from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from spritz_cli.errors import RenderError, UsageError
from spritz_cli.media import ffmpeg
from tests.videos_server.videos_api import QUIRKS, FakeVideosAPI

KEY = "sk-fake"
ORDER = {"prompt": "A gauge\nthat “falls”", "model": "veo", "seconds": "3", "size": "128x72"}

#: No certificates are needed, and loading them takes longer than most tests here.
PLAIN: dict[str, Any] = {"verify": False, "trust_env": False}


class Client(httpx.Client):
    """Sends the requests of a careful client, without its reactions to answers."""

    def __init__(self, api: FakeVideosAPI, key: str = KEY) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        super().__init__(base_url=api.base_url, headers=headers, timeout=10, **PLAIN)

    def order(self, **changes: object) -> httpx.Response:
        return self.post("/videos", json={**ORDER, **changes})

    def form(self, **changes: str) -> httpx.Response:
        fields = {**ORDER, **changes}
        return self.post("/videos", files={name: (None, text) for name, text in fields.items()})

    def ordered(self) -> str:
        return self.order().json()["id"]

    def show(self, job_id: str) -> dict:
        return self.get(f"/videos/{job_id}").json()

    def content(self, job_id: str) -> httpx.Response:
        return self.get(f"/videos/{job_id}/content")

    def listed(self, **query: str | int) -> list[str]:
        return [job["id"] for job in self.get("/videos", params=query).json()["data"]]


class Clock:
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def serving(quirk: str = "", **options) -> Iterator[tuple[FakeVideosAPI, Client]]:
    options = {"api_key": KEY, "job_seconds": 0, **options}
    with FakeVideosAPI(quirk, **options) as api, Client(api) as client:
        yield api, client


def keyless(url: str) -> httpx.Response:
    return httpx.get(url, **PLAIN)


def probe(content: bytes, folder: Path) -> ffmpeg.Probe:
    (folder / "film.mp4").write_bytes(content)
    return ffmpeg.probe(folder / "film.mp4")


# The API as documented.


@pytest.mark.parametrize("encoding", ["order", "form"])
def test_a_post_creates_a_job_and_is_charged_by_the_second(encoding: str) -> None:
    with serving(job_seconds=9, price_per_second=0.25) as (api, client):
        answer = getattr(client, encoding)()

        assert answer.status_code == 200
        assert answer.json() | {"created_at": 0} == {
            **ORDER,
            "id": api.jobs[0].id,
            "object": "video",
            "status": "queued",
            "progress": 0,
            "created_at": 0,
            "completed_at": None,
            "expires_at": None,
            "remixed_from_video_id": None,
            "error": None,
        }
        assert api.posts == len(api.jobs) == 1
        assert api.charged_usd == Decimal("0.75")
        assert api.jobs[0].prompt == ORDER["prompt"]


def test_a_job_is_queued_then_in_progress_then_completed() -> None:
    clock = Clock()
    with serving(job_seconds=10, clock=clock) as (_, client):
        job_id, seen = client.ordered(), []
        for clock.now in (1_000.0, 1_005.0, 1_010.0):
            job = client.show(job_id)
            seen.append((job["status"], job["progress"], job["completed_at"]))

    assert seen == [("queued", 0, None), ("in_progress", 50, None), ("completed", 100, 1_010)]


def test_the_content_is_a_real_film_of_the_length_and_size_asked_for(tmp_path: Path) -> None:
    with serving() as (_, client):
        answer = client.content(client.ordered())

    film = probe(answer.content, tmp_path)
    assert answer.headers["content-type"] == "video/mp4"
    assert (film.duration_seconds, film.width, film.height) == (3.0, 128, 72)


def test_an_unfinished_job_has_no_content() -> None:
    with serving(job_seconds=9) as (_, client):
        assert client.content(client.ordered()).status_code == 404


def test_the_list_is_paged_newest_first() -> None:
    with serving() as (_, client):
        first, second, third = (client.ordered() for _ in range(3))

        assert client.listed() == [third, second, first]
        assert client.listed(limit=2) == [third, second]
        assert client.get("/videos", params={"limit": 2}).json()["has_more"] is True
        assert client.listed(after=second) == [first]
        assert client.listed(order="asc", after=second) == [third]
        assert client.get("/videos", params={"limit": 0}).status_code == 400
        assert client.get("/videos", params={"after": "nobody"}).status_code == 404


def test_a_deleted_job_is_gone_and_stays_charged() -> None:
    with serving() as (api, client):
        job_id = client.ordered()

        assert client.delete(f"/videos/{job_id}").json()["deleted"] is True
        assert client.get(f"/videos/{job_id}").status_code == 404
        assert client.listed() == []
        assert api.charged_usd == Decimal("0.30")


def test_every_request_needs_the_key() -> None:
    with serving() as (api, client), Client(api, "wrong") as stranger:
        job_id = client.ordered()

        assert stranger.order().json()["error"]["code"] == "invalid_api_key"
        assert stranger.content(job_id).status_code == 401
        assert (api.posts, len(api.jobs)) == (2, 1)


def test_without_a_key_of_its_own_the_server_takes_any() -> None:
    with serving(api_key=None) as (_, client):
        assert client.order().status_code == 200


@pytest.mark.parametrize(
    "changes",
    [{"prompt": ""}, {"seconds": "0"}, {"seconds": "long"}, {"size": "big"}, {"size": "127x72"}],
    ids=str,
)
def test_a_senseless_order_is_refused_and_free(changes: dict[str, str]) -> None:
    with serving() as (api, client):
        assert client.order(**changes).status_code == 400
        assert (api.posts, api.charged_usd) == (1, 0)


def test_a_repeated_idempotency_key_is_charged_twice() -> None:
    with serving() as (api, client):
        for _ in range(2):
            client.post("/videos", json=ORDER, headers={"Idempotency-Key": "one"})

        assert [job.idempotency_key for job in api.jobs] == ["one", "one"]
        assert api.charged_usd == Decimal("0.60")


def test_every_request_is_remembered() -> None:
    with serving() as (api, client):
        client.form(extra="1")
        client.get("/videos?limit=5")

        (method, path, headers, fields), listing = api.requests
        assert (method, path) == ("POST", "/v1/videos")
        assert headers["authorization"] == f"Bearer {KEY}"
        assert fields == {**ORDER, "extra": "1"}
        assert listing.path == "/v1/videos?limit=5"


def test_a_file_in_a_form_arrives_as_its_bytes() -> None:
    with serving() as (api, client):
        client.post("/videos", data=ORDER, files={"input_reference": ("a.png", b"\x89PNG\r\n\x00")})

        assert api.requests[0].fields["input_reference"] == b"\x89PNG\r\n\x00"


def test_the_pace_of_polls_can_be_told() -> None:
    with serving(poll_after_ms=20) as (_, client):
        assert client.order().headers["openai-poll-after-ms"] == "20"


def test_ids_and_films_are_the_same_in_every_run() -> None:
    seen = []
    for _ in range(2):
        with serving() as (_, client):
            job_id = client.ordered()
            seen.append((job_id, client.content(job_id).content))

    assert seen[0] == seen[1]


def test_posts_at_the_same_time_are_all_counted() -> None:
    with serving() as (api, client), ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: client.ordered(), range(24)))

        assert len(set(ids)) == api.posts == len(api.jobs) == 24


def test_an_unknown_quirk_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError) as failure:
        FakeVideosAPI("bad_keys")

    assert "bad_key" in failure.value.hint


def test_every_quirk_says_who_deviates_and_how() -> None:
    assert all(": " in sentence for sentence in QUIRKS.values())


# Refused POSTs.


@pytest.mark.parametrize(
    ("quirk", "status", "code"),
    [
        ("insufficient_quota", 429, "insufficient_quota"),
        ("payment_required", 402, "402"),
        ("bad_key", 401, "invalid_api_key"),
        ("moderation_at_post", 400, "moderation_blocked"),
        ("post_500_refused", 500, None),
        ("rate_limited_always", 429, "rate_limit_exceeded"),
    ],
)
def test_a_refused_post_is_free(quirk: str, status: int, code: str | None) -> None:
    with serving(quirk) as (api, client):
        answers = [client.order() for _ in range(3)]

        assert {one.status_code for one in answers} == {status}
        assert answers[0].json()["error"]["code"] == code
        assert (api.posts, len(api.jobs), api.charged_usd) == (3, 0, 0)


@pytest.mark.parametrize(
    ("quirk", "status"), [("sglang_warming_up", 503), ("rate_limited", 429)], ids=str
)
def test_only_the_first_posts_are_refused(quirk: str, status: int) -> None:
    with serving(quirk, refusals=2) as (api, client):
        answers = [client.order() for _ in range(3)]

        assert [one.status_code for one in answers] == [status, status, 200]
        assert answers[0].headers["retry-after"] == "1"
        assert len(api.jobs) == 1


def test_a_list_is_refused_too_when_the_key_is_bad() -> None:
    with serving("bad_key") as (_, client):
        assert client.get("/videos").status_code == 401


def test_sglang_wants_a_number_of_seconds() -> None:
    with serving("sglang_int_seconds") as (_, client):
        assert client.order(seconds="3").status_code == 422
        assert client.order(seconds=3).status_code == 200
        assert client.form(seconds="3").status_code == 200


def test_openai_wants_one_of_three_texts_and_four_sizes() -> None:
    with serving("openai_strict") as (_, client):
        wide = {"size": "1280x720"}
        assert client.order(seconds="8", **wide).status_code == 200
        assert client.order(seconds=8, **wide).status_code == 400
        assert client.order(seconds="5", **wide).status_code == 400
        assert client.order(seconds="8").status_code == 400


def test_vllm_reads_only_forms() -> None:
    with serving("vllm_multipart_only") as (api, client):
        assert client.order().json()["detail"][0]["loc"] == ["body", "prompt"]
        assert client.form().status_code == 200
        assert len(api.jobs) == 1


# POSTs with an unknown outcome.


def test_a_reset_before_reading_creates_nothing() -> None:
    with serving("reset_before_reading") as (api, client):
        with pytest.raises(httpx.TransportError):
            client.order()
        assert (api.posts, len(api.jobs)) == (1, 0)


def test_a_reset_after_the_post_has_created_the_job() -> None:
    with serving("reset_after_post") as (api, client):
        with pytest.raises(httpx.TransportError):
            client.order()
        assert (api.posts, client.listed()) == (1, [api.jobs[0].id])


def test_an_answer_that_never_comes_has_created_the_job() -> None:
    with serving("slow_post_timeout") as (api, client):
        with pytest.raises(httpx.ReadTimeout):
            client.post("/videos", json=ORDER, timeout=0.1)
        assert (api.posts, api.charged_usd) == (1, Decimal("0.30"))


@pytest.mark.parametrize(
    ("quirk", "status", "kind", "jobs"),
    [
        ("post_500_created", 500, "application/json", 1),
        ("html_200", 200, "text/html", 1),
        ("html_200_refused", 200, "text/html", 0),
    ],
)
def test_an_answer_may_say_nothing_of_the_job(
    quirk: str, status: int, kind: str, jobs: int
) -> None:
    with serving(quirk) as (api, client):
        answer = client.order()

        assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
        assert len(api.jobs) == jobs


def test_a_senseless_order_is_told_so_even_where_answers_hide() -> None:
    with serving("post_500_created") as (api, client):
        assert client.order(prompt="").status_code == 400
        assert not api.jobs


# States of jobs.


@pytest.mark.parametrize(
    ("quirk", "status", "error"),
    [
        ("job_fails", "failed", {"code": "server_error"}),
        ("moderation_in_job", "failed", {"code": "moderation_blocked"}),
        ("job_expires", "expired", {"code": "expired"}),
        ("sglang_error_without_code", "failed", {}),
        ("vllm_failed_as_500", "failed", {"code": 500}),
    ],
)
def test_a_job_fails_and_stays_charged(quirk: str, status: str, error: dict) -> None:
    with serving(quirk) as (api, client):
        job = client.show(client.ordered())

        assert job["status"] == status
        assert job["error"] == {**error, "message": job["error"]["message"]}
        assert client.content(job["id"]).status_code == 404
        assert api.charged_usd == Decimal("0.30")


def test_vllm_shows_a_failed_job_with_http_500() -> None:
    with serving("vllm_failed_as_500") as (_, client):
        job_id = client.ordered()

        assert client.get(f"/videos/{job_id}").status_code == 500
        assert client.get("/videos").status_code == 200


def test_a_job_may_never_finish() -> None:
    with serving("never_finishes") as (_, client):
        job = client.show(client.ordered())

        assert (job["status"], job["progress"]) == ("in_progress", 40)
        assert client.content(job["id"]).status_code == 404


@pytest.mark.parametrize(
    ("quirk", "status"),
    [
        ("unknown_status", "warming"),
        ("litellm_processing", "processing"),
        ("gemini", "processing"),
        ("openrouter", "pending"),
    ],
)
def test_a_pending_job_has_many_names(quirk: str, status: str) -> None:
    clock = Clock()
    with serving(quirk, job_seconds=10, clock=clock) as (_, client):
        job_id = client.ordered()

        assert client.show(job_id)["status"] == status
        clock.now += 10
        assert client.show(job_id)["status"] == "completed"


def test_litellm_leaves_fields_out() -> None:
    with serving("litellm_processing") as (_, client):
        assert not {"created_at", "size", "seconds", "progress"} & {*client.show(client.ordered())}


def test_vllm_forgets_its_jobs_in_a_restart_and_keeps_the_money() -> None:
    with serving("vllm_forgets") as (api, client):
        before, address = client.ordered(), api.base_url
        assert client.show(before)["status"] == "completed"

        api.restart()

        assert api.base_url == address
        with Client(api) as again:
            assert again.get(f"/videos/{before}").status_code == 404
            assert again.listed() == []
            assert again.listed() != [again.ordered()]
        assert len({job.id for job in api.jobs}) == 2
        assert api.charged_usd == Decimal("0.60")


def test_another_server_remembers_its_jobs_after_a_restart() -> None:
    with serving() as (api, client):
        before = client.ordered()

        api.restart()

        with Client(api) as again:
            assert again.listed() == [before]


def test_litellm_shows_another_id_at_each_poll_and_knows_only_the_first() -> None:
    with serving("litellm_drifting_ids") as (_, client):
        created = client.ordered()
        shown = [client.show(created)["id"] for _ in range(2)]

        assert len({created, *shown}) == 3
        assert client.content(shown[0]).status_code == 500
        assert client.content(created).status_code == 200


def test_the_first_polls_may_fail() -> None:
    with serving("flaky_polls") as (_, client):
        job_id = client.ordered()

        assert client.get(f"/videos/{job_id}").status_code == 502
        with pytest.raises(httpx.TransportError):
            client.show(job_id)
        assert client.get(f"/videos/{job_id}").status_code == 429
        assert client.show(job_id)["status"] == "completed"


# Errors and lists.


@pytest.mark.parametrize(
    "quirk", ["litellm_wrapped_errors,rate_limited", "rate_limited, litellm_wrapped_errors"]
)
def test_litellm_buries_the_code_in_the_message(quirk: str) -> None:
    with serving(quirk) as (_, client):
        answer = client.order()

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "429")
    assert "rate_limit_exceeded" in error["message"]
    assert answer.headers["llm_provider-retry-after"] == "1"
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("quirk", "status"), [("list_unsupported", 404), ("litellm_list_refused", 400)]
)
def test_a_server_may_have_no_list(quirk: str, status: int) -> None:
    with serving(quirk) as (_, client):
        client.ordered()

        assert client.get("/videos").status_code == status


def test_a_list_may_not_say_the_prompts() -> None:
    with serving("list_without_prompts") as (_, client):
        job_id = client.ordered()

        assert client.get("/videos").json()["data"][0]["prompt"] is None
        assert client.show(job_id)["prompt"] == ORDER["prompt"]


def test_azure_reads_the_key_from_a_header_of_its_own() -> None:
    with serving("azure_api_key,job_fails") as (_, client):
        assert client.order().status_code == 401
        assert client.get("/videos", headers={"api-key": KEY}).status_code == 200


# Delivery of films.


def test_sglang_knows_no_variant() -> None:
    with serving("sglang_variant_404") as (_, client):
        path = f"/videos/{client.ordered()}/content"

        assert client.get(path, params={"variant": "video"}).status_code == 404
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(("quirk", "status"), [("sglang_cloud_url", 400), ("signed_urls", 404)])
def test_a_film_may_lie_on_another_origin(quirk: str, status: int) -> None:
    with serving(quirk) as (api, client):
        job_id = client.ordered()
        url = client.show(job_id)["url"]

        assert client.content(job_id).status_code == status
        assert keyless(url).headers["content-type"] == "video/mp4"
        assert keyless(url.partition("?")[0]).status_code == 403
        assert [call.method for call in api.elsewhere] == ["GET", "GET"]
        assert not api.leaks


def test_sglang_names_the_remedy() -> None:
    with serving("sglang_cloud_url") as (_, client):
        error = client.content(client.ordered()).json()["error"]

    assert error["message"].startswith("Please use the cloud URL")


def test_a_key_that_reaches_the_other_origin_is_seen() -> None:
    with serving("signed_urls") as (api, client):
        url = client.show(client.ordered())["url"]
        client.get(url)

        assert api.leaks[0].headers["authorization"] == f"Bearer {KEY}"


def test_gemini_has_a_url_that_needs_the_key_and_no_content() -> None:
    with serving("gemini") as (_, client):
        job_id = client.ordered()
        url = client.show(job_id)["url"]

        assert client.content(job_id).status_code == 404
        assert keyless(url).status_code == 401
        assert client.get(url).headers["content-type"] == "video/mp4"


def test_openrouter_has_fields_of_its_own() -> None:
    with serving("openrouter") as (_, client):
        answer = client.post("/videos", json={"prompt": "x", "duration": 3, "size": "128x72"})
        job = client.get(answer.json()["polling_url"]).json()

        assert answer.status_code == 202
        assert job["usage"]["cost"] == pytest.approx(0.30)
        assert "url" not in job
        assert client.get(job["unsigned_urls"][0]).headers["content-type"] == "video/mp4"
        assert keyless(job["unsigned_urls"][0]).status_code == 401
        assert client.form().status_code == 400
        assert client.get("/videos").status_code == 404


def test_openrouter_tells_errors_as_text() -> None:
    with serving("openrouter,moderation_in_job") as (_, client):
        job = client.show(client.ordered())

    assert job["status"] == "failed"
    assert "moderation" in job["error"]


def test_content_may_be_a_redirect_that_needs_the_key() -> None:
    with serving("redirect_content") as (api, client):
        answer = client.content(client.ordered())

        assert answer.status_code == 302
        assert answer.headers["location"].startswith(api.base_url)
        assert keyless(answer.headers["location"]).status_code == 401
        assert client.get(answer.headers["location"]).headers["content-type"] == "video/mp4"


def test_content_may_be_a_redirect_to_another_origin() -> None:
    with serving("redirect_cross_origin") as (api, client):
        answer = client.content(client.ordered())

        assert answer.status_code == 302
        assert not answer.headers["location"].startswith(api.base_url)
        assert keyless(answer.headers["location"]).headers["content-type"] == "video/mp4"


def test_drifting_ids_survive_in_urls() -> None:
    with serving("litellm_drifting_ids,redirect_cross_origin") as (_, client):
        location = client.content(client.ordered()).headers["location"]

        assert keyless(location).status_code == 200


def test_content_may_come_later_than_completed() -> None:
    with serving("completes_too_early") as (_, client):
        job_id = client.ordered()

        assert client.show(job_id)["status"] == "completed"
        assert [client.content(job_id).status_code for _ in range(3)] == [404, 404, 200]


def test_litellm_calls_a_failed_job_completed() -> None:
    with serving("litellm_failed_as_completed") as (_, client):
        job_id = client.ordered()

        assert client.show(job_id)["status"] == "completed"
        assert client.content(job_id).status_code == 500


def test_prism_serves_only_what_accept_names() -> None:
    with serving("strict_accept") as (_, client):
        path = f"/videos/{client.ordered()}/content"

        assert client.get(path, headers={"Accept": "application/binary"}).status_code == 406
        assert client.get(path, headers={"Accept": "video/mp4"}).status_code == 200


# Delivered content.


def test_content_may_be_json() -> None:
    with serving("json_as_content") as (_, client):
        answer = client.content(client.ordered())

    assert (answer.status_code, "error" in answer.json()) == (200, True)


def test_content_may_be_empty() -> None:
    with serving("empty_content") as (_, client):
        answer = client.content(client.ordered())

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("quirk", ["truncated_body", "truncated_body,signed_urls"])
def test_a_film_may_end_half_way(quirk: str) -> None:
    with serving(quirk) as (_, client):
        job_id = client.ordered()
        url = client.show(job_id).get("url", f"/videos/{job_id}/content")

        with pytest.raises(httpx.RemoteProtocolError):
            client.get(url)


def test_garbage_looks_like_a_film_and_does_not_play(tmp_path: Path) -> None:
    with serving() as (api, client):
        job_id = client.ordered()
        real = client.content(job_id).content
        api.behave("garbage_video")
        fake = client.content(job_id).content

    assert (fake[4:8], len(fake)) == (b"ftyp", len(real))
    with pytest.raises(RenderError):
        probe(fake, tmp_path)


def test_a_film_may_be_shorter_than_its_job_says(tmp_path: Path) -> None:
    with serving("short_video") as (_, client):
        job = client.show(client.ordered())
        film = probe(client.content(job["id"]).content, tmp_path)

    assert (job["seconds"], film.duration_seconds) == ("3", 2.0)


def test_a_film_may_lie_on_its_side(tmp_path: Path) -> None:
    with serving("wrong_size") as (_, client):
        film = probe(client.content(client.ordered()).content, tmp_path)

    assert (film.width, film.height) == (72, 128)


# A server that outlives its process.


def test_jobs_and_charges_survive_in_the_state_file(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with serving("rate_limited", state=state) as (_, client):
        client.order()
        before = client.ordered()

    kept = json.loads(state.read_text())
    assert (kept["posts"], Decimal(kept["charged_usd"])) == (2, Decimal("0.3"))
    assert kept["jobs"][0]["order"]["prompt"] == ORDER["prompt"]
    with serving(state=state) as (api, client):
        assert client.listed() == [before]
        assert client.ordered() != before
        assert (api.posts, api.charged_usd) == (3, Decimal("0.60"))


def test_vllm_forgets_what_only_the_state_file_knows(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with serving(state=state) as (_, client):
        client.ordered()
    with serving("vllm_forgets", state=state) as (api, client):
        assert client.listed() == []
        assert len(api.jobs) == 1


def test_it_runs_as_a_process_and_dies_without_losing_a_charge(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "tests.videos_server", "--state", str(state)]
    process = subprocess.Popen([*command, "--quirk", "reset_after_post"], stdout=subprocess.PIPE)
    try:
        url = process.stdout.readline().decode().strip()
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{url}/videos", json=ORDER, **PLAIN)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    assert Decimal(json.loads(state.read_text())["charged_usd"]) == Decimal("0.3")


def test_a_mistake_on_the_command_line_is_explained() -> None:
    command = [sys.executable, "-m", "tests.videos_server", "--quirk", "gemni"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert "gemini" in done.stderr
