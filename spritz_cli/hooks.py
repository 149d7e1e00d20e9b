"""What the main application calls. Nothing here renders, waits for a film or starts a server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from spritz_cli.bootstrap import Services, open_services
from spritz_cli.errors import RedisUnavailable, VidgenError
from spritz_cli.models import Template
from spritz_cli.settings import Settings, load_settings

logger = logging.getLogger("spritz_cli")

#: How many of a user's recommendations get a film.
TOP = 3
TIME_BUDGET_SECONDS = 2.0

#: This persona gets no recommendations, so it has no films.
GENERAL = "general"


def enqueue_video_generation(persona: str, topic: str) -> str:
    """Have a film made unless it is there: the job's id, "cached" or "skipped".

    Raises UnknownTemplate (a ValueError) for what the catalog does not have and
    RedisUnavailable without a shared server, within seconds also if it hangs.
    """
    if persona == GENERAL:
        return "skipped"
    with open_services(_shared_settings(), patience="short") as services:
        return _enqueue(services, services.catalog.get(persona, topic))


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


def run_cleanup(dry_run: bool = False) -> dict[str, Any]:
    """Delete expired, orphaned and over-quota films, or only say which (`dry_run`)."""
    from spritz_cli.films import cleanup as films

    settings = load_settings()
    with open_services(settings, patience="short") as services:
        return films.cleanup(
            services.studio,
            services.catalog,
            quota_bytes=round(settings.disk_quota_gb * films.GB),
            footage=services.footage,
            dry_run=dry_run,
        ).document()


def _enqueue_top(user_id: object, recommendations: Iterable[Any], results: list[str]) -> None:
    try:
        wanted = list(islice(_films(recommendations), TOP))
        if not wanted:
            return
        with open_services(_shared_settings(), patience="short") as services:
            for persona, topic in wanted:
                results.extend(_enqueue_one(services, user_id, persona, topic))
    except VidgenError as exc:
        logger.warning("videos for user %s: not queued: %s %s", user_id, exc.message, exc.hint)
    except Exception:
        logger.exception("videos for user %s: not queued", user_id)


def _enqueue_one(services: Services, user_id: object, persona: str, topic: str) -> Iterable[str]:
    try:
        yield _enqueue(services, services.catalog.get(persona, topic))
    except ValueError as exc:
        logger.warning("videos for user %s: %s", user_id, exc)


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


def _enqueue(services: Services, template: Template) -> str:
    from spritz_cli.films.planning import URL_PREFIX_CHANGED, fingerprint, ingredients, plan
    from spritz_cli.runs.job_queue import JobQueue

    item = plan(services.studio, [template]).items[0]
    # Under which addresses films are published is for those to say who make them.
    if item.action == "keep" or item.reason == URL_PREFIX_CHANGED:
        return "cached"
    settings = services.settings
    queue = JobQueue(
        services.redis.url, settings.queue, patience="short", job_timeout=settings.job_timeout
    )
    try:
        return queue.enqueue(
            template,
            fingerprint(template, services.tiers),
            ingredients=ingredients(template, services.tiers),
            spending=item.spending,
            cool_down=True,
        )[0]
    finally:
        queue.close()


def _shared_settings() -> Settings:
    """An embedded server ends with this process, and the job with it: refuse it."""
    settings = load_settings()
    if settings.redis_url is None:
        raise RedisUnavailable(
            "REDIS_URL is not set",
            hint="The application and the workers need a server that they share.",
        )
    return settings
