"""Accuracy of an engine: against folders of pictures, or leave-one-out on what it knows."""

from edgeinc.evaluate.folder import evaluate_folder
from edgeinc.evaluate.leave_one_out import evaluate_loo
from edgeinc.evaluate.records import Evaluation, StrangerEvaluation

__all__ = ["Evaluation", "StrangerEvaluation", "evaluate_folder", "evaluate_loo"]
