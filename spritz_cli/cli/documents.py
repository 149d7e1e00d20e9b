"""The parts that the `--json` documents of several commands share, one word for one thing.

`schemas/common.json` describes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spritz_cli.models import NEVER, Obstacle, Template, Video

if TYPE_CHECKING:
    from spritz_cli.bootstrap import Services
    from spritz_cli.storage.videos import VideoStore

#: Fields of a manifest entry that stand on the film itself, or mean something else here.
_NOT_IN_VIDEO = ("schema", "persona", "topic", "status")


def name_fields(persona: str, topic: str) -> dict[str, str]:
    """Return what every film of a document begins with."""
    return {"name": f"{persona}/{topic}", "persona": persona, "topic": topic}


def seen_by_application(
    services: Services, templates: Sequence[Template], intact: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return by manifest key what the main application sees of each film now.

    `intact` are the keys of films whose files are known to be there: they are not looked at again.
    """
    videos = services.manifest.peek_many(templates)
    doubtful = [video for video in videos if video and video.key not in intact]
    whole = {*intact, *intact_keys(services.store, doubtful)}
    return {
        template.key: {
            **film_fields(template, video, intact=bool(video and video.key in whole)),
            "video": video_fields(video),
        }
        for template, video in zip(templates, videos, strict=True)
    }


def film_fields(template: Template, video: Video | None, *, intact: bool) -> dict[str, Any]:
    """Return the name of a film and what the main application sees of it.

    `video` is its manifest entry, `intact` whether the files of that are there.
    """
    return {
        **name_fields(template.persona, template.topic),
        "status": status_of(video, intact=intact),
        "published": video.status if video else None,
    }


def status_of(video: Video | None, *, intact: bool) -> str:
    """Return the manifest's word, unless it has no entry or lists files that are not there."""
    if video is None:
        return "not_found"
    return "files_missing" if video.status == "ready" and not intact else video.status


def video_fields(video: Video | None) -> dict[str, Any] | None:
    """Return a manifest entry under the manifest's names, with null for what is unknown."""
    if video is None:
        return None
    fields = {name: value for name, value in vars(video).items() if name not in _NOT_IN_VIDEO}
    return fields | {"cost_usd": None if video.cost_usd is None else cost_usd(video)}


def cost_usd(video: Video) -> float:
    """Return what the footage of a film cost in dollars; 0 where the manifest has no cost."""
    return float((video.cost_usd or "0").replace(",", ""))


def intact_keys(store: VideoStore, videos: Iterable[Video | None]) -> set[str]:
    """Return the manifest keys of the films whose files are there."""
    published = [video for video in videos if video and video.url]
    intact = store.all_intact(published) if published else []
    return {video.key for video, whole in zip(published, intact, strict=True) if whole}


def obstacle_fields(obstacle: Obstacle) -> dict[str, Any]:
    """Return why a film has no footage, and when the provider is asked again."""
    return {
        "reason": obstacle.reason,
        "message": obstacle.message,
        "retry_at": moment(obstacle.until) if 0 < obstacle.until < NEVER else None,
    }


def moment(epoch_seconds: float) -> str:
    """Write a moment in ISO 8601, UTC."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="seconds")
