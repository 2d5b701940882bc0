"""Tests; a package, so that they can share `conftest` and the tiny networks."""
