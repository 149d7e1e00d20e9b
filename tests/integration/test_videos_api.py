"""The client against real HTTP servers that depart from the documented API, one way each."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spritz_cli.catalog.providers import load_profile
from spritz_cli.errors import OutcomeUnknown, ProviderError, StillRunning, StorageError, UsageError
from spritz_cli.settings import shipped
from spritz_cli.videos_api import client, download
from spritz_cli.videos_api.client import RemoteJob, VideoRequest, VideosAPI
from spritz_cli.videos_api.profile import Profile
from tests.videos_server.videos_api import FakeVideosAPI
from tests.videos_server.wire import Call, Listener, Reply, error_reply, json_reply

SHIPPED = [shipped("providers.yaml")]
OPENAI = load_profile("openai", SHIPPED)
HERE = "127.0.0.1"
KEY = "sk-test-0123456789"
REQUEST = VideoRequest("A gauge falls,\nslowly: “Grüße”", "sora-2", "1280x720", 4)


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self) -> float:
        return time.time() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connect(clock: Clock) -> Iterator[Callable[..., VideosAPI]]:
    """Return a maker of clients that are closed after the test."""
    opened = []

    def make(
        api: FakeVideosAPI | str, profile: Profile = OPENAI, key: str | None = KEY
    ) -> VideosAPI:
        base_url = api if isinstance(api, str) else api.base_url
        made = VideosAPI(
            profile, key, base_url=base_url, sleep=clock.sleep, clock=clock, jitter=lambda: 0.5
        )
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


@pytest.fixture
def fake(clock: Clock) -> Iterator[Callable[..., FakeVideosAPI]]:
    """Return a maker of fake providers that share the test's clock."""
    opened = []

    def make(quirk: str = "", **options: Any) -> FakeVideosAPI:
        api = FakeVideosAPI(quirk, **{"clock": clock, "job_seconds": 20, **options})
        api.start()
        opened.append(api)
        return api

    yield make
    for api in opened:
        api.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., str]]:
    """Return a maker of servers that answer every request with one function; yields base urls."""
    opened = []

    def make(respond: Callable[[Call], Reply] | Reply) -> str:
        reply = respond if callable(respond) else lambda _: respond
        opened.append(Listener(reply))
        return f"{opened[-1].origin}/v1"

    yield make
    for server in opened:
        server.close()


def ignore(_: float) -> None:
    pass


def submit(api: VideosAPI, request: VideoRequest = REQUEST) -> RemoteJob:
    return api.submit(request, idempotency_key="order-1")


def finish(api: VideosAPI, job: RemoteJob, seconds: float = 600) -> RemoteJob:
    return api.wait(job.id, seconds_left=seconds, on_progress=ignore)


# --- ordering -----------------------------------------------------------------------------------


def test_an_order_is_one_form_with_the_documented_fields(fake: Any, connect: Any) -> None:
    api = fake("openai_strict", api_key=KEY)

    job = submit(connect(api))

    method, path, headers, fields = api.requests[0]
    assert (method, path, api.posts) == ("POST", "/v1/videos", 1)
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["idempotency-key"] == "order-1"
    assert {name: str(value).replace("\r\n", "\n") for name, value in fields.items()} == {
        "prompt": REQUEST.prompt,
        "model": "sora-2",
        "size": "1280x720",
        "seconds": "4",
    }
    assert (job.id, job.status) == (api.jobs[0].id, "pending")


def test_an_order_can_be_json_with_other_fields(fake: Any, connect: Any) -> None:
    api = fake("sglang_int_seconds")
    profile = replace(
        load_profile("sglang", SHIPPED), extra_fields={"fps": 24, "hd": True}, send_model=False
    )

    submit(connect(api, profile))

    fields = api.requests[0].fields
    assert fields == {
        "prompt": REQUEST.prompt,
        "size": "1280x720",
        "seconds": 4,
        "fps": 24,
        "hd": True,
    }


def test_extra_fields_of_a_form_are_texts(fake: Any, connect: Any) -> None:
    api = fake("vllm_multipart_only")

    submit(connect(api, replace(OPENAI, extra_fields={"fps": 24, "hd": True}, size_field=None)))

    fields = api.requests[0].fields
    assert (fields["fps"], fields["hd"], "size" in fields) == ("24", "true", False)


def test_a_gateway_is_told_in_a_header_not_to_repeat_orders(fake: Any, connect: Any) -> None:
    api = fake()

    submit(connect(api, load_profile("litellm", SHIPPED)))

    assert api.requests[0].headers["x-litellm-num-retries"] == "0"
    assert api.requests[0].headers["idempotency-key"] == "order-1"


def test_a_key_can_travel_in_a_header_of_its_own(fake: Any, connect: Any) -> None:
    api = fake("azure_api_key", api_key=KEY)

    submit(connect(api, replace(OPENAI, auth="header:api-key")))

    assert "authorization" not in api.requests[0].headers


@pytest.mark.parametrize(("auth", "key"), [("bearer", None), ("bearer", " "), ("none", KEY)])
def test_a_server_without_keys_sees_none(
    fake: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, auth: str, key: str | None
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody-else")
    api = fake()

    submit(connect(api, replace(OPENAI, auth=auth), key))

    assert "authorization" not in api.requests[0].headers
    assert "somebody-else" not in str(api.requests)


REFUSALS = {
    "rate_limited": "rate",
    "rate_limited_always": "rate",
    "sglang_warming_up": "rate",
    "insufficient_quota": "quota",
    "payment_required": "quota",
    "bad_key": "auth",
    "moderation_at_post": "moderation",
}


@pytest.mark.parametrize("wrapped", ["", ", litellm_wrapped_errors"], ids=["plain", "wrapped"])
@pytest.mark.parametrize(("quirk", "kind"), REFUSALS.items())
def test_a_refused_order_costs_nothing_and_is_sent_once(
    fake: Any, connect: Any, quirk: str, kind: str, wrapped: str
) -> None:
    api = fake(quirk + wrapped)

    with pytest.raises(ProviderError) as caught:
        submit(connect(api))

    assert type(caught.value) is ProviderError
    assert caught.value.kind == kind
    assert (api.posts, len(api.jobs)) == (1, 0)


def test_a_refusal_says_how_long_to_wait(fake: Any, connect: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        submit(connect(fake("rate_limited")))

    assert caught.value.retry_after == 1


@pytest.mark.parametrize(
    "quirk",
    [
        "post_500_created",
        "post_500_refused",
        "reset_after_post",
        "reset_before_reading",
        "html_200",
        "html_200_refused",
        "slow_post_timeout",
    ],
)
def test_an_order_without_a_clear_answer_is_never_repeated(
    fake: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, quirk: str
) -> None:
    monkeypatch.setattr(client, "POST_SECONDS", 0.5)
    api = fake(quirk)

    with pytest.raises(OutcomeUnknown):
        submit(connect(api))

    assert api.posts <= 1


@pytest.mark.parametrize("status", [303, 408, 409, 499, 500, 502, 503, 504, 520])
def test_a_status_that_may_hide_an_order_is_ambiguous(
    scripted: Any, connect: Any, status: int
) -> None:
    with pytest.raises(OutcomeUnknown):
        submit(connect(scripted(error_reply(status, "who knows"))))


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 405, 413, 415, 422, 451])
def test_a_status_of_refusal_is_final(scripted: Any, connect: Any, status: int) -> None:
    calls = []

    def respond(call: Call) -> Reply:
        calls.append(call)
        return Reply(status, b"{}", {"Location": "/v1/videos"})

    with pytest.raises(ProviderError) as caught:
        submit(connect(scripted(respond)))

    assert type(caught.value) is ProviderError
    assert caught.value.kind == "invalid"
    assert len(calls) == 1


BODILESS = (
    "OpenAIException - {'error': {'message': \"Missing required parameter: 'prompt'.\"}}",
    'Hosted_vllmException - {"detail":[{"type":"missing","loc":["body","prompt"]}]}',
    "OpenAIException - you must provide a model parameter",
    "OpenAIException - Unsupported content type",
)


@pytest.mark.parametrize("said", BODILESS)
def test_a_refusal_of_what_a_gateway_sent_again_without_its_body_is_ambiguous(
    scripted: Any, connect: Any, said: str
) -> None:
    reply = error_reply(400, f"{said}\n\nLiteLLM: model group 'sora-2' failed.", "400")
    marked = replace(reply, headers={**reply.headers, "x-litellm-version": "1.105.3"})

    with pytest.raises(OutcomeUnknown):
        submit(connect(scripted(marked)))
    with pytest.raises(ProviderError) as caught:
        submit(connect(scripted(reply)))
    assert type(caught.value) is ProviderError


@pytest.mark.parametrize(
    "said", ["Invalid 'seconds': 5.", "Missing: aspect_ratio", "no such model"]
)
def test_a_refusal_of_what_we_sent_through_a_gateway_is_final(
    scripted: Any, connect: Any, said: str
) -> None:
    reply = error_reply(400, f"{said}\n\nLiteLLM: model group 'sora-2' failed.", "400")
    marked = replace(reply, headers={**reply.headers, "x-litellm-version": "1.105.3"})

    with pytest.raises(ProviderError) as caught:
        submit(connect(scripted(marked)))
    assert type(caught.value) is ProviderError


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"v1"', b"{}", b'{"id":""}', b"[" * 99_999])
def test_an_acceptance_without_an_id_is_ambiguous(scripted: Any, connect: Any, body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        submit(connect(scripted(Reply(200, body, {"Content-Type": "application/json"}))))


@pytest.mark.parametrize("status", [200, 500])
def test_an_order_may_fail_at_once(scripted: Any, connect: Any, status: int) -> None:
    error = {"code": "moderation_blocked", "message": "no"}
    document = {"id": "v1", "object": "video", "status": "failed", "error": error}

    job = submit(connect(scripted(json_reply(document, status))))

    assert (job.id, job.status) == ("v1", "failed")
    assert job.error is not None
    assert job.error.kind == "moderation"


def test_an_order_that_never_left_is_known_as_such(connect: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"

        with pytest.raises(ProviderError) as caught:
            submit(connect(address))

    assert caught.value.kind == "unreachable"
    assert not isinstance(caught.value, OutcomeUnknown)


def test_a_host_without_an_address_is_unreachable(connect: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        submit(connect("http://nowhere.invalid/v1"))

    assert caught.value.kind == "unreachable"


@pytest.mark.parametrize("url", ["ftp://a", "host:80/v1", "https://me:pw@host/v1", "http://a?b=c"])
def test_a_base_url_that_cannot_be_used_is_a_setting_to_mend(connect: Any, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(url)

    assert "pw" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("key", ["sk-a b", "sk-a\nX: y", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_a_setting_to_mend(connect: Any, key: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect("http://127.0.0.1:1/v1", key=key)

    assert key not in caught.value.message + caught.value.hint


def test_the_key_is_in_no_message_and_no_traceback(
    scripted: Any, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api = connect(scripted(error_reply(401, f"Incorrect API key provided: {KEY}\x1b[31m")))

    with pytest.raises(ProviderError) as caught:
        submit(api)

    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert KEY not in told + repr(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.message.isprintable()


# --- finding a job whose order was not answered -------------------------------------------------


@pytest.mark.parametrize("quirk", ["reset_after_post", "post_500_created", "html_200"])
def test_a_job_is_found_by_what_it_was_asked_for(fake: Any, connect: Any, quirk: str) -> None:
    api = fake()
    client = connect(api)
    other = submit(client, replace(REQUEST, prompt="Something else"))
    sibling = submit(client)
    api.behave(quirk)
    since = time.time()
    with pytest.raises(OutcomeUnknown):
        submit(client)

    api.behave("")
    job = client.find(REQUEST, since=since, known={sibling.id})

    assert job is not None
    assert job.id == api.jobs[-1].id
    assert job.id not in (other.id, sibling.id)
    assert api.posts == 3


def test_a_complete_list_without_the_job_says_so(fake: Any, connect: Any) -> None:
    api = fake("post_500_refused")
    client = connect(api)
    with pytest.raises(OutcomeUnknown):
        submit(client)

    assert client.find(REQUEST, since=time.time(), known=()) is None


def test_many_jobs_are_searched_page_by_page(fake: Any, connect: Any) -> None:
    api = fake()
    client = connect(api)
    wanted = submit(client)
    for number in range(120):
        submit(client, replace(REQUEST, prompt=f"Another {number}"))

    job = client.find(REQUEST, since=time.time() - 60, known=())

    assert job is not None
    assert job.id == wanted.id
    assert [call.query.get("limit") for call in api.requests if call.method == "GET"] == ["100"] * 2


@pytest.mark.parametrize(
    "quirk", ["list_unsupported", "litellm_list_refused", "list_without_prompts", "bad_key"]
)
def test_a_list_that_cannot_tell_leaves_the_outcome_unknown(
    fake: Any, connect: Any, quirk: str
) -> None:
    api = fake()
    client = connect(api)
    submit(client)
    api.behave(quirk)

    with pytest.raises(OutcomeUnknown):
        client.find(REQUEST, since=time.time(), known=())


def test_two_jobs_of_one_order_leave_the_outcome_unknown(fake: Any, connect: Any) -> None:
    client = connect(fake())
    submit(client)
    submit(client)

    with pytest.raises(OutcomeUnknown, match="2 jobs match"):
        client.find(REQUEST, since=time.time(), known=())


def test_a_server_whose_list_hides_jobs_is_not_asked(fake: Any, connect: Any) -> None:
    api = fake()

    with pytest.raises(OutcomeUnknown):
        connect(api, replace(OPENAI, lists=False)).find(REQUEST, since=time.time(), known=())

    assert not api.requests


def test_a_server_that_is_gone_leaves_the_outcome_unknown(connect: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        connect("http://127.0.0.1:9/v1").find(REQUEST, since=time.time(), known=())


# --- waiting ------------------------------------------------------------------------------------


def test_a_job_is_polled_until_it_is_done(fake: Any, connect: Any, clock: Clock) -> None:
    client = connect(fake())
    seen: list[float] = []

    job = client.wait(submit(client).id, seconds_left=600, on_progress=seen.append)

    assert job.status == "done"
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) >= 3
    assert clock.slept[:3] == [5, 6.25, 7.8125]


@pytest.mark.parametrize(("asked", "slept"), [(2_000, 2), (10, 1), (90_000, 30)])
def test_the_server_sets_the_pace_within_reason(
    fake: Any, connect: Any, clock: Clock, asked: int, slept: float
) -> None:
    client = connect(fake(poll_after_ms=asked))

    finish(client, submit(client))

    assert set(clock.slept) == {slept}


@pytest.mark.parametrize(
    "quirk",
    [
        "flaky_polls",
        "litellm_drifting_ids",
        "litellm_processing",
        "openrouter",
        "gemini",
        "unknown_status",
    ],
)
def test_a_job_is_recognised_as_done_however_it_is_told(
    fake: Any, connect: Any, quirk: str
) -> None:
    api = fake(quirk)
    client = connect(api, replace(OPENAI, encoding="json") if quirk == "openrouter" else OPENAI)

    job = submit(client)
    done = finish(client, job)

    assert (done.id, done.status) == (job.id, "done")
    assert api.posts == 1


def test_an_unknown_status_is_logged_once(
    fake: Any, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(fake("unknown_status"))

    finish(client, submit(client))

    assert [record.message for record in caplog.records if "warming" in record.message] == [
        f"{client._host}: unknown status “warming”, treated as pending"
    ]


@pytest.mark.parametrize(
    ("quirk", "kind"),
    [
        ("job_fails", "server"),
        ("moderation_in_job", "moderation"),
        ("sglang_error_without_code", "server"),
        ("vllm_failed_as_500", "server"),
        ("job_expires", "server"),
        ("moderation_in_job, vllm_failed_as_500", "moderation"),
    ],
)
def test_a_job_is_recognised_as_failed_however_it_is_told(
    fake: Any, connect: Any, quirk: str, kind: str
) -> None:
    client = connect(fake(quirk))

    job = finish(client, submit(client))

    assert job.status == "failed"
    assert job.error is not None
    assert job.error.kind == kind
    assert job.error.hint


def test_a_job_that_outlasts_the_deadline_can_be_resumed(
    fake: Any, connect: Any, clock: Clock
) -> None:
    api = fake("never_finishes")
    client = connect(api)
    job = submit(client)

    with pytest.raises(StillRunning):
        finish(client, job, seconds=100)
    api.behave("")

    assert sum(clock.slept) == pytest.approx(100, abs=2)
    assert finish(client, job).status == "done"
    assert api.posts == 1


def test_a_job_is_polled_once_even_when_the_time_is_up(fake: Any, connect: Any) -> None:
    client = connect(fake(job_seconds=0))

    assert finish(client, submit(client), seconds=-5).status == "done"


def test_a_forgotten_job_is_lost_after_half_a_minute(fake: Any, connect: Any, clock: Clock) -> None:
    api = fake("vllm_forgets")
    client = connect(api)
    job = submit(client)
    api.restart()

    with pytest.raises(ProviderError) as caught:
        finish(client, job)

    assert caught.value.kind == "lost"
    assert sum(clock.slept) == pytest.approx(30)


def test_a_job_may_be_unknown_at_first(scripted: Any, connect: Any) -> None:
    answers = [error_reply(404, "no such job")] * 3 + [json_reply({"id": "a", "status": "done"})]

    job = finish(connect(scripted(lambda _: answers.pop(0))), RemoteJob("a", "pending"))

    assert job.status == "done"


def test_a_key_that_is_refused_ends_the_waiting_at_once(
    fake: Any, connect: Any, clock: Clock
) -> None:
    api = fake()
    client = connect(api)
    job = submit(client)
    api.behave("bad_key")

    with pytest.raises(ProviderError) as caught:
        finish(client, job)

    assert caught.value.kind == "auth"
    assert not clock.slept


def test_eight_failed_polls_in_a_row_are_tolerated(
    scripted: Any, connect: Any, clock: Clock
) -> None:
    answers = [error_reply(503, "busy", retry_after="500")] * 4 + [Reply(0, fault="reset")] * 4
    answers += [json_reply({"status": "queued"})] + [Reply(200, b"<p>")] * 9
    left = list(answers)

    with pytest.raises(ProviderError) as caught:
        finish(connect(scripted(lambda _: left.pop(0))), RemoteJob("a", "pending"), 6_000)

    assert caught.value.kind == "server"
    assert not isinstance(caught.value, StillRunning)
    assert not left
    assert clock.slept[:4] == [120] * 4


def test_an_error_that_mentions_a_state_is_not_taken_for_a_job(scripted: Any, connect: Any) -> None:
    told = json_reply({"id": "req_1", "status": "error", "message": "down"}, 500)

    with pytest.raises(ProviderError):
        finish(connect(scripted(told)), RemoteJob("a", "pending"))


def test_the_caller_can_stop_the_waiting(fake: Any, connect: Any) -> None:
    client = connect(fake())

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.wait(submit(client).id, seconds_left=60, on_progress=stop)


def test_an_id_cannot_lead_to_another_path(scripted: Any, connect: Any) -> None:
    paths = []

    def respond(call: Call) -> Reply:
        paths.append(call.path)
        return json_reply({"status": "done"})

    finish(connect(scripted(respond)), RemoteJob("../files?a=b#c/==", "pending"))

    assert paths == ["/v1/videos/..%2Ffiles%3Fa%3Db%23c%2F%3D%3D"]


def test_a_reported_cost_is_passed_on(scripted: Any, connect: Any) -> None:
    told = json_reply({"status": "completed", "usage": {"cost": 0.4}})

    assert finish(connect(scripted(told)), RemoteJob("a", "pending")).cost_micros == 400_000


@pytest.mark.parametrize("limit", ["MAX_ANSWER_BYTES", "MAX_ANSWER_SECONDS"])
def test_an_endless_answer_is_cut_off(
    scripted: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(f"spritz_cli.videos_api.wire.{limit}", 0)

    with pytest.raises(OutcomeUnknown):
        submit(connect(scripted(json_reply({"id": "a"}))))


# --- fetching -----------------------------------------------------------------------------------

DELIVERED = [
    "",
    "sglang_variant_404",
    "sglang_cloud_url",
    "redirect_content",
    "redirect_cross_origin",
    "signed_urls",
    "gemini",
    "completes_too_early",
    "strict_accept",
    "litellm_drifting_ids",
]


@pytest.mark.parametrize("quirk", DELIVERED)
@pytest.mark.parametrize("content", ["endpoint", "job_url"])
def test_the_footage_arrives_from_wherever_it_lies(
    fake: Any, connect: Any, tmp_path: Path, quirk: str, content: Any
) -> None:
    api = fake(quirk, api_key=KEY)
    client = connect(api, replace(OPENAI, content=content))
    path = tmp_path / "a.mp4"

    client.download(finish(client, submit(client)), path)

    assert path.read_bytes()[4:8] == b"ftyp"
    assert [item.name for item in tmp_path.iterdir()] == ["a.mp4"]
    assert not api.leaks
    assert api.posts == 1


def test_openrouters_footage_needs_the_key(fake: Any, connect: Any, tmp_path: Path) -> None:
    api = fake("openrouter", api_key=KEY)
    client = connect(api, replace(load_profile("openrouter", SHIPPED), send_model=True))

    client.download(finish(client, submit(client)), tmp_path / "a.mp4")

    assert (tmp_path / "a.mp4").stat().st_size > 1_000


def test_a_key_in_its_own_header_does_not_follow_a_redirect(
    fake: Any, connect: Any, tmp_path: Path
) -> None:
    api = fake("redirect_cross_origin")
    client = connect(api, replace(OPENAI, auth="header:api-key"))

    client.download(finish(client, submit(client)), tmp_path / "a.mp4")

    assert all(call.headers["api-key"] == KEY for call in api.requests)
    assert api.elsewhere
    assert not api.leaks


@pytest.mark.parametrize(
    "quirk", ["litellm_failed_as_completed", "json_as_content", "truncated_body", "empty_content"]
)
def test_what_is_no_footage_leaves_nothing_behind(
    fake: Any, connect: Any, tmp_path: Path, clock: Clock, quirk: str
) -> None:
    api = fake(quirk)
    client = connect(api)
    job = finish(client, submit(client))
    waited = len(clock.slept)

    with pytest.raises(ProviderError) as caught:
        client.download(job, tmp_path / "a.mp4")

    assert caught.value.kind == "server"
    assert not list(tmp_path.iterdir())
    assert clock.slept[waited:] == [1, 2, 4]


def test_footage_that_was_swept_is_lost(scripted: Any, connect: Any, tmp_path: Path) -> None:
    with pytest.raises(ProviderError) as caught:
        connect(scripted(error_reply(404, "gone"))).download(
            RemoteJob("a", "done"), tmp_path / "a.mp4"
        )

    assert caught.value.kind == "lost"


def test_a_final_refusal_is_not_asked_again(
    scripted: Any, connect: Any, tmp_path: Path, clock: Clock
) -> None:
    with pytest.raises(ProviderError) as caught:
        connect(scripted(error_reply(403, "no"))).download(RemoteJob("a", "done"), tmp_path / "a")

    assert caught.value.kind == "auth"
    assert not clock.slept


def film(size: int = 64) -> Reply:
    return Reply(200, b"\0\0\0\x20ftypisom".ljust(size, b"\0"), {"Content-Type": "video/mp4"})


def test_a_web_film_is_footage_too(scripted: Any, connect: Any, tmp_path: Path) -> None:
    client = connect(scripted(Reply(200, b"\x1a\x45\xdf\xa3".ljust(64, b"\0"))))

    client.download(RemoteJob("a", "done"), tmp_path / "a.mp4")

    assert (tmp_path / "a.mp4").stat().st_size == 64


@pytest.mark.parametrize("body", [b"\0\0\0\x20ft", b"{}", b"\x1a\x45", b"<html>no film</html>"])
def test_other_bytes_are_no_footage(
    scripted: Any, connect: Any, tmp_path: Path, body: bytes
) -> None:
    with pytest.raises(ProviderError):
        connect(scripted(Reply(200, body))).download(RemoteJob("a", "done"), tmp_path / "a.mp4")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 1_000), ("MAX_SECONDS", -1.0)])
def test_endless_footage_is_cut_off(
    scripted: Any,
    connect: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: float,
) -> None:
    monkeypatch.setattr(download, limit, value)

    with pytest.raises(ProviderError, match=r"too large|larger than"):
        connect(scripted(film(2_000))).download(RemoteJob("a", "done"), tmp_path / "a.mp4")

    assert not list(tmp_path.iterdir())


def test_a_circle_of_redirects_ends(
    scripted: Any, connect: Any, tmp_path: Path, clock: Clock
) -> None:
    calls = []

    def respond(call: Call) -> Reply:
        calls.append(call)
        return Reply(302, b"", {"Location": call.path})

    with pytest.raises(ProviderError, match="more than 5 redirects"):
        connect(scripted(respond)).download(RemoteJob("a", "done"), tmp_path / "a.mp4")

    assert len(calls) == 5
    assert not clock.slept


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest", "file:///etc/passwd", "gopher://127.0.0.1/", "http://[::"],
)
def test_a_redirect_cannot_lead_anywhere(
    scripted: Any, connect: Any, tmp_path: Path, target: str
) -> None:
    base_url = scripted(Reply(302, b"", {"Location": target}))

    with pytest.raises(ProviderError) as caught:
        connect(base_url).download(RemoteJob("a", "done"), tmp_path / "a.mp4")

    assert target not in caught.value.message


def test_a_strange_host_is_reached_at_the_address_that_was_checked(
    scripted: Any, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts, resolved = [], []
    resolve = socket.getaddrinfo

    def respond(call: Call) -> Reply:
        hosts.append(call.headers["host"])
        return film()

    def counted(host: Any, *rest: Any, **options: Any) -> Any:
        resolved.append(host)
        return resolve("127.0.0.1" if host == "cdn.example" else host, *rest, **options)

    home, abroad = scripted(error_reply(404, "no")), scripted(respond)
    url = abroad.replace("127.0.0.1", "cdn.example")
    monkeypatch.setattr(socket, "getaddrinfo", counted)

    job = RemoteJob("a", "done", urls=(f"{url}/a.mp4?signature=s",))
    connect(home).download(job, tmp_path / "a.mp4")

    assert hosts == [url.removeprefix("http://").removesuffix("/v1")]
    assert resolved.count("cdn.example") == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
@pytest.mark.parametrize("name", ["cdn.example", "impostor.example"])
def test_the_certificate_must_be_of_the_name_and_not_of_the_address(
    scripted: Any, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    certificate = _certificate(tmp_path, "cdn.example")
    listener = Listener(lambda _: film())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = listener._server
    server.socket = context.wrap_socket(server.socket, server_side=True)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **kw: resolve(HERE, *rest, **kw))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    job = RemoteJob("a", "done", urls=(f"https://{name}:{listener.port}/a.mp4",))
    client = connect(scripted(error_reply(404, "no")))

    try:
        client.download(job, tmp_path / "a.mp4")
        arrived = True
    except ProviderError:
        arrived = False
    finally:
        listener.close()

    assert arrived == (name == "cdn.example")


def _certificate(folder: Path, name: str) -> Path:
    path = folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(path)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    path.write_text((folder / "key.pem").read_text() + path.read_text())
    return path


def test_a_signed_address_is_not_quoted(scripted: Any, connect: Any, tmp_path: Path) -> None:
    base_url = scripted(Reply(500))
    job = RemoteJob("a", "done", urls=(f"{base_url}/a.mp4?signature=hush",))

    with pytest.raises(ProviderError) as caught:
        connect(base_url, replace(OPENAI, content="job_url")).download(job, tmp_path / "a.mp4")

    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_a_folder_that_is_not_there_is_an_error_of_the_disk(
    scripted: Any, connect: Any, tmp_path: Path
) -> None:
    with pytest.raises(StorageError):
        connect(scripted(film())).download(RemoteJob("a", "done"), tmp_path / "none" / "a.mp4")
