"""`python warm_run.py sync|jobs FOLDER [WORKERS]`: a run as a process of its own, told as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from spritz_cli.bootstrap import open_services
from spritz_cli.films.planning import plan
from spritz_cli.runs import process_pool, queued
from spritz_cli.settings import load_settings

MODES = {"sync": process_pool.warm, "jobs": queued.warm}


def main(mode: str, folder: str, workers: str = "2") -> int:
    settings = load_settings(dict(os.environ), Path(folder))
    with open_services(settings) as services:
        items = plan(services.studio, services.catalog.templates)
        try:
            outcomes = MODES[mode](services, items, workers=int(workers))
        except KeyboardInterrupt:
            return 130
    print(json.dumps({outcome.name: [outcome.status, outcome.error] for outcome in outcomes}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
