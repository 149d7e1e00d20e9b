"""What the main application calls. Nothing here renders, waits for a film or starts a server.

Only `run_cleanup` needs more than the distribution `spritz-vidgen-reader[enqueue]`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from spritz_cli.errors import RedisUnavailable, VidgenError, libraries_of
from spritz_cli.settings import load_settings
from spritz_cli.storage.manifest import VideoManifest
from spritz_cli.storage.redis.connection import connect

if TYPE_CHECKING:
    from spritz_cli.runs.job_queue import JobQueue

logger = logging.getLogger("spritz_cli")

#: How many of a user's recommendations get a film.
TOP = 3
TIME_BUDGET_SECONDS = 2.0

#: This persona gets no recommendations, so it has no films.
GENERAL = "general"


def enqueue_video_generation(persona: str, topic: str) -> str:
    """Have a film made unless there is one: the job's id, "cached" or "skipped".

    A film that is there is "cached" even if it is stale: `vidgen warm` sees to that.
    Raises UnknownTemplate (a ValueError) for what the catalog of the last `vidgen warm`
    or `vidgen worker` does not have, and RedisUnavailable without a shared server,
    within seconds also if it hangs.
    """
    if persona == GENERAL:
        return "skipped"
    with _open_desk() as desk:
        return desk.enqueue(persona, topic)


def enqueue_videos_for_recommendations(
    user_id: object,
    recommendations: Iterable[Any],
    *,
    time_budget_seconds: float = TIME_BUDGET_SECONDS,
) -> list[str]:
    """Have films made for a user's top recommendations; what did not work is logged.

    Never raises and never takes longer than its time budget. A recommendation
    is a mapping or an object with `persona` and `topic`.
    """
    results: list[str] = []
    # A server that hangs must not hold up the request that called us.
    thread = threading.Thread(
        target=_enqueue_top, args=(user_id, recommendations, results), daemon=True
    )
    thread.start()
    thread.join(time_budget_seconds)
    if thread.is_alive():
        logger.warning("videos for user %s: not queued within the time budget", user_id)
    return list(results)


@libraries_of("spritz-vidgen")
def run_cleanup(dry_run: bool = False) -> dict[str, Any]:
    """Delete expired, orphaned and over-quota films, or only say which (`dry_run`)."""
    from spritz_cli.bootstrap import open_services
    from spritz_cli.films import cleanup as films

    settings = load_settings()
    with open_services(settings, patience="short") as services:
        return films.cleanup(
            services.studio,
            services.catalog,
            quota_bytes=settings.disk_quota_bytes,
            footage=services.footage,
            dry_run=dry_run,
        ).document()


def _enqueue_top(user_id: object, recommendations: Iterable[Any], results: list[str]) -> None:
    try:
        wanted = list(islice(_films(recommendations), TOP))
        if not wanted:
            return
        with _open_desk() as desk:
            for persona, topic in wanted:
                results.extend(_enqueue_one(desk, user_id, persona, topic))
    except VidgenError as exc:
        logger.warning("videos for user %s: not queued: %s %s", user_id, exc.message, exc.hint)
    except Exception:
        logger.exception("videos for user %s: not queued", user_id)


def _enqueue_one(desk: _Desk, user_id: object, persona: str, topic: str) -> Iterator[str]:
    try:
        yield desk.enqueue(persona, topic)
    except RedisUnavailable:
        # It would be the same with the others.
        raise
    except VidgenError as exc:
        logger.warning("videos for user %s: %s %s", user_id, exc.message, exc.hint)


def _films(recommendations: Iterable[Any]) -> Iterable[tuple[str, str]]:
    """Yield what can have a film: persona and topic are there, and not the general persona."""
    for recommendation in recommendations:
        persona, topic = _field(recommendation, "persona"), _field(recommendation, "topic")
        if isinstance(persona, str) and isinstance(topic, str) and persona != GENERAL:
            yield persona, topic


def _field(recommendation: Any, name: str) -> Any:
    if isinstance(recommendation, Mapping):
        return recommendation.get(name)
    return getattr(recommendation, name, None)


class _Desk(NamedTuple):
    """The manifest and the queue of the server that the application shares with the workers."""

    manifest: VideoManifest
    queue: JobQueue

    def enqueue(self, persona: str, topic: str) -> str:
        video = self.manifest.look_up(persona, topic)
        if video and video.status == "ready":
            return "cached"
        return self.queue.enqueue_for_viewer(persona, topic)


@contextmanager
def _open_desk() -> Iterator[_Desk]:
    with libraries_of("spritz-vidgen-reader[enqueue]"):
        from spritz_cli.runs.job_queue import UP_TO_THE_WORKER, JobQueue

    settings = load_settings()
    if settings.redis_url is None:
        # An embedded server would end with this process, and the job with it.
        raise RedisUnavailable(
            "REDIS_URL is not set",
            hint="The application and the workers need a server that they share.",
        )
    url = settings.redis_url
    queue = JobQueue(url, settings.queue, patience="short", job_timeout=UP_TO_THE_WORKER)
    with closing(connect(url, "short")) as client, closing(queue):
        yield _Desk(VideoManifest(client, settings.key_prefix), queue)
