"""The cases of each gateway, with their expected results.

One film of 5 s is ordered as 8 s at $0.10. Orders without an answer stay held, which
counts as spent.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.gateways.desk import Desk, Row, Tally, counted_by, tally
from tests.gateways.project import Broken, Project
from tests.gateways.proxy import CountingProxy
from tests.gateways.servers import (
    GATEWAY_KEY,
    FakeProvider,
    aimock,
    film_server,
    free_port,
    ledger,
    litellm,
    prism,
    status_of,
)

ONE = {"one": 5}
TWO = {"one": 5, "two": 5}
THREE = {"one": 5, "two": 9, "three": 13}
SIZE = "1280x720"

MADE = "1 × sora"
FAILED = "1 × static (provider_error)"
MODERATED = "1 × static (moderation)"

FORCED = ("warm", "--all", "--sync", "--force")


@dataclass(frozen=True)
class Lab:
    """The folder of projects and logs."""

    folder: Path

    def project(self, films: dict[str, int], **provider: str) -> Project:
        count = len(list(self.folder.glob("project-*")))
        return Project.new(self.folder / f"project-{count + 1}", films, **provider)


def through_litellm(lab: Lab) -> Iterator[Row]:
    """Yield the results of LiteLLM in front of our fake provider, and of a Veo."""
    fake = FakeProvider(free_port(), lab.folder)
    with (
        film_server(8, SIZE) as film,
        aimock(_answers(film), lab.folder) as mock,
        CountingProxy(mock) as veo,
        litellm(fake.base_url, veo.base_url, lab.folder) as url,
    ):
        bench = _LiteLLM(lab, fake, url)
        yield from bench.whole_catalog()
        yield from bench.killed()
        for case in LITELLM_CASES:
            yield from bench.once(*case)
        yield from bench.lost_answer()
        yield from bench.refused_by_the_gateway()
        yield from bench.veo(veo)


#: Without an answer, the charge is not known.
RESENT = tally(1, 0, arrived=2, counted=0.80)

#: Name, quirk of the provider, result of one film, model.
LITELLM_CASES: tuple[tuple[str, str, str, Tally, str], ...] = (
    ("moderation refuses the order", "moderation_at_post", MODERATED, tally(1), "sora-2"),
    ("moderation fails the job", "moderation_in_job", MODERATED, tally(1, 0.80), "sora-2"),
    ("the job fails", "job_fails", FAILED, tally(1, 0.80), "sora-2"),
    ("the first order is rate limited", "rate_limited", MADE, tally(2, 0.80), "sora-2"),
    ("the file is late", "completes_too_early", MADE, tally(1, 0.80), "sora-2"),
    ("HTTP 500, and yet a job", "post_500_created", FAILED, tally(1, 0.80), "sora-2"),
    ("HTTP 500, and no job", "post_500_refused", FAILED, tally(1, 0, counted=0.80), "sora-2"),
    ("vLLM-Omni", "vllm_multipart_only", MADE, tally(1, 0.80), "wan2.2"),
    (
        "vLLM-Omni: the job fails as HTTP 500",
        "vllm_failed_as_500",
        FAILED,
        tally(1, 0.80),
        "wan2.2",
    ),
)


@dataclass(frozen=True)
class _LiteLLM:
    lab: Lab
    fake: FakeProvider
    url: str

    @contextmanager
    def desk(
        self, quirk: str, films: dict[str, int], *, job_seconds: float = 0.3, **provider: str
    ) -> Iterator[Desk]:
        running = self.fake.behaving(quirk, job_seconds=job_seconds)
        with CountingProxy(self.url) as proxy, running as state:
            settings = {"base_url": proxy.base_url, "api_key": GATEWAY_KEY, **provider}
            project = self.lab.project(films, provider="litellm", **settings)
            yield Desk("LiteLLM", project, proxy, partial(ledger, state))

    def once(
        self, case: str, quirk: str, outcome: str, expected: Tally, model: str
    ) -> Iterator[Row]:
        with self.desk(quirk, ONE, model=model) as desk:
            yield desk.step(case, outcome, expected)

    def whole_catalog(self) -> Iterator[Row]:
        with self.desk("", THREE) as desk:
            warm = partial(desk.project.vidgen, "warm", "--all")
            yield desk.step("3 films of 4 segments", "3 × sora", tally(4, 3.60), warm)
            yield desk.step("the same again", "3 × sora", tally(0), warm)
            before = _hashes(desk.project)
            desk.project.edit("Begin with one.", "Begin with two.")
            again = partial(_changed, desk.project, before)
            outcome = "3 × sora; 1 made anew"
            yield desk.step("a changed word", outcome, tally(0), warm, again)
        with self.desk("insufficient_quota", THREE) as desk:
            outcome = "3 × static (provider_error)"
            yield desk.step("3 films, and the credit is used up", outcome, tally(1))

    def killed(self) -> Iterator[Row]:
        with self.desk("", ONE, job_seconds=5) as desk:
            states = partial(_states, desk.project)
            kill = partial(_kill_while_waiting, desk.project)
            outcome = "1 × processing; 1 submitted"
            yield desk.step("killed while it waits", outcome, tally(1, 0.80), kill, states)
            yield desk.step("the next run after that", f"{MADE}; 1 stored", tally(0), also=states)

    def lost_answer(self) -> Iterator[Row]:
        # LiteLLM repeats it by itself, without its body, and reports only the second one.
        with self.desk("reset_after_post", ONE) as desk:
            expected = tally(1, 0.80, arrived=2)
            yield desk.step("the provider's answer is lost", FAILED, expected)
            forced = partial(desk.project.vidgen, *FORCED)
            yield desk.step("the same by force", FAILED, tally(0), forced)

    def refused_by_the_gateway(self) -> Iterator[Row]:
        nothing = tally(1, arrived=0)
        with self.desk("", TWO, api_key="sk-wrong") as desk:
            yield desk.step("2 films with a wrong key", "2 × static (provider_error)", nothing)
        with self.desk("", ONE, model="nobody") as desk:
            yield desk.step("a model that it does not know", FAILED, nothing)

    def veo(self, behind: CountingProxy) -> Iterator[Row]:
        cases = (
            ("processing, then a film", "film", MADE, tally(1, 0.80)),
            ("a failed job that reads as completed", "failure", FAILED, tally(1, 0.80)),
            # LiteLLM repeats it by itself. Only its operator can turn that off.
            ("the connection breaks", "disconnection", FAILED, RESENT),
        )
        for case, word, outcome, expected in cases:
            with CountingProxy(self.url) as proxy:
                settings = {"base_url": proxy.base_url, "api_key": GATEWAY_KEY, "model": "veo"}
                project = self.lab.project(ONE, provider="litellm", **settings)
                project.edit("Steps appear", f"A {word}. Steps appear")
                behind.passages.clear()
                desk = Desk("LiteLLM → aimock (Veo)", project, proxy, counted_by(behind))
                yield desk.step(case, outcome, expected)


def through_prism(lab: Lab) -> Iterator[Row]:
    """Yield the verdicts of Prism on our requests, by the published schema of the API."""
    with prism(lab.folder) as url:
        bench = partial(_openai, lab, "Prism", url)
        with bench(provider_deadline_seconds="3") as desk:
            outcome = f"{FAILED}; 1 submitted"
            states = partial(_states, desk.project)
            forced = partial(desk.project.vidgen, *FORCED)
            late = "a job that is queued for ever"
            yield desk.step(late, outcome, tally(1, 0.80), also=states)
            yield desk.step("the same by force", outcome, tally(0), forced, states)
        with bench() as desk:
            desk.proxy.prefer = "example=completed"
            outcome = f"{FAILED}; 200, SDK 406"
            content = partial(_content_statuses, desk.proxy)
            yield desk.step("what our Accept gets", outcome, tally(1, 0.80), also=content)
        with bench() as desk:
            _write_profile(desk.project, "allowed_seconds: [5]")
            yield desk.step("5 s, which is no legal length", FAILED, tally(1))
        with bench(api_key="") as desk:
            yield desk.step("no key", FAILED, tally(1))


def through_aimock(lab: Lab) -> Iterator[Row]:
    """Yield the results of a server with the fewest fields and without /content."""
    with film_server(8, SIZE) as film, aimock(_answers(film), lab.folder) as mock:
        cases = (
            ("a film at an address in the job", "film", MADE, tally(1, 0.80)),
            ("the job fails", "failure", FAILED, tally(1, 0.80)),
            ("rate limited for ever", "rate limit", FAILED, tally(3)),
            ("the connection breaks", "disconnection", FAILED, tally(1, 0, counted=0.80)),
        )
        for case, word, outcome, expected in cases:
            with _openai(lab, "aimock", f"{mock}/v1") as desk:
                desk.project.edit("Steps appear", f"A {word}. Steps appear")
                yield desk.step(case, outcome, expected)


#: The programs that each gateway needs.
GATEWAYS: dict[str, tuple[tuple[str, ...], Callable[[Lab], Iterator[Row]]]] = {
    "litellm": (("litellm", "aimock"), through_litellm),
    "prism": (("prism",), through_prism),
    "aimock": (("aimock",), through_aimock),
}


@contextmanager
def _openai(lab: Lab, name: str, url: str, **provider: str) -> Iterator[Desk]:
    with CountingProxy(url) as proxy:
        settings = {"base_url": proxy.base_url, "api_key": "sk-of-this-test", **provider}
        project = lab.project(ONE, provider="openai", **settings)
        yield Desk(name, project, proxy, counted_by(proxy))


def _answers(film: str) -> list[dict[str, Any]]:
    """Return the answer of aimock to a prompt with a certain word."""
    responses: dict[str, dict[str, Any]] = {
        "film": {"video": {"id": "video_film", "status": "completed", "url": film}},
        "failure": {"video": {"id": "video_failure", "status": "failed", "error": "no GPU left"}},
        "rate limit": {
            "error": {"message": "Rate limit reached", "type": "rate_limit_error"},
            "status": 429,
            "retryAfter": 1,
        },
        "disconnection": {"video": {"id": "video_lost", "status": "completed", "url": film}},
    }
    fixtures: list[dict[str, Any]] = [
        {"match": {"userMessage": f"A {word}.", "endpoint": "video"}, "response": response}
        for word, response in responses.items()
    ]
    fixtures[-1]["chaos"] = {"disconnectRate": 1.0}
    return fixtures


def _kill_while_waiting(project: Project) -> None:
    process = project.begin("warm", "--all", "--sync", "--json")
    deadline = time.monotonic() + 60
    while _states(project) != "1 submitted":
        if process.poll() is not None or time.monotonic() > deadline:
            raise Broken(f"no order was sent: {_states(project)}")
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def _states(project: Project) -> str:
    states = [order["state"] for order in project.orders()]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))


def _hashes(project: Project) -> set[str]:
    return {film["video"]["hash"] for film in project.vidgen("status")["films"]}


def _changed(project: Project, before: set[str]) -> str:
    return f"{len(_hashes(project) - before)} made anew"


def _content_statuses(proxy: CountingProxy) -> str:
    """Return the answers to our requests for the film, and to one like the openai library's."""
    ours = {each.status for each in proxy.passages if each.path.endswith("/content")}
    url = f"{proxy.base_url}/videos/video_1/content"
    headers = {"Accept": "application/binary", "Authorization": "Bearer sk-of-this-test"}
    return f"{', '.join(map(str, sorted(ours)))}, SDK {status_of(url, headers)}"


def _write_profile(project: Project, line: str) -> None:
    text = f"profiles:\n  openai:\n    {line}\n"
    (project.folder / "providers.yaml").write_text(text, "utf-8")
