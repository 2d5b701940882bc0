"""Content-based look-up: which stored pictures are most like this one?

    python examples/lookup.py photos/ query.jpg -k 8 --sheet nearest.png

No classifier is involved: the nearest descriptor decides. Everything in `photos/` (one
folder per label) is put into the store once; later runs find it there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeinc import EdgeincError, Engine
from edgeinc.draw import contact_sheet, write_picture
from edgeinc.images import read_image


def main() -> int:
    """Runs the example; returns the exit status."""
    parser = argparse.ArgumentParser(description="Find the stored pictures nearest to another.")
    parser.add_argument("folder", type=Path, help="a folder that holds one folder per label")
    parser.add_argument("query", type=Path, help="the picture to look up")
    parser.add_argument("-k", type=int, default=5, help="how many to find")
    parser.add_argument("--sheet", type=Path, help="write the query and the matches as one picture")
    parser.add_argument("--store", default="lookup.db", help="the store; made when missing")
    parser.add_argument("--backbone", help="a model's name or card; default: the embedded one")
    options = parser.parse_args()
    try:
        with Engine.open(options.store, backbone=options.backbone) as engine:
            engine.enroll_folder(options.folder)
            matches = engine.search(options.query, k=options.k)
        for match in matches:
            print(f"{match.similarity:.3f}  {match.label}  {match.source}")
        if options.sheet is not None:
            found = [read_image(match.source) for match in matches if match.source is not None]
            sections = {"looked up": [read_image(options.query)], "nearest": found}
            write_picture(options.sheet, contact_sheet(sections, columns=options.k))
    except EdgeincError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
