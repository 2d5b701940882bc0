"""`python -m edgeinc` is the shell."""

from __future__ import annotations

import sys

from edgeinc.cli import main

if __name__ == "__main__":
    sys.exit(main())
