"""Speed on this device: every model, runtime, device and number of threads that is here."""

from __future__ import annotations

from edgeinc.bench.report import BenchReport, BenchRow, Skipped
from edgeinc.bench.run import bench

__all__ = ["BenchReport", "BenchRow", "Skipped", "bench"]
