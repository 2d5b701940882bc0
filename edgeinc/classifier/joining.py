"""Old classes and new ones in one probability.

How the old ones are ranked among themselves, the backbone's classifier alone says; how the new
ones are, the head alone. What is decided here is one number: how likely it is that the picture
shows one of the new ones at all. It multiplies the new ones' probabilities, and what is left of
1 multiplies the old ones'.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeinc.classifier.own import OwnClasses
from edgeinc.decision import CANDIDATES, Decision
from edgeinc.types import Candidate

__all__ = ["join", "likelihood", "typical"]

FAMILIAR = 1.25
"""Nats for each nat of the log-odds of familiarity to the best new class."""

LEAD = 0.5
"""Nats for each nat by which the picture speaks more for the best old class than a typical
picture of the best new class does."""

OFFSET = 6.0
"""Nats where the picture is as likely of that class as of none and speaks for no old one."""

FARTHEST = 700.0
"""Nats beyond which a probability is too small for a number."""


def join(
    enrolled: Decision,
    own: OwnClasses,
    logits: NDArray[np.float64],
    hidden: NDArray[np.bool_],
    odds: float,
) -> Decision:
    """Joins what the head says with what the backbone's classifier says.

    Args:
        enrolled: The answer among the enrolled classes; without candidates where there is none.
        own: The backbone's own classes.
        logits: `(C,)` of the picture.
        hidden: `(C,)` True for classes that an enrolled one takes the name of.
        odds: Log-odds that the picture shows an enrolled class; see `likelihood`.

    Returns:
        The answer among all. An own class that wins is known.
    """
    if hidden.all():
        return enrolled
    shares = np.exp(np.where(hidden, -np.inf, logits) - logits[~hidden].max())
    total = float(shares.sum())
    new = 1.0 / (1.0 + math.exp(min(-odds, FARTHEST))) if enrolled.candidates else 0.0
    # Stable: equals stay in the order of the classes.
    best = np.argsort(-shares, kind="stable")[:CANDIDATES].tolist()
    old = [
        Candidate(own.labels[i], (1.0 - new) * float(shares[i]) / total, base=True)
        for i in best
        if not hidden[i]
    ]
    fresh = [c._replace(score=new * c.score) for c in enrolled.candidates]
    candidates = tuple(sorted([*fresh, *old], key=lambda c: -c.score)[:CANDIDATES])
    top = candidates[0]
    known = top.base or enrolled.known
    return Decision(top.label if known else None, top.score, known, candidates)


def likelihood(familiar: float, lead: float) -> float:
    """Log-odds that a picture shows an enrolled class rather than one of the old ones.

    Args:
        familiar: Log-odds of its familiarity to the best new class, nats; a threshold that a
            person sets does not move it.
        lead: The best old class's logit for the picture, less that for a typical picture of the
            best new class, in nats. A class that the classifier has always taken for a daisy is
            not given up because a picture of it looks like a daisy.
    """
    return FAMILIAR * familiar - LEAD * lead + OFFSET


def typical(
    total: NDArray[np.int64], embedding: NDArray[np.generic], *, nonnegative: bool
) -> NDArray[np.float64]:
    """The embedding `(d,)` of a typical picture of a class, as strong as a given one.

    Args:
        total: `(d,)` exact sum of the class's features, not all zero.
        embedding: `(d,)` of the picture.
        nonnegative: Features are square roots of embeddings (docs/heads.md).
    """
    real = embedding.astype(np.float64)
    if nonnegative:
        mean = np.square(total / np.abs(total).max())
        return np.asarray(mean * (real.sum() / mean.sum()))
    return np.asarray(total * (np.linalg.norm(real) / np.linalg.norm(total.astype(np.float64))))
