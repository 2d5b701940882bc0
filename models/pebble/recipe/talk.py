"""What the recipe says while it works."""

from __future__ import annotations

import logging


def speak() -> None:
    """The recipe's own words on stderr, and other packages' warnings."""
    shape = "%(asctime)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, format=shape, datefmt="%H:%M:%S")
    logging.getLogger("pebble").setLevel(logging.INFO)
