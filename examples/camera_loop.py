"""Recognises what a camera sees, and learns new classes while it runs.

    python examples/camera_loop.py 0 --store line3.db
    python examples/camera_loop.py rtsp://10.0.0.7/stream --store line3.db
    python examples/camera_loop.py clip.avi --learn "hex bolt" --save last.png

Type a label and press Enter: some of the next pictures are learned as that class; move the
thing a little meanwhile. An empty line undoes what was learned last, `q` ends the loop. No
window is opened, so it runs on a device without a screen: `--learn LABEL` learns from the first
pictures, and `--save FILE` keeps the newest annotated picture in a file.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from edgeinc import EdgeincError, Engine
from edgeinc.camera import frames
from edgeinc.draw import annotate, write_picture
from edgeinc.errors import InputError

# One picture in so many is learned from: neighbours hardly differ.
EVERY = 5


def main() -> int:
    """Runs the example; returns the exit status."""
    parser = argparse.ArgumentParser(description="Recognise and learn from a camera.")
    parser.add_argument("source", help="a camera's number, a URL, or a video file")
    parser.add_argument("--learn", metavar="LABEL", help="learn this from the first pictures")
    parser.add_argument("--shots", type=positive, default=5, help="pictures to learn a class from")
    parser.add_argument("--save", type=Path, help="where to keep the newest annotated picture")
    parser.add_argument("--store", default="edgeinc.db", help="the store; made when missing")
    parser.add_argument("--backbone", help="a model's name or card; default: the embedded one")
    options = parser.parse_args()
    source = int(options.source) if options.source.isdecimal() else options.source
    typed: SimpleQueue[str] = SimpleQueue()
    if options.learn is not None:
        typed.put(options.learn)
    if sys.stdin.isatty():
        threading.Thread(target=listen, args=(typed,), daemon=True).start()
    # From a camera only the newest picture is used, from a file every one.
    pictures = frames(source, latest=not Path(options.source).is_file())
    try:
        with Engine.open(options.store, backbone=options.backbone) as engine, closing(pictures):
            watch(engine, pictures, typed, options.shots, options.save)
    except EdgeincError as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def positive(text: str) -> int:
    """A number of at least one, from a command line."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def listen(typed: SimpleQueue[str]) -> None:
    """Passes on what is typed, line by line."""
    for line in sys.stdin:
        typed.put(line.strip())


def watch(
    engine: Engine,
    pictures: Iterable[NDArray[np.uint8]],
    typed: SimpleQueue[str],
    shots: int,
    save: Path | None,
) -> None:
    """Prints each change of what is seen; learns when a label was typed."""
    label, shown, taken, last = "", 0, [], None
    for picture in pictures:
        if not label and not typed.empty():
            label = typed.get()
            if label == "q":
                return
            if not label:
                print(f"undone: {engine.undo()}")
        if label:
            if shown % EVERY == 0:
                taken.append(picture)
            shown += 1
            if len(taken) == shots:
                report = engine.enroll(label, taken)
                print(f"learned {label}: {report.added} added, {report.skipped} skipped")
                label, shown, taken = "", 0, []
            continue
        prediction = engine.predict(picture)
        if prediction.label != last:
            last = prediction.label
            print(f"{last or 'unknown'} {prediction.score:.2f} ({prediction.ms:.1f} ms)")
        if save is not None:
            write_picture(save, annotate(picture, prediction))
    if label:
        needed = EVERY * (shots - 1) + 1
        raise InputError(
            f"The pictures ended after {shown} of the {needed} from which {label!r} would have "
            "been learned; nothing was. Give a longer clip, or fewer --shots."
        )


if __name__ == "__main__":
    sys.exit(main())
