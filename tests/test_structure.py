"""The rooms: who may import whom, how long a module may be, what the package exports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "edgeinc"
LEVELS = {
    0: ["devices", "errors", "types", "unclosed", "version"],
    1: ["cache", "cards", "features", "machine", "metrics", "worker"],
    2: ["children", "images", "runtimes", "heads", "store", "weights"],
    3: ["backbone", "between", "classifier", "decision", "learner", "review"],
    4: ["engine"],
    5: [
        "bench",
        "camera",
        "catalogue",
        "demo",
        "doctor",
        "draw",
        "evaluate",
        "export",
        "parts",
        "plot",
        "sklearn",
    ],
    6: ["cli", "__main__"],
}
LEVEL_OF = {room: level for level, rooms in LEVELS.items() for room in rooms}
# Rooms of one level know nothing of each other, unless a line here says why.
NEIGHBOURS = {
    ("devices", "errors"),  # what is no device is an error
    ("types", "devices"),  # a prediction tells what ran it
    ("learner", "between"),  # while a fit is under way
    ("between", "decision"),
    ("classifier", "decision"),  # two answers become one
    ("learner", "decision"),  # a ranking is what the one hands to the other
    ("catalogue", "parts"),  # models are compared on parts that are drawn
    ("demo", "draw"),  # the demo's result is an annotated picture
    ("demo", "parts"),  # of parts that it draws
    ("__main__", "cli"),
    ("plot", "bench"),  # what was measured, as bars
    ("plot", "evaluate"),  # what was found, as diagrams
    ("sklearn", "sklearn"),
}
HOMES = {
    "cv2": {"images", "draw", "camera", "parts"},
    "onnxruntime": {"runtimes"},
    "ai_edge_litert": {"runtimes"},
    "tflite_runtime": {"runtimes"},
    "onnx": {"runtimes"},
    "sqlite3": {"store"},
    "h5py": {"export"},
    "matplotlib": {"plot"},
    "click": {"cli"},
    "yaml": {"cards"},
}
# What the parts of the store may import of it; "" is what lies in none of its packages.
STORE = {
    "disk": {"disk"},
    "": {"", "disk"},
    "merging": {"merging", "", "disk"},
    "repair": {"repair", "", "disk"},
}
LONGEST = 250


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "models" not in p.relative_to(PACKAGE).parts)


def beside_the_package() -> list[Path]:
    """What is no part of an installed package."""
    places = ("benchmarks", "examples", "models/*/recipe")
    return sorted(p for place in places for p in PACKAGE.parent.glob(f"{place}/*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found.append(node.module or "")
            if node.module == "edgeinc":
                found += [f"edgeinc.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_below(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    assert here in LEVEL_OF, f"room {here} has no level"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "edgeinc":
            assert len(parts) > 1, f"{here} imports the package itself"
            there = parts[1]
            allowed = (
                there == here or LEVEL_OF[there] < LEVEL_OF[here] or ((here, there) in NEIGHBOURS)
            )
            assert allowed, f"{here} (level {LEVEL_OF[here]}) imports {there}"
        elif parts[0] in HOMES:
            assert here in HOMES[parts[0]], f"{parts[0]} is not at home in {here}"


@pytest.mark.parametrize(
    "path", [*modules(), *beside_the_package()], ids=lambda p: str(p.relative_to(PACKAGE.parent))
)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", sorted((PACKAGE / "store").rglob("*.py")), ids=lambda p: p.name)
def test_within_the_store_imports_flow_one_way(path: Path) -> None:
    here = path.parent.name if path.parent.name in STORE else ""
    if here == "" and path.name == "store.py":
        return  # it joins all parts, and imports what writes when it is first called
    for name in imports(path):
        if name.startswith("edgeinc.store."):
            there = name.split(".")[2]
            assert (there if there in STORE else "") in STORE[here], f"store/{here} imports {name}"


def test_exports() -> None:
    import edgeinc

    assert sorted(edgeinc.__all__) == list(edgeinc.__all__)
    for name in edgeinc.__all__:
        assert getattr(edgeinc, name) is not None
    written = (PACKAGE / "version.py").read_text(encoding="utf-8")
    assert re.findall(r'__version__ = "(.+)"', written) == [edgeinc.__version__]


def test_modules_take_of_each_other_what_is_offered() -> None:
    trees = {}
    for path in modules():
        dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        trees[dotted.removesuffix(".__init__")] = tree
    offered = {"edgeinc.version": {"__version__"}}
    for name, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                offered[name] = set(ast.literal_eval(node.value))
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in trees:
                taken = {one.name for one in node.names if f"{node.module}.{one.name}" not in trees}
                assert taken <= offered.get(node.module, set()), f"{name} from {node.module}"


def test_import_is_light() -> None:
    """`import edgeinc` loads neither OpenCV nor a runtime."""
    script = "import sys, edgeinc; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "edgeinc" in loaded
    assert not {"cv2", "onnxruntime", "ai_edge_litert", "onnx", "h5py", "matplotlib"} & set(loaded)
