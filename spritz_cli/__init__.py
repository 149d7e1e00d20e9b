"""vidgen pre-renders a catalog of short explainer films and publishes them to a manifest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spritz_cli.catalog.loader import get_template
    from spritz_cli.hooks import (
        enqueue_video_generation,
        enqueue_videos_for_recommendations,
        run_cleanup,
    )
    from spritz_cli.runs.worker import generate_video_job
    from spritz_cli.storage.manifest import VideoManifest

__version__: str

__all__ = [
    "VideoManifest",
    "__version__",
    "enqueue_video_generation",
    "enqueue_videos_for_recommendations",
    "generate_video_job",
    "get_template",
    "run_cleanup",
]

#: Loaded on first use: a web process that only reads the manifest pays for nothing else.
_HOMES = {
    "VideoManifest": "spritz_cli.storage.manifest",
    "enqueue_video_generation": "spritz_cli.hooks",
    "enqueue_videos_for_recommendations": "spritz_cli.hooks",
    "generate_video_job": "spritz_cli.runs.worker",
    "get_template": "spritz_cli.catalog.loader",
    "run_cleanup": "spritz_cli.hooks",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("vidgen")
        except PackageNotFoundError:
            return "0+checkout"
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
