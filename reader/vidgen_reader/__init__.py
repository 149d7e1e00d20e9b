"""What an application needs of vidgen: read the manifest, and have missing films made."""

from __future__ import annotations

from spritz_cli import (
    InfrastructureError,
    MissingLibrary,
    RedisUnavailable,
    UnknownTemplate,
    UsageError,
    Video,
    VideoManifest,
    VidgenError,
    __version__,
    enqueue_video_generation,
    enqueue_videos_for_recommendations,
)

__all__ = [
    "InfrastructureError",
    "MissingLibrary",
    "RedisUnavailable",
    "UnknownTemplate",
    "UsageError",
    "Video",
    "VideoManifest",
    "VidgenError",
    "__version__",
    "enqueue_video_generation",
    "enqueue_videos_for_recommendations",
]
