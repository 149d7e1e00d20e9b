"""Buys the footage of one film in a process of its own, for test_purchase_kills.py."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from redis import Redis

from spritz_cli.catalog.providers import load_profile
from spritz_cli.errors import VidgenError
from spritz_cli.models import MicroUSD
from spritz_cli.settings import shipped
from spritz_cli.storage.budget import DailyBudget
from spritz_cli.storage.files.scratch import ScratchFolders
from spritz_cli.storage.footage import FootageStore
from spritz_cli.storage.leases import Leases
from spritz_cli.storage.provider_state import Circuit, Gate, Slots
from spritz_cli.testing import sample_template
from spritz_cli.tiers.brief import brief_for
from spritz_cli.tiers.provider import Provider
from spritz_cli.tiers.purchase import Purchase
from spritz_cli.videos_api.client import VideosAPI


def main(redis_url: str, base_url: str, videos: Path, topic: str, cap_micros: MicroUSD) -> int:
    template = sample_template(topic=topic, duration_seconds=8)
    redis = Redis.from_url(redis_url, decode_responses=True)
    lease = Leases(redis).acquire(template.key)
    if lease is None:
        return 3
    profile = replace(
        load_profile("openai", [shipped("providers.yaml")]),
        base_url=base_url,
        allowed_seconds=(4,),
        reconcile_after_seconds=0.5,
    )
    shared = redis, "video:", profile.name
    provider = Provider(
        profile=profile,
        model=profile.model,
        connect=lambda: VideosAPI(profile, "sk-of-this-test"),
        budget=DailyBudget(redis, cap_micros=cap_micros),
        circuit=Circuit(*shared),
        slots=Slots(*shared, profile.max_in_flight, seconds=2.0),
        gate=Gate(*shared, seconds=2.0),
        deadline_seconds=20,
    )
    brief = brief_for(template, profile, profile.model)
    with lease, ScratchFolders(videos / ".staging").new() as scratch:
        # So that only milliseconds pass from here to the first request.
        import_module("openai")
        print("begun", flush=True)
        try:
            purchase = Purchase(brief, provider, FootageStore(videos), lambda *_: lease.check())
            orders = purchase.segments(scratch)
        except VidgenError as exc:
            print(json.dumps({"error": exc.message, "reason": getattr(exc, "reason", None)}))
            return 1
    print(json.dumps({"states": [order.state for order in orders]}))
    return 0


if __name__ == "__main__":
    url, base, folder, name, cap = sys.argv[1:]
    sys.exit(main(url, base, Path(folder), name, MicroUSD(int(cap))))
