"""Names of the files by which a process and the one that measures for it talk."""

from __future__ import annotations

__all__ = ["ANSWER", "REQUEST"]

REQUEST, ANSWER = "request.json", "answer.json"
