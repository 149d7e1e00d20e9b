"""`python -m spritz_cli` is `vidgen`."""

from __future__ import annotations

import sys

from spritz_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
