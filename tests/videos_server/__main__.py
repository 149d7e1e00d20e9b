"""Runs the video server of the tests as a process."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from spritz_cli.errors import VidgenError
from tests.videos_server.videos_api import QUIRKS, FakeVideosAPI


def main(argv: Sequence[str] | None = None) -> int:
    """Run a server until it is interrupted. Its base URL is the first line of output."""
    options = _parser().parse_args(argv)
    try:
        api = FakeVideosAPI(**vars(options))
    except VidgenError as exc:
        sys.stderr.write(f"error: {exc.message}\n{exc.hint}\n")
        return exc.exit_code
    with api, suppress(KeyboardInterrupt):
        sys.stdout.write(f"{api.base_url}\n")
        sys.stdout.flush()
        threading.Event().wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, QUIRKS))
    parser = argparse.ArgumentParser(
        prog="python -m tests.videos_server",
        description="A video server for tests that speaks the OpenAI Videos API.",
        epilog="quirks:\n" + "\n".join(f"  {name:{width}}  {QUIRKS[name]}" for name in QUIRKS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--state", type=Path, help="a JSON file to keep jobs and charges in")
    parser.add_argument("--quirk", default="", help="names from the list below, with commas")
    parser.add_argument("--api-key", help="the key that every request must carry")
    parser.add_argument("--price-per-second", type=Decimal, default=Decimal("0.10"))
    parser.add_argument("--job-seconds", type=float, default=0.3)
    parser.add_argument("--refusals", type=int, default=1, help="N of “the first N posts”")
    parser.add_argument("--poll-after-ms", type=int, help="sent as openai-poll-after-ms")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
