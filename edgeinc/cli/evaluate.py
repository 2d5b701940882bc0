"""`edgeinc eval`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeinc.cli.common import Settings, emit, note, open_engine, pass_settings, progress, warn
from edgeinc.cli.options import Place, say_useless, takes
from edgeinc.types import counted

if TYPE_CHECKING:
    from edgeinc.evaluate import StrangerEvaluation

__all__ = ["eval_command"]


@takes("store", "backbone", "device", "strict", "threads", "head", "base_classes", "tta")
@click.command("eval")
@click.argument("folder", required=False, metavar="[DIR]", type=Place())
@click.option("--loo", is_flag=True, help="Leave-one-out on what is enrolled; no folder needed.")
@click.option(
    "--unknown",
    metavar="DIR",
    type=Place(),
    help="Strangers: a folder of pictures of nothing enrolled.",
)
@click.option("--plot", metavar="FILE.png", type=Place(), help="Draw confusion and calibration.")
@pass_settings
def eval_command(
    settings: Settings, folder: str | None, loo: bool, unknown: str | None, plot: str | None
) -> None:
    """Measure accuracy.

    Against a folder that holds one folder a label, or with --loo by leaving out each
    enrolled example in turn, in closed form. With --unknown also how well pictures of
    what is enrolled and of what is not are told apart.
    """
    from edgeinc.evaluate import evaluate_folder, evaluate_loo

    if (folder is None) != loo:
        raise click.UsageError("Give either DIR or --loo.")
    if loo and unknown is not None:
        raise click.UsageError("--unknown is compared with DIR; give one, not --loo.")
    if loo:
        # It reads no picture, and asks about what is enrolled.
        for name in ("tta", "base_classes"):
            say_useless(click.get_current_context(), name, "edgeinc eval --loo")
        settings = settings._replace(tta=False, base_classes=False)
    if plot is not None:
        from edgeinc.plot import check_place

        check_place(plot)
    with open_engine(settings) as engine:
        if folder is not None:
            with progress("Evaluating") as report_progress:
                result = evaluate_folder(engine, folder, unknown=unknown, progress=report_progress)
        else:
            result = evaluate_loo(engine)
    warn(result.skipped)
    warn(result.warnings)
    tops = {f"top{k}": round(share, 6) for k, share in enumerate(result.topk, 1)}
    text = [
        f"{counted(result.n, 'pictures')}  " + "  ".join(f"{k} {v:.3f}" for k, v in tops.items())
    ]
    text += [f"{share:8.3f}  {label}" for label, share in result.per_class.items()]
    text.append(f"taken for unknown: {result.unknown_rate:.3f}")
    text.append(f"expected calibration error: {result.ece:.3f}")
    record: dict[str, Any] = {
        "n": result.n,
        **tops,
        "per_class": dict(result.per_class),
        "confusion": {truth: dict(row) for truth, row in result.confusion.items()},
        "unknown_rate": result.unknown_rate,
        "ece": result.ece,
        "skipped": len(result.skipped),
        "warnings": list(result.warnings),
    }
    if result.strangers is not None:
        record |= _strangers(result.strangers)
        text += _described(result.strangers)
    emit(settings, record, "\n".join(text))
    if plot is not None:
        from edgeinc.plot import plot_evaluation

        plot_evaluation(result, plot)
        note(f"plot written to {plot}")


def _strangers(found: StrangerEvaluation) -> dict[str, Any]:
    """What `--unknown` adds to the record."""
    return {
        "strangers": found.n,
        "auroc": found.auroc,
        "fpr95": found.fpr95,
        "accepted": found.accepted,
        "rejected": found.rejected,
        "taken_for": dict(found.taken_for),
    }


def _described(found: StrangerEvaluation) -> list[str]:
    """What `--unknown` adds to the text."""
    lines = [
        f"{counted(found.n, 'strangers')} against {counted(found.known, 'known pictures')}",
        f"AUROC {found.auroc:.3f}  strangers let in at 95 % recall {found.fpr95:.3f}",
        f"at the store's thresholds: known accepted {found.accepted:.3f}"
        f"  strangers rejected {found.rejected:.3f}",
    ]
    return lines + [f"{count:8}  strangers taken for {k}" for k, count in found.taken_for.items()]
