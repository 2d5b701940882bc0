"""Learns every class of a folder that holds one folder per label, then names other pictures.

    python examples/enroll_folder.py photos/ new1.jpg new2.jpg --store parts.db

`photos/bolt/*.jpg` become the class `bolt`, and so on. Run it again after adding pictures:
what is already enrolled is skipped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeinc import EdgeincError, Engine


def main() -> int:
    """Runs the example; returns the exit status."""
    parser = argparse.ArgumentParser(description="Enrol a folder, then name pictures.")
    parser.add_argument("folder", type=Path, help="a folder that holds one folder per label")
    parser.add_argument("pictures", type=Path, nargs="*", help="pictures to name")
    parser.add_argument("--store", default="edgeinc.db", help="the store; made when missing")
    parser.add_argument("--backbone", help="a model's name or card; default: the embedded one")
    options = parser.parse_args()
    try:
        with Engine.open(options.store, backbone=options.backbone) as engine:
            report = engine.enroll_folder(options.folder)
            for warning in report.warnings:
                print(warning, file=sys.stderr)
            print(f"{report.added} added, {report.skipped} skipped")
            for label, count in report.classes.items():
                print(f"  {label}: {count}")
            engine.flush()
            for path in options.pictures:
                prediction = engine.predict(path)
                print(f"{path}: {prediction.label or 'unknown'} {prediction.score:.2f}")
    except EdgeincError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
