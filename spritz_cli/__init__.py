"""vidgen pre-renders a catalog of short explainer films and publishes them to a manifest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spritz_cli.catalog.loader import get_template
    from spritz_cli.errors import (
        CatalogError,
        InfrastructureError,
        InvalidFile,
        MissingLibrary,
        ProvidersError,
        RedisUnavailable,
        StorageError,
        UnknownTemplate,
        UsageError,
        VidgenError,
    )
    from spritz_cli.hooks import (
        enqueue_video_generation,
        enqueue_videos_for_recommendations,
        run_cleanup,
    )
    from spritz_cli.models import Template, Video
    from spritz_cli.runs.worker import generate_video_job
    from spritz_cli.storage.manifest import VideoManifest

    __version__: str

__all__ = [
    "CatalogError",
    "InfrastructureError",
    "InvalidFile",
    "MissingLibrary",
    "ProvidersError",
    "RedisUnavailable",
    "StorageError",
    "Template",
    "UnknownTemplate",
    "UsageError",
    "Video",
    "VideoManifest",
    "VidgenError",
    "__version__",
    "enqueue_video_generation",
    "enqueue_videos_for_recommendations",
    "generate_video_job",
    "get_template",
    "run_cleanup",
]

#: Loaded on first use: a web process that only reads the manifest pays for nothing else.
_HOMES = {
    "CatalogError": "spritz_cli.errors",
    "InfrastructureError": "spritz_cli.errors",
    "InvalidFile": "spritz_cli.errors",
    "MissingLibrary": "spritz_cli.errors",
    "ProvidersError": "spritz_cli.errors",
    "RedisUnavailable": "spritz_cli.errors",
    "StorageError": "spritz_cli.errors",
    "Template": "spritz_cli.models",
    "UnknownTemplate": "spritz_cli.errors",
    "UsageError": "spritz_cli.errors",
    "Video": "spritz_cli.models",
    "VideoManifest": "spritz_cli.storage.manifest",
    "VidgenError": "spritz_cli.errors",
    "enqueue_video_generation": "spritz_cli.hooks",
    "enqueue_videos_for_recommendations": "spritz_cli.hooks",
    "generate_video_job": "spritz_cli.runs.worker",
    "get_template": "spritz_cli.catalog.loader",
    "run_cleanup": "spritz_cli.hooks",
}

# Type checkers would take this as: every name is there, and may be anything.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return _version()
        if name in _HOMES:
            with import_module("spritz_cli.errors").libraries_of("spritz-vidgen"):
                return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("spritz-vidgen-reader")
    except PackageNotFoundError:
        return "0+checkout"
