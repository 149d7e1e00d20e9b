"""`python warm_run.py sync|jobs FOLDER [WORKERS]`: a run as a process of its own, told as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from spritz_cli.bootstrap import open_services
from spritz_cli.films import generate as pipeline
from spritz_cli.runs import process_pool as inline, queued as jobs
from spritz_cli.settings import load_settings

MODES = {"sync": inline.warm, "jobs": jobs.warm}


def main(mode: str, folder: str, workers: str = "2") -> int:
    settings = load_settings(dict(os.environ), Path(folder))
    with open_services(settings) as services:
        planned = pipeline.plan(
            services.catalog.templates,
            store=services.store,
            manifest=services.manifest,
            tiers=services.tiers,
        )
        try:
            outcomes = MODES[mode](services, planned.items, workers=int(workers))
        except KeyboardInterrupt:
            return 130
    print(json.dumps({outcome.name: [outcome.status, outcome.error] for outcome in outcomes}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
