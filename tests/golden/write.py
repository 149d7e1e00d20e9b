"""Write the golden frames anew: python -m tests.golden.write."""

from __future__ import annotations

import json

from tests.scenes import frame_digest, frozen_catalog
from tests.unit.test_golden_frames import FRAMES, GOLDEN


def main() -> None:
    catalog = frozen_catalog()
    golden = {
        name: {t: frame_digest(catalog.get(*name.split("/")), float(t)) for t in seconds}
        for name, seconds in FRAMES.items()
    }
    GOLDEN.write_text(json.dumps(golden, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
