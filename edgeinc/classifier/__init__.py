"""The backbone's own classes beside the enrolled ones (docs/base-classes.md)."""

from __future__ import annotations

from edgeinc.classifier.joining import join, likelihood, typical
from edgeinc.classifier.loading import (
    clean_names,
    load_classifier,
    make_rows,
    read_rows,
)
from edgeinc.classifier.own import OwnClasses

__all__ = [
    "OwnClasses",
    "clean_names",
    "join",
    "likelihood",
    "load_classifier",
    "make_rows",
    "read_rows",
    "typical",
]
