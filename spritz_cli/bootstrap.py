"""Services: the one place that chooses implementations and wires them together."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from spritz_cli.models import ObjectPath, micros
from spritz_cli.settings import Settings, secret, shipped
from spritz_cli.storage.files.base import DiskFiles, Files
from spritz_cli.storage.redis.connection import OpenRedis, Patience, open_reading, open_redis
from spritz_cli.storage.videos import VideoStore

if TYPE_CHECKING:
    from spritz_cli.catalog.loader import Catalog
    from spritz_cli.films.studio import Studio
    from spritz_cli.scene.library import SceneLibrary
    from spritz_cli.storage.budget import DailyBudget
    from spritz_cli.storage.files.bucket import BucketFiles
    from spritz_cli.storage.footage import FootageStore
    from spritz_cli.storage.leases import Leases
    from spritz_cli.storage.manifest import VideoManifest
    from spritz_cli.storage.upgrades import Upgrades
    from spritz_cli.tiers.base import FilmTier
    from spritz_cli.tiers.provider import Provider
    from spritz_cli.videos_api.client import VideosAPI
    from spritz_cli.videos_api.profile import Profile


class Services:
    """Everything that making and publishing films needs, each part built on first use."""

    def __init__(self, settings: Settings, redis: OpenRedis, patience: Patience = "normal") -> None:
        self.settings = settings
        self.redis = redis
        self._patience = patience

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
        return VideoStore(self.files, self.settings.url_prefix)

    @cached_property
    def files(self) -> Files:
        """Where films and footage are kept: a folder, or a bucket of an object store."""
        location = self.settings.videos_dir
        if isinstance(location, Path):
            return DiskFiles(location)
        return open_bucket(self.settings, location, quick=self._patience == "short")

    @cached_property
    def budget(self) -> DailyBudget:
        from spritz_cli.storage.budget import DailyBudget

        settings = self.settings
        cap = micros(settings.daily_budget_usd)
        return DailyBudget(self.redis.client, settings.key_prefix, cap)

    @cached_property
    def library(self) -> SceneLibrary:
        from spritz_cli.scene.library import SceneLibrary

        return SceneLibrary(self.settings.scenes)

    @cached_property
    def footage(self) -> FootageStore:
        from spritz_cli.storage.footage import FootageStore

        return FootageStore(self.files)

    @cached_property
    def upgrades(self) -> Upgrades:
        from spritz_cli.storage.upgrades import Upgrades

        return Upgrades(self.redis.client, self.settings.key_prefix)

    @cached_property
    def tiers(self) -> tuple[FilmTier, ...]:
        """The tiers of the fallback chain that make films, the best first."""
        from spritz_cli.tiers.footage import FootageTier
        from spritz_cli.tiers.static import StaticTier

        footage = FootageTier(self._overlays, self.footage, self.upgrades, self.provider)
        return footage, StaticTier(self.library)

    @cached_property
    def studio(self) -> Studio:
        """What plans, makes and cleans up films; a budget limits it where there is a provider."""
        from spritz_cli.films.studio import Studio

        budget = self.budget if self.profile else None
        return Studio(self.store, self.manifest, self.leases, self.tiers, budget)

    @property
    def _overlays(self) -> SceneLibrary:
        from spritz_cli.scene.library import SceneLibrary
        from spritz_cli.tiers.footage import OVERLAY

        # A catalog's own scenes need no overlay: the shipped one serves every template.
        own = (self.settings.scenes / OVERLAY).is_file()
        return self.library if own else SceneLibrary(shipped("svg_templates"))

    @cached_property
    def profile(self) -> Profile | None:
        return provider_profile(self.settings, self.settings.state_dir)

    @cached_property
    def provider(self) -> Provider | None:
        """The configured provider, with its budget, circuit breaker, slots and gate."""
        profile = self.profile
        if profile is None:
            return None
        from spritz_cli.storage.provider_state import Circuit, Gate, Slots
        from spritz_cli.tiers.provider import Provider

        shared = self.redis.client, self.settings.key_prefix, profile.name
        return Provider(
            profile=profile,
            model=profile.model,
            connect=partial(_connect, profile),
            budget=self.budget,
            circuit=Circuit(*shared),
            slots=Slots(*shared, profile.max_in_flight),
            gate=Gate(*shared),
            deadline_seconds=self.settings.provider_deadline_seconds,
        )

    @cached_property
    def catalog(self) -> Catalog:
        from spritz_cli.catalog.loader import load_catalog

        settings = self.settings
        return load_catalog(settings.catalog, settings.scenes, settings.state_dir)

    def close(self) -> None:
        """Disconnect from Redis; the last process to do so stops an embedded server."""
        self.redis.close()

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def provider_profile(settings: Settings, cache_dir: Path | None = None) -> Profile | None:
    """Return the configured provider's profile with the settings' overrides; None without one."""
    if settings.provider is None:
        return None
    from spritz_cli.catalog.providers import load_profile, provider_files
    from spritz_cli.videos_api.profile import checked_base_url

    files = provider_files(settings.catalog)
    profile = load_profile(settings.provider, files, cache_dir)
    if settings.price_per_second_usd is not None:
        profile = profile.priced(settings.price_per_second_usd)
    if settings.base_url:
        # The retirement dates are those of the profile's own server.
        profile = replace(profile, base_url=checked_base_url(settings.base_url), retired={})
    return replace(profile, model=settings.model or profile.model)


def _connect(profile: Profile) -> VideosAPI:
    from spritz_cli.videos_api.client import VideosAPI

    return VideosAPI(profile, secret(profile.api_key_env))


def open_bucket(settings: Settings, location: ObjectPath, *, quick: bool = False) -> BucketFiles:
    """Return the bucket; sends no request yet."""
    from spritz_cli.storage.files.bucket import BucketFiles

    # botocore itself reads only the second of the two.
    region = secret(["AWS_REGION", "AWS_DEFAULT_REGION"])
    return BucketFiles(location, settings.state_dir / "staging", region, quick=quick)


def open_services(
    settings: Settings, *, patience: Patience = "normal", ping: bool = True
) -> Services:
    """Connect to Redis (for the flags see open_redis) and return the services."""
    redis = open_redis(settings, patience=patience, ping=ping)
    return Services(settings, redis, patience)


def open_to_read(settings: Settings) -> Services:
    """Return the services for a short command that only reads."""
    return Services(settings, open_reading(settings, meanwhile=_import_readers))


def import_ahead() -> None:
    """Import the slow modules that every film needs; raises MissingLibrary."""
    for module in ("scene.canvas", "scene.text", "media.poster", "tiers.static"):
        import_module(f"spritz_cli.{module}")


def _import_readers() -> None:
    for module in (
        "catalog.loader",
        "films.planning",
        "storage.leases",
        "storage.manifest",
        "tiers.footage",
    ):
        import_module(f"spritz_cli.{module}")
