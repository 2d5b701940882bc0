"""`edgeinc embed` and `edgeinc export`: features for other tools, examples for other devices."""

from __future__ import annotations

from pathlib import Path

import click

from edgeinc.cli.common import (
    Settings,
    emit,
    find_backbone,
    open_engine,
    open_store,
    pass_settings,
    progress,
    warn,
)
from edgeinc.cli.options import Place, takes
from edgeinc.types import counted

__all__ = ["embed_command", "export_command"]

ARCHIVE = ".edgeinc"
HDF5 = (".h5", ".hdf5")


@takes("store", "backbone", "device", "strict", "threads")
@click.command("embed")
@click.argument("folder", metavar="DIR", type=Place())
@click.option("-o", "--output", required=True, metavar="FILE.h5", type=Place())
@click.option("--tensor", metavar="NAME", help="Another layer of the network, pooled or not.")
@pass_settings
def embed_command(settings: Settings, folder: str, output: str, tensor: str | None) -> None:
    """Write the features of a folder to HDF5.

    The folder holds one folder a label. The file holds `features`, `labels` and
    `label_names`, ready for a linear model or an SVM. Nothing is enrolled.
    """
    if _kind(output) not in HDF5:
        raise click.UsageError("The file must be called FILE.h5 or FILE.hdf5.")
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
    warn(done.skipped)
    emit(
        settings,
        {"n": done.shape[0], "shape": list(done.shape), "skipped": len(done.skipped)},
        f"{counted(done.shape[0], 'features')} of shape {done.shape[1:]} written to {output}",
    )


@takes("store", "backbone", "device", "strict", "threads")
@click.command("export")
@click.argument("output", metavar="FILE.h5|FILE.edgeinc", type=Place())
@click.option("--thumbnails", is_flag=True, help="Take thumbnails along in an archive.")
@pass_settings
def export_command(settings: Settings, output: str, thumbnails: bool) -> None:
    """Write what is enrolled to HDF5, or to an archive.

    FILE.edgeinc is an archive: `merge` takes it over on another device, with all that was
    done to each example. Of purged examples nothing but their ids is in it; forgotten ones,
    which `undo` could bring back, are. FILE.h5 and FILE.hdf5 are HDF5: `features`, `labels`
    and `label_names`.
    """
    if _kind(output) not in (ARCHIVE, *HDF5):
        raise click.UsageError(f"The file must be called FILE.h5, FILE.hdf5 or FILE{ARCHIVE}.")
    if _kind(output) == ARCHIVE:
        with open_store(settings) as store:
            n = store.export(output, thumbnails=thumbnails)
            counting = sum(entry.examples for entry in store.classes()) + store.negatives()
            shape = (n, store.dim)
        what = counted(counting, "examples")
        if rest := n - counting:
            what += f", and {rest} that do not count (forgotten, taken back or there twice),"
    elif thumbnails:
        raise click.UsageError(f"--thumbnails is for archives: FILE{ARCHIVE}.")
    else:
        from edgeinc.export import export_hdf5

        with open_engine(settings) as engine:
            shape = export_hdf5(engine, output)
        what = counted(shape[0], "features")
    emit(
        settings,
        {"n": shape[0], "shape": list(shape)},
        f"{what} of {shape[1]} dimensions written to {output}",
    )


def _kind(file: str) -> str:
    """How a file's name ends, in small letters."""
    return Path(file).suffix.casefold()
