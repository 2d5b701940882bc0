"""What is fuzzed, one module a kind; a new one is a module here and a line in `SHARES`."""

from __future__ import annotations

__all__ = ["SHARES"]

SHARES = {"pictures": 400, "cards": 250, "stores": 200, "archives": 146, "weights": 4}
"""How many of a thousand inputs are of each kind: fewer where an input takes longer."""
