"""`edgeinc eval`."""

from __future__ import annotations

import click

from edgeinc.cli.common import Settings, emit, note, open_engine, pass_settings, progress

__all__ = ["eval_command"]


@click.command("eval")
@click.argument("folder", required=False, metavar="DIR", type=click.Path())
@click.option("--loo", is_flag=True, help="Leave-one-out on what is enrolled; no folder needed.")
@click.option(
    "--plot", metavar="FILE.png", type=click.Path(), help="Draw confusion and calibration."
)
@pass_settings
def eval_command(settings: Settings, folder: str | None, loo: bool, plot: str | None) -> None:
    """Measure accuracy.

    Against a folder that holds one folder a label, or with --loo by leaving out each
    enrolled example in turn, in closed form.
    """
    from edgeinc.evaluate import evaluate_folder, evaluate_loo

    if (folder is None) != loo:
        raise click.UsageError("Give either DIR or --loo.")
    with open_engine(settings) as engine:
        if folder is not None:
            with progress("Evaluating") as report_progress:
                result = evaluate_folder(engine, folder, progress=report_progress)
        else:
            result = evaluate_loo(engine)
    for sentence in result.skipped:
        note(f"warning: {sentence}")
    if plot is not None:
        from edgeinc.plot import plot_evaluation

        plot_evaluation(result, plot)
        note(f"plot written to {plot}")
    tops = {f"top{k}": round(share, 6) for k, share in enumerate(result.topk, 1)}
    text = [f"{result.n} pictures  " + "  ".join(f"{k} {v:.3f}" for k, v in tops.items())]
    text += [f"{share:8.3f}  {label}" for label, share in result.per_class.items()]
    text.append(f"taken for unknown: {result.unknown_rate:.3f}")
    text.append(f"expected calibration error: {result.ece:.3f}")
    record = {
        "n": result.n,
        **tops,
        "per_class": dict(result.per_class),
        "confusion": {truth: dict(row) for truth, row in result.confusion.items()},
        "unknown_rate": result.unknown_rate,
        "ece": result.ece,
        "skipped": len(result.skipped),
    }
    emit(settings, record, "\n".join(text))
