"""The one place that picks implementations."""

from __future__ import annotations

import logging
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from spritz_cli.settings import Settings
from spritz_cli.storage.embedded import OpenRedis, open_redis
from spritz_cli.storage.videos import VideoStore

if TYPE_CHECKING:
    from spritz_cli.catalog import Catalog
    from spritz_cli.pipeline import SourcedTier
    from spritz_cli.scene.drawing import SceneLibrary
    from spritz_cli.storage.leases import Leases
    from spritz_cli.storage.manifest import VideoManifest

logger = logging.getLogger("spritz_cli")


class Production:
    """Everything that making and publishing films needs, built when first asked for."""

    def __init__(self, settings: Settings, redis: OpenRedis) -> None:
        self.settings = settings
        self.redis = redis

    @cached_property
    def manifest(self) -> VideoManifest:
        from spritz_cli.storage.manifest import VideoManifest

        settings = self.settings
        return VideoManifest(self.redis.client, settings.key_prefix, settings.ttl_days)

    @cached_property
    def leases(self) -> Leases:
        from spritz_cli.storage.leases import Leases

        return Leases(self.redis.client, self.settings.key_prefix)

    @cached_property
    def store(self) -> VideoStore:
        return VideoStore(self.settings.videos_dir, self.settings.url_prefix)

    @cached_property
    def library(self) -> SceneLibrary:
        from spritz_cli.scene.drawing import SceneLibrary

        return SceneLibrary(self.settings.scenes)

    @cached_property
    def tiers(self) -> tuple[SourcedTier, ...]:
        from spritz_cli.tiers.static import StaticTier

        if self.settings.provider:
            logger.warning(
                "generated footage (%s) is not supported by this version; "
                "every film is an animated infographic",
                self.settings.provider,
            )
        return (StaticTier(self.library),)

    @cached_property
    def catalog(self) -> Catalog:
        from spritz_cli.catalog import load_catalog

        settings = self.settings
        return load_catalog(settings.catalog, settings.scenes, settings.state_dir)

    def close(self) -> None:
        """Let go of Redis; the last process to do so ends an embedded server."""
        self.redis.close()

    def __enter__(self) -> Production:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_production(
    settings: Settings, *, patient: bool = False, hurried: bool = False, proven: bool = False
) -> Production:
    """Connect to Redis (for the flags see open_redis) and return the rest unbuilt."""
    redis = open_redis(settings, patient=patient, hurried=hurried, proven=proven)
    return Production(settings, redis)
