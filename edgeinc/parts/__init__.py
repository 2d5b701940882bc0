"""Pictures of machine parts, drawn by the project itself: for demos, tests and examples.

Small bodies of metal on a bench, under lamps that change in number, place and colour, seen
from changing angles and distances by a camera that is not always sharp. Nothing is copied
from anywhere, and a seed gives the same picture again.
"""

from __future__ import annotations

from edgeinc.parts.kinds import KINDS
from edgeinc.parts.picture import draw_part

__all__ = ["KINDS", "draw_part"]
