"""What this device has and lacks, what each model can use of it; and is the store sound?"""

from __future__ import annotations

from edgeinc.doctor.examination import UNKNOWN, Examination, examine
from edgeinc.doctor.mending import repair, tidy
from edgeinc.doctor.uses import Use, uses

__all__ = ["UNKNOWN", "Examination", "Use", "examine", "repair", "tidy", "uses"]
