"""The recipe's one command: `python models/pebble/recipe STEP --config recipe.yaml`.

Steps: data, teach, train, curves, export, card, judge; `all` does them in this order. Each goes on
from what earlier calls left in the work folder. `compare` trains the ideas of --ideas for a short
time each, on which the choice of settings rests.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from data import prepare
from ready import ready
from settings import RecipeError, Settings, read_settings
from talk import speak

from edgeinc.errors import EdgeincError

HOME = Path(__file__).resolve().parent.parent
LAST = ("export", "card", "judge")
STEPS = ("data", "teach", "train", "curves", *LAST)


def main() -> int:
    """Run the command; 0 done, 1 failed with a sentence, 130 interrupted."""
    given = _arguments()
    # Told to end, it ends its workers too, as when it is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    speak()
    try:
        settings = read_settings(
            given.config,
            pictures=given.pictures,
            work=given.work,
            judge=given.judge,
        )
        _run(STEPS if given.step == "all" else (given.step,), settings, given)
    except (RecipeError, EdgeincError) as exc:
        print(f"recipe: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("recipe: interrupted; run the same command to go on.", file=sys.stderr)
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recipe", description=__doc__)
    parser.add_argument("step", choices=(*STEPS, "all", "compare"))
    parser.add_argument("--config", type=Path, default=HOME / "recipe.yaml")
    parser.add_argument("--pictures", type=Path, help="folder of folders of pictures")
    parser.add_argument("--work", type=Path, help="folder for caches, checkpoints and logs")
    parser.add_argument("--judge", type=Path, help="labelled pictures that measure the result")
    parser.add_argument("--name", default="run", help="of this training, below the work folder")
    parser.add_argument("--ideas", type=Path, default=HOME / "ideas.yaml", help="for `compare`")
    parser.add_argument("--out", type=Path, help="where card and weights go; else below the run")
    return parser.parse_args()


def _run(steps: tuple[str, ...], settings: Settings, given: argparse.Namespace) -> None:
    run = settings.work / given.name
    out = given.out or run / "out"
    ready(steps, settings, out)
    pictures = prepare(settings)
    for step in steps:
        if step == "teach":
            from teachers import embed_all

            embed_all(settings, pictures)
        elif step == "train":
            from runs import train

            train(settings, pictures, run)
        elif step == "compare":
            from compare import compare

            compare(settings, pictures, given.ideas, out)
        elif step == "curves":
            from curves import draw

            draw(run / "log.jsonl", out / "training.png")
    if last := [step for step in steps if step in LAST]:
        from finish import finish

        finish(last, settings, pictures, run, out)


if __name__ == "__main__":
    sys.exit(main())
