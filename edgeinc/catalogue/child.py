"""The process in which a network is tried: `python -m edgeinc.catalogue.child`.

It works in a folder that holds the weights; see `edgeinc.catalogue.trial`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgeinc.cards import ModelCard, dump_card, parse_card
from edgeinc.catalogue.adding import make_card
from edgeinc.catalogue.newcard import NewCard
from edgeinc.catalogue.verifying import run_card
from edgeinc.children import serve
from edgeinc.errors import WeightsError
from edgeinc.runtimes import inspect

__all__ = ["main"]

Request = dict[str, Any]


def main() -> None:
    """Does what the request asks."""
    serve(lambda request: _JOBS[request["job"]](request))


def _inspect(request: Request) -> dict[str, Any]:
    found = inspect(Path(request["name"]).read_bytes(), request["runtime"])
    return {
        "inputs": [asdict(spec) for spec in found.inputs],
        "outputs": [asdict(spec) for spec in found.outputs],
        "candidates": [
            {"spec": asdict(one.spec), "operator": one.operator, "pooled": one.pooled}
            for one in found.candidates
        ],
    }


def _gather(request: Request) -> dict[str, Any]:
    from edgeinc.runtimes.onnx_external import gathered

    whole = gathered(Path(request["name"]).read_bytes(), Path(request["folder"]))
    return {"network": base64.b64encode(whole).decode()}


def _make(request: Request) -> dict[str, Any]:
    name, wanted = request["name"], NewCard.of(request["wanted"])
    card = make_card(name, Path(name).read_bytes(), request["runtime"], wanted)
    if not run_card(replace(card, folder=Path()))["varies"]:
        raise WeightsError(
            f"{name} gives the same embedding {card.layer!r} for two different "
            "pictures, which tells nothing of them; name another --embedding, give the right "
            "--mean and --std, or export the trained network again."
        )
    return {"card": dump_card(card)}


def _run(request: Request) -> dict[str, Any]:
    return run_card(_one_file(request))


def _one_file(request: Request) -> ModelCard:
    """A card with the file alone that is in this folder."""
    card = parse_card(request["card"], Path())
    files = tuple(file for file in card.files if file.name == request["name"])
    return replace(card, files=files)


def _embed(request: Request) -> dict[str, Any]:
    from edgeinc.catalogue.compare_trial import embed_shown

    return embed_shown(_one_file(request), request["device"], request["paths"], request["parts"])


def _quantize(request: Request) -> dict[str, Any]:
    # Here: no other job wants it, and it brings a package that takes a second to load.
    from edgeinc.catalogue.quantize_trial import quantize_and_measure

    return quantize_and_measure(
        request["name"],
        NewCard.of(request["wanted"]),
        named=request["named"],
        pictures=request["pictures"],
        least=request["least"],
        share=request["share"],
    )


_JOBS: dict[str, Callable[[Request], dict[str, Any]]] = {
    "embed": _embed,
    "gather": _gather,
    "inspect": _inspect,
    "make": _make,
    "quantize": _quantize,
    "run": _run,
}

if __name__ == "__main__":
    main()
