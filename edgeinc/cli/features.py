"""`edgeinc embed` and `edgeinc export`: features for other tools, as HDF5."""

from __future__ import annotations

import click

from edgeinc.cli.common import (
    Settings,
    emit,
    find_backbone,
    note,
    open_engine,
    pass_settings,
    progress,
)

__all__ = ["embed_command", "export_command"]


@click.command("embed")
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("-o", "--output", required=True, metavar="FILE.h5", type=click.Path())
@click.option("--tensor", metavar="NAME", help="Another layer of the network, pooled or not.")
@pass_settings
def embed_command(settings: Settings, folder: str, output: str, tensor: str | None) -> None:
    """Write the features of a folder to HDF5.

    The folder holds one folder a label. The file holds `features`, `labels` and
    `label_names`, ready for a linear model or an SVM. Nothing is enrolled.
    """
    from edgeinc.export import embed_folder

    with progress("Embedding") as report_progress:
        done = embed_folder(
            folder,
            output,
            backbone=find_backbone(settings),
            tensor=tensor,
            device=settings.device,
            strict=settings.strict,
            threads=settings.threads,
            progress=report_progress,
        )
    for sentence in done.skipped:
        note(f"warning: {sentence}")
    emit(
        settings,
        {"n": done.shape[0], "shape": list(done.shape), "skipped": len(done.skipped)},
        f"{done.shape[0]} features of shape {done.shape[1:]} written to {output}",
    )


@click.command("export")
@click.argument("output", metavar="FILE.h5", type=click.Path())
@pass_settings
def export_command(settings: Settings, output: str) -> None:
    """Write the enrolled features to HDF5.

    The file holds `features`, `labels` and `label_names`.
    """
    from edgeinc.export import export_hdf5

    with open_engine(settings) as engine:
        shape = export_hdf5(engine, output)
    emit(
        settings,
        {"n": shape[0], "shape": list(shape)},
        f"{shape[0]} features of {shape[1]} dimensions written to {output}",
    )
