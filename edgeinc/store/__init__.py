"""The store: one SQLite file whose committed rows are the only truth.

>>> import tempfile, pathlib, numpy as np
>>> folder = tempfile.TemporaryDirectory()
>>> path = pathlib.Path(folder.name) / "line3.db"
>>> store = Store.open(path, backbone="tiny", fingerprint="f00d", dim=4)
>>> shot = NewExample("hex bolt", np.array([1, 2, 3, 4], np.uint8), source="frame 7")
>>> store.enroll([shot, shot], file="tiny.onnx", file_sha256="ab" * 32).skipped
1
>>> store.classes()
[ClassInfo(label='hex bolt', examples=1, threshold=None, automatic=True)]
>>> [row.label for row in store.undo().removed]
['hex bolt']
>>> [line.detail for line in store.log()]
["undid 1 (enrolled 1 example of 'hex bolt')", "enrolled 1 example of 'hex bolt'"]
>>> store.close(); folder.cleanup()
"""

from __future__ import annotations

from edgeinc.store.content import mark_of
from edgeinc.store.labels import MAX_LABEL, class_of, clean_label
from edgeinc.store.opening import peek
from edgeinc.store.records import (
    Change,
    Delta,
    Identity,
    NewExample,
    Position,
    Row,
    Rows,
    Statistics,
)
from edgeinc.store.store import Store

__all__ = [
    "MAX_LABEL",
    "Change",
    "Delta",
    "Identity",
    "NewExample",
    "Position",
    "Row",
    "Rows",
    "Statistics",
    "Store",
    "class_of",
    "clean_label",
    "mark_of",
    "peek",
]
