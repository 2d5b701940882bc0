"""Asking a process of its own: for work that may crash, take all memory, or never come back.

Runtimes and vendors' libraries are native code, and read files that nobody has vouched for. In a
process of its own, whatever it dies of is a sentence. The two talk by files, in a folder that
goes with the process. It is no sandbox: it contains accidents, not attacks.
"""

from __future__ import annotations

from edgeinc.children.asking import ask
from edgeinc.children.bounds import Bounds
from edgeinc.children.death import Death
from edgeinc.children.serving import serve

__all__ = ["Bounds", "Death", "ask", "serve"]
