"""Archives: whole or not there, the same bytes for the same content, and hostile ones refused."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeinc.errors import EdgeincError, InputError, StoreError, StoreFormatError, StoreVersionError
from edgeinc.store import Store
from edgeinc.store.merging.sources import identify
from tests.fleets import MEMORY, shared
from tests.stores import WEIGHTS, contents, enroll, integers, open_store, shot

PIXELS = b"\xff\xd8\xffpixels\xff\xd9"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where the system has it: nothing here needs to last."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something of everything in it."""
    path = tmp_path_factory.mktemp("made") / "a.db"
    with open_store(path) as store:
        enroll(store, "nut", 1, 2)
        store.enroll([shot("bölt ☃", 3, "c/1.jpg")._replace(thumbnail=PIXELS)], **WEIGHTS)
        wide = shot("nut", 4)._replace(embedding=integers(4).astype("<i2") - 200)
        store.enroll([wide], **WEIGHTS)
        store.rename("nut", "hex nut")
        store.set_threshold("hex nut", 0.25)
        store.forget(sample=store.samples("hex nut")[0].id)
        enroll(store, "washer", 5)
        store.undo()
        enroll(store, "gone", 6)
        store.forget("gone", purge=True)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(made, tmp_path / "a.db")
    with open_store(tmp_path / "a.db") as opened:
        yield opened


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    path = tmp_path / "a.edgeinc"
    store.export(path, thumbnails=True)
    return path


def seal(lines: list[bytes]) -> bytes:
    """An archive of these lines with a checksum that fits."""
    body = b"".join(lines)
    return body + dumps({"sha256": hashlib.sha256(body).hexdigest()})


def dumps(fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def changed(archive: Path, line: int, **fields: object) -> bytes:
    """The archive with a line's fields changed, and a checksum that fits."""
    lines = archive.read_bytes().splitlines(keepends=True)[:-1]
    lines[line] = dumps({**json.loads(lines[line]), **fields})
    return seal(lines)


def test_an_archive_holds_all_that_a_merge_takes_over(
    store: Store, file: Path, tmp_path: Path
) -> None:
    assert identify(file) == ("tiny", "f" * 64, 8, None)
    with open_store(tmp_path / "b.db") as other:
        change = other.merge([file])
        assert change.came == len(contents(store)) == 3
        assert contents(other) == contents(store)
        assert shared(other) == shared(store)
        assert other.merge([store.path]).operation is None
        (bolt,) = other.samples("bölt ☃")
        assert (bolt.source, other.thumbnail(bolt.id)) == ("c/1.jpg", PIXELS)
        assert bolt.time == store.samples("bölt ☃")[0].time
        # What was forgotten elsewhere is not for undo to bring back here.
        assert other.undo().operation is None


def test_the_same_content_is_the_same_bytes(store: Store, file: Path, tmp_path: Path) -> None:
    with open_store(tmp_path / "b.db") as other:
        other.merge([file])
        other.export(tmp_path / "b.edgeinc", thumbnails=True)
    assert (tmp_path / "b.edgeinc").read_bytes() == file.read_bytes()


def test_thumbnails_stay_at_home_unless_asked_for(store: Store, tmp_path: Path) -> None:
    assert store.export(tmp_path / "plain.edgeinc") == 5
    assert base64.b64encode(PIXELS) not in (tmp_path / "plain.edgeinc").read_bytes()
    with open_store(tmp_path / "b.db") as other:
        other.merge([tmp_path / "plain.edgeinc"])
        (bolt,) = other.samples("bölt ☃")
        assert other.thumbnail(bolt.id) is None
        other.merge([store.path])
        assert other.thumbnail(bolt.id) == PIXELS


def test_an_archive_is_plain_text(store: Store, file: Path) -> None:
    """What docs/store.md says of it, read with nothing of edgeinc."""
    *lines, end = file.read_bytes().decode("ascii").splitlines()
    header, *records = map(json.loads, lines)
    assert header == {
        "format": "edgeinc archive",
        "version": 2,
        "backbone": "tiny",
        "fingerprint": "f" * 64,
        "dim": 8,
        "operations": sum("counter" in record for record in records),
        "examples": sum("example" in record for record in records),
        "purged": 1,
    }
    body = "".join(f"{line}\n" for line in lines).encode()
    assert json.loads(end) == {"sha256": hashlib.sha256(body).hexdigest()}
    found = {record["example"]: record for record in records if "example" in record}
    for id in contents(store):
        assert base64.b64decode(found[id]["embedding"])
    assert "gone" not in body.decode()


def test_a_file_appears_whole_or_not_at_all(store: Store, file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tests.stores import open_store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = open_store(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "store.export(sys.argv[2])\n"
    )
    words = [sys.executable, "-c", script, str(store.path), str(file)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert "InputError" in done.stderr
    assert "cannot be written" in done.stderr
    assert file.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == limit
    for wrong in (tmp_path, tmp_path / "no folder" / "x.edgeinc"):
        with pytest.raises(InputError):
            store.export(wrong)


def refused(content: bytes, folder: Path) -> EdgeincError:
    """The error that a merge of this archive raises; nothing may have been written."""
    path = folder / "hostile.edgeinc"
    path.write_bytes(content)
    with open_store(folder / "victim.db") as victim:
        before = victim.path.read_bytes()
        with pytest.raises(StoreError) as caught:
            victim.merge([path])
        assert victim.path.read_bytes() == before
        assert not victim.path.with_name("victim.db-journal").exists()
    return caught.value


def test_every_cut_and_every_flipped_byte_is_noticed(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    rng = random.Random(0)
    cuts = {0, 1, 40, len(content) - 1, *rng.sample(range(len(content)), 25)}
    flips = [0, 30, len(content) - 1, *rng.sample(range(len(content)), 25)]
    for cut in sorted(cuts):
        refused(content[:cut], tmp_path)
    for at in flips:
        refused(
            content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],
            tmp_path,
        )
    for more in (b"\n", b"x", content):
        refused(content + more, tmp_path)


def find(file: Path, key: str) -> int:
    """The first line that has a key, and is not the header."""
    lines = file.read_bytes().splitlines()
    return next(i for i, line in enumerate(lines) if i and json.loads(line).get(key))


def zeros(n: int) -> str:
    return base64.b64encode(bytes(n)).decode()


ID = "00" * 16
FIELDS: dict[str, tuple[str, dict[str, object]]] = {
    "a label with a line break": ("example", {"label": "two\nlines"}),
    "a label that is not clean": ("example", {"label": " nut"}),
    "a label of 201 characters": ("example", {"label": "x" * 201}),
    "a label that is no text": ("example", {"label": ["nut"]}),
    "half a character": ("example", {"source": "\ud800"}),
    "an embedding too short": ("example", {"embedding": base64.b64encode(bytes(7)).decode()}),
    "an embedding too long": ("example", {"embedding": base64.b64encode(bytes(17)).decode()}),
    "an embedding not in its form": (
        "example",
        {"embedding": base64.b64encode(bytes(16)).decode()},
    ),
    "an embedding that is no base64": ("example", {"embedding": "*" * 12}),
    "an embedding of another type": ("example", {"embedding": 7}),
    "no operation of that id": ("example", {"operation": ID}),
    "a removal by nobody": ("example", {"removals": [ID]}),
    "removals that are none": ("example", {"removals": 5}),
    "a relabelling by nobody": ("example", {"relabels": [[ID, "nut"]]}),
    "a relabelling without a label": ("example", {"relabels": [[ID]]}),
    "a thumbnail beyond all bounds": ("example", {"thumbnail": zeros(1 << 20)}),
    "a thumbnail that is a program": ("example", {"thumbnail": "f0VMRgIBAQ=="}),
    "half a thumbnail": ("example", {"thumbnail": "/9j/4A=="}),
    "an id too short": ("example", {"example": "00"}),
    "an id that is no text": ("example", {"example": None}),
    "a field too many": ("example", {"more": 1}),
    "a counter beyond all bounds": ("counter", {"counter": 2**63}),
    "a counter of many digits": ("counter", {"counter": 10**4000}),
    "a counter of none": ("counter", {"counter": 0}),
    "a counter that is a truth": ("counter", {"counter": True}),
    "a counter that is a fraction": ("counter", {"counter": 1.5}),
    "a kind that does not travel": ("counter", {"kind": "purge"}),
    "a time without end": ("counter", {"time": 1e999}),
    "a time that is text": ("counter", {"time": "now"}),
    "a file of one part": ("counter", {"file": ["x"]}),
    "a file of other types": ("counter", {"file": [1, 2]}),
    "undone, or who knows": ("counter", {"undone": None}),
    "no tool": ("counter", {"tool": None}),
    "a device that is none": ("counter", {"device": "zz"}),
    "a threshold that is a word": ("threshold", {"threshold": "0.5"}),
    "a threshold that is no fraction": ("threshold", {"threshold": 1}),
    "a threshold below all": ("threshold", {"threshold": -0.25}),
    "a threshold above all": ("threshold", {"threshold": 1.25}),
    "a threshold of less than nothing": ("threshold", {"threshold": -0.0}),
    "a threshold that an enrolment sets": ("threshold", {"kind": "enroll"}),
    "a threshold set by nobody": ("example", {"thresholds": [ID]}),
    "thresholds that are none": ("example", {"thresholds": None}),
    "a purged id that is none": ("purged", {"purged": "0"}),
}


@pytest.mark.parametrize("what", FIELDS)
def test_a_field_that_cannot_be_is_refused(what: str, file: Path, tmp_path: Path) -> None:
    key, fields = FIELDS[what]
    error = refused(changed(file, find(file, key), **fields), tmp_path)
    assert isinstance(error, StoreFormatError)
    assert len(str(error)) < 400


def test_an_error_names_the_line_and_the_field(file: Path, tmp_path: Path) -> None:
    line = find(file, "example")
    error = refused(changed(file, line, label=" nut"), tmp_path)
    assert f": line {line + 1}: example " in str(error)
    assert "has no possible label. Nothing was changed; export it again." in str(error)
    absent = tmp_path / "not here.edgeinc"
    with open_store(tmp_path / "b.db") as other, pytest.raises(StoreError) as caught:
        other.merge([absent])
    assert str(caught.value).count("not here") == 1
    assert "Errno" not in str(caught.value)


HEADERS: dict[str, dict[str, object]] = {
    "more examples than there are": {"examples": 6},
    "fewer": {"examples": 4},
    "so many that counting would not end": {"examples": 2**31 - 1},
    "so many that no number holds them": {"examples": 10**30},
    "less than none": {"purged": -1},
    "a count that is no number": {"operations": "3"},
    "a length of none": {"dim": 0},
    "a length of an ocean": {"dim": 2**31 - 1},
    "a backbone without a name": {"backbone": None},
    "a version that is none": {"version": "1"},
    "an earlier version than the first": {"version": 0},
    "more than a header has": {"more": 0},
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_that_cannot_be_is_refused(what: str, file: Path, tmp_path: Path) -> None:
    refused(changed(file, 0, **HEADERS[what]), tmp_path)


def test_an_archive_of_version_1_is_read(store: Store, file: Path, tmp_path: Path) -> None:
    store.undo(2)
    store.set_threshold("hex nut", None)
    store.export(file, thumbnails=True)
    lines = [json.loads(line) for line in file.read_bytes().splitlines()[:-1]]
    for line in lines:
        for key in ("threshold", "thresholds"):
            line.pop(key, None)
    old = [line for line in lines if line.get("kind") != "threshold"]
    old[0] |= {"version": 1, "operations": old[0]["operations"] - len(lines) + len(old)}
    (tmp_path / "old.edgeinc").write_bytes(seal([dumps(line) for line in old]))
    with open_store(tmp_path / "b.db") as other:
        other.merge([tmp_path / "old.edgeinc"])
        assert contents(other) == contents(store)
    # Neither has lines of the other.
    for version, records in ((1, lines), (2, old)):
        mixed = [{**records[0], "version": version}, *records[1:]]
        refused(seal([dumps(line) for line in mixed]), tmp_path)


def test_a_newer_format_is_named_as_such(file: Path, tmp_path: Path) -> None:
    error = refused(changed(file, 0, version=3), tmp_path)
    assert isinstance(error, StoreVersionError)
    assert "Upgrade edgeinc" in str(error)


ARRANGEMENTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "out of order": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "there twice": lambda lines: [lines[0], lines[1], lines[1], *lines[3:]],
    "examples out of order": lambda lines: [*lines[:-3], lines[-2], lines[-3], lines[-1]],
    "an example there twice": lambda lines: [*lines[:-3], lines[-2], lines[-2], lines[-1]],
    "another kind": lambda lines: [*lines[:-2], lines[-1], lines[-2]],
    "a line of its own making": lambda lines: [lines[0], b"{}\n", *lines[2:]],
    "no JSON": lambda lines: [lines[0], b"{{\n", *lines[2:]],
    "a list": lambda lines: [lines[0], b"[]\n", *lines[2:]],
    "lists in lists": lambda lines: [lines[0], b"[" * 100_000 + b"\n", *lines[2:]],
    "a name twice": lambda lines: [
        lines[0],
        lines[1].replace(b"{", b'{"undone":true,', 1),
        *lines[2:],
    ],
    "white space": lambda lines: [lines[0], lines[1].replace(b",", b", ", 1), *lines[2:]],
    "not a number": lambda lines: [lines[0], b'{"time":NaN}\n', *lines[2:]],
    "no text": lambda lines: [lines[0], b"\xff\xfe\n", *lines[2:]],
    "a line without end": lambda lines: [lines[0], b'"' + b"x" * (5 << 20) + b'"\n', *lines[2:]],
    "no line": lambda lines: [],
}


@pytest.mark.parametrize("how", ARRANGEMENTS)
def test_lines_that_cannot_be_are_refused(how: str, file: Path, tmp_path: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)[:-1]
    refused(seal(ARRANGEMENTS[how](lines)), tmp_path)


def test_a_forged_counter_does_not_end_a_store(file: Path, tmp_path: Path) -> None:
    """It is the highest there may be: what is done afterwards has none that is higher."""
    (tmp_path / "f.edgeinc").write_bytes(changed(file, find(file, "counter"), counter=2**62))
    with open_store(tmp_path / "b.db") as one, open_store(tmp_path / "c.db") as two:
        one.merge([tmp_path / "f.edgeinc"])
        one.rename("hex nut", "nut")
        enroll(one, "screw", 9)
        two.merge([one.path])
        enroll(two, "nail", 10)
        one.merge([two.path])
        assert shared(one) == shared(two)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no /proc here, which tells of memory"
)
def test_memory_does_not_grow_with_an_archive(tmp_path: Path) -> None:
    """One of 10 MB, read with little more memory than one of 100 kB."""
    peaks = []
    for n in (30, 3000):
        with open_store(tmp_path / f"{n}.db", dim=4) as store:
            pass
        header = dumps(
            {
                "format": "edgeinc archive",
                "version": 1,
                "backbone": "tiny",
                "fingerprint": "f" * 64,
                "dim": 4,
                "operations": 0,
                "examples": n,
                "purged": 0,
            }
        )
        example = {
            "operation": ID,
            "label": "nut",
            "embedding": zeros(4),
            "source": "x" * 3000,
            "thumbnail": None,
            "removals": [],
            "relabels": [],
        }
        lines = [dumps({"example": f"{i:032x}", **example}) for i in range(n)]
        (tmp_path / f"{n}.edgeinc").write_bytes(seal([header, *lines]))
        script = (
            "import sys; from edgeinc.store import Store; from edgeinc.errors import *\n"
            "store = Store.open(sys.argv[1], backbone='tiny', fingerprint='f' * 64, dim=4)\n"
            "try: store.merge([sys.argv[2]])\n"
            "except StoreFormatError as exc: assert 'there is no operation' in str(exc)\n"
            "peak = [s for s in open('/proc/self/status') if s.startswith('VmHWM')]\n"
            "print(peak[0].split()[1])"
        )
        words = [sys.executable, "-c", script, str(store.path), str(tmp_path / f"{n}.edgeinc")]
        peaks.append(int(subprocess.run(words, capture_output=True, check=True).stdout))
    assert peaks[1] < peaks[0] + 4 * 1024


def test_an_archive_that_changes_as_it_is_merged(
    store: Store, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is checked before, and again as it is taken in."""
    from edgeinc.store.merging import merge as merging

    # More than is read at once.
    enroll(store, "screw", *range(200))
    store.export(file)
    broken = file.read_bytes().replace(b"screw", b"strew")
    monkeypatch.setattr(merging, "match_source", lambda *_: file.write_bytes(broken))
    with open_store(tmp_path / "b.db") as other:
        with pytest.raises(StoreFormatError, match="checksum"):
            other.merge([file])
        assert other.log() == []
        assert shared(other) == b""


def test_a_purge_during_an_export_is_noticed(store: Store, tmp_path: Path) -> None:
    from edgeinc.errors import StoreBusyError
    from edgeinc.store.merging.sources import StoreSource

    source = StoreSource(store._db)
    store.purge()
    with pytest.raises(StoreBusyError, match="Read it again"):
        list(source.records())


def test_the_shell_carries_enrolments(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edgeinc.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["--store", "a.db", "--json", "export", "x.edgeinc"]) == 0
    assert json.loads(capsys.readouterr().out) == {"n": 5, "shape": [5, 8]}
    # A new device takes the backbone from the archive, card or no card.
    for expected in ({"added": 3, "removed": 0}, {"added": 0, "removed": 0}):
        assert main(["--store", "new.db", "--json", "merge", "x.edgeinc", "a.db"]) == 0
        assert json.loads(capsys.readouterr().out) == expected
    assert main(["--store", "new.db", "samples", "hex nut"]) == 0
    assert main(["--store", "new.db", "merge", "nowhere.db"]) == 1
    assert "nowhere.db" in capsys.readouterr().err
    assert main(["--store", "new.db", "merge"]) == 2
    assert main(["--store", "new.db", "export", "x.h5", "--thumbnails"]) == 2
    shutil.copy("x.edgeinc", "y.edgeinc")
    os.truncate("y.edgeinc", 500)
    assert main(["--store", "third.db", "merge", "y.edgeinc"]) == 1
    assert not Path("third.db").exists()


def test_the_shell_reads_an_archive_twice_and_checks_all_before_it_makes_a_store(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edgeinc.cli import main
    from edgeinc.store.merging.archive import ArchiveSource

    monkeypatch.chdir(tmp_path)
    shutil.copy(file, "cut.edgeinc")
    os.truncate("cut.edgeinc", 900)
    read: list[str] = []
    records = ArchiveSource.records

    def note(source: ArchiveSource) -> Iterator[object]:
        read.append(Path(source.name).name)
        return records(source)

    monkeypatch.setattr(ArchiveSource, "records", note)
    assert main(["--store", "new.db", "merge", "a.edgeinc", "cut.edgeinc"]) == 1
    assert not Path("new.db").exists()
    for wanted in (["a.edgeinc", "a.edgeinc"], ["a.edgeinc", "a.edgeinc"]):
        read.clear()
        assert main(["--store", "new.db", "merge", "a.edgeinc"]) == 0
        # Once to check it, once to take it in.
        assert read == wanted
    assert identify("cut.edgeinc") == identify("a.edgeinc") == identify("a.db")
