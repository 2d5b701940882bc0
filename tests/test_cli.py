"""The shell: what it prints, where, and its exit status."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest

from edgeinc.cli import COMMANDS, cli, main
from edgeinc.cli.common import SHOWN
from edgeinc.store import Store, peek
from tests.absent import ROOT, before_others
from tests.conftest import photo

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(
    tmp_path: Path,
    tiny_card: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Shell:
    """Runs a command in this process: exit status, stdout, stderr."""
    monkeypatch.setenv("EDGEINC_STORE", str(tmp_path / "s.db"))
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path, backbone: str | Path | None = tiny_card) -> tuple[int, str, str]:
        given = [] if backbone is None else ["--backbone", str(backbone)]
        status = main([*given, *map(str, words)])
        out, err = capfd.readouterr()
        return status, out, err

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three label folders of five pictures each."""
    folder = tmp_path / "photos"
    for kind in range(3):
        (folder / f"kind {kind}").mkdir(parents=True)
        for i in range(5):
            cv2.imwrite(str(folder / f"kind {kind}" / f"{i}.png"), photo(kind, i))
    return folder


def result(shell: Shell, *words: str | Path) -> Any:
    status, out, err = shell("--json", *words)
    assert status == 0, err
    assert out.count("\n") == 1
    return json.loads(out)


@pytest.mark.parametrize("command", ["undo", "purge", "log"])
def test_a_store_that_is_not_there_is_named(shell: Shell, tmp_path: Path, command: str) -> None:
    status, _, err = shell(command)
    assert (status, err) == (0, f"there is no store at {tmp_path / 's.db'}\n")
    assert not (tmp_path / "s.db").exists()


def test_undo_says_what_it_passes_over(shell: Shell, photos: Path) -> None:
    for kind in range(3):
        shell("enroll", f"kind {kind}", *(photos / f"kind {kind}").iterdir())
    shell("forget", "kind 2", "--purge")
    # The enrolment of what was purged is passed over too.
    assert shell("undo") == (
        0,
        "took back 2: enrolled 5 examples of 'kind 1'\n",
        "passed over 4 (purged 5 examples of (a purged class)), which cannot be taken back\n"
        "passed over 3 (enrolled 5 examples of (a purged class)), which cannot be taken back\n",
    )
    # What was said is said again, but for the undo.
    status, out, err = shell("undo")
    assert (status, out) == (0, "took back 1: enrolled 5 examples of 'kind 0'\n")
    assert err.count("passed over") == err.count("purged class") == 2
    assert shell("undo") == (0, "nothing to undo\n", "")


def test_export_says_what_it_wrote(shell: Shell, photos: Path, tmp_path: Path) -> None:
    shell("enroll", "--from", photos)
    shell("forget", "kind 1")
    status, out, err = shell("export", "x.EDGEINC")
    assert (status, err) == (0, "")
    assert out == (
        "10 examples, and 5 that do not count (forgotten, taken back or there twice), "
        "of 64 dimensions written to x.EDGEINC\n"
    )
    assert result(shell, "export", "y.edgeinc")["n"] == 15
    assert shell("export", "x.H5")[1] == "10 features of 64 dimensions written to x.H5\n"
    assert shell("undo")[0] == 0
    assert shell("export", "x.edgeinc")[1].startswith("15 examples of 64 dimensions written")
    # Negatives count, if as none of the classes.
    shell("forget", "kind 1", "--purge")
    shell("enroll", "--negative", *(photos / "kind 1").iterdir())
    assert shell("export", "x.edgeinc")[1].startswith("15 examples of 64 dimensions written")


@pytest.mark.parametrize(
    "words",
    [["export", "x"], ["export", "x.db"], ["export", "x.h5.gz"], ["embed", "photos", "-o", "x.db"]],
)
def test_what_is_written_is_told_by_its_name(
    shell: Shell, photos: Path, tmp_path: Path, words: list[str]
) -> None:
    status, out, err = shell(*words)
    assert (status, out) == (2, "")
    assert "The file must be called FILE.h5" in err
    assert not (tmp_path / words[-1]).exists()


def test_duplicates_and_unreadable_pictures_are_told_apart(shell: Shell, photos: Path) -> None:
    torn = photos / "kind 0" / "torn.png"
    torn.write_bytes(b"no picture")
    pictures = sorted((photos / "kind 0").iterdir())
    shell("enroll", "kind 0", *pictures[:2])
    status, out, err = shell("enroll", "kind 0", *pictures)
    assert (status, out) == (0, "3 added, 3 skipped; now kind 0 5\n")
    assert "skipped: 2 enrolled already, 1 unreadable" in err.splitlines()


def archive(folder: Path, **header: object) -> Path:
    """An empty archive that says this of its backbone."""
    first = {"format": "edgeinc archive", "version": 1, "backbone": "other"}
    first |= {"fingerprint": "e" * 64, "dim": 3, "operations": 0, "examples": 0, "purged": 0}
    line = json.dumps(first | header, separators=(",", ":")).encode() + b"\n"
    end = json.dumps({"sha256": hashlib.sha256(line).hexdigest()}, separators=(",", ":"))
    path = folder / "made.edgeinc"
    path.write_bytes(line + end.encode() + b"\n")
    return path


def test_what_an_archive_says_of_its_backbone_is_held_against_the_cards(
    shell: Shell, tmp_path: Path
) -> None:
    from edgeinc.weights import find_card

    pebble = find_card("pebble")
    lies = [
        ({"backbone": "../../etc/passwd"}, "'../../etc/passwd' is no name of a backbone"),
        (
            {"backbone": "pebble", "fingerprint": pebble.fingerprint, "dim": pebble.dim + 1},
            f"it says {pebble.dim + 1} dimensions, and its backbone, pebble, has {pebble.dim}",
        ),
    ]
    for header, words in lies:
        status, _, err = shell("merge", archive(tmp_path, **header), backbone=None)
        assert status == 1
        assert words in err
        assert not (tmp_path / "s.db").exists()
    told = archive(tmp_path, fingerprint=pebble.fingerprint, dim=pebble.dim)
    assert main(["--store", "known.db", "merge", str(told)]) == 0
    bound = peek(tmp_path / "known.db")
    assert bound is not None
    assert bound.nonnegative == pebble.nonnegative
    assert shell("merge", archive(tmp_path), backbone=None)[0] == 0
    status, _, err = shell("predict", tmp_path / "x.png", backbone=None)
    assert status == 1
    assert err.count("\n") == 1
    assert "was made with backbone 'other', which is not here; add its card, or name one" in err


def test_enrol_and_predict(shell: Shell, photos: Path) -> None:
    status, out, err = shell("enroll", "kind 0", *sorted((photos / "kind 0").iterdir()))
    assert (status, out) == (0, "5 added, 0 skipped; now kind 0 5\n")
    assert "There is one class only" in err
    report = result(shell, "enroll", "kind 1", *sorted((photos / "kind 1").iterdir()))
    assert report.pop("review")["judged"] == 10
    assert report == {
        "added": 5,
        "skipped": 0,
        "classes": {"kind 0": 5, "kind 1": 5},
        "negatives": 0,
        "warnings": [],
    }
    picture = photos / "kind 1" / "3.png"
    answer = result(shell, "predict", picture)
    assert set(answer) == {
        *("source", "label", "score", "known", "familiarity", "threshold", "candidates"),
        *("device", "ms", "placement"),
    }
    assert answer["label"] == "kind 1"
    assert answer["known"] is True
    assert answer["familiarity"] >= answer["threshold"] > 0
    assert answer["source"] == str(picture)
    assert 0 < answer["score"] <= 1
    assert [c["label"] for c in answer["candidates"]] == ["kind 1", "kind 0"]
    assert set(answer["candidates"][0]) == {"label", "score", "base"}
    status, out, _ = shell("predict", picture)
    assert out.startswith(f"{picture}: kind 1  ")
    # A person asks for more than the picture has, and then says that such are none of his.
    shell("threshold", "kind 1", "1")
    status, out, _ = shell("predict", picture)
    familiarity = f"familiarity {answer['familiarity']:.2f}, known from 1.00 on"
    assert out == f"{picture}: unknown  (nearest: kind 1, {familiarity})\n"
    shell("threshold", "kind 1", "0")
    shell("enroll", "--negative", picture)
    status, out, _ = shell("predict", picture)
    assert out == f"{picture}: unknown  (nearest: kind 1, but more like a negative)\n"


def test_a_store_knows_its_backbone(shell: Shell, photos: Path, tmp_path: Path) -> None:
    """Without `--backbone` the store's own is used, once its card is among the known."""
    status, _, err = shell("models", "add", photos.parent / "nothing.onnx", backbone=None)
    assert status == 1
    assert "nothing.onnx" in err


def test_predict_takes_folders_and_reports_what_it_cannot_read(shell: Shell, photos: Path) -> None:
    shell("enroll", "--from", photos)
    (photos / "kind 0" / "broken.png").write_bytes(b"no picture")
    status, out, err = shell("--json", "predict", photos, photos / "missing.png")
    assert status == 1
    assert len(out.splitlines()) == 15
    assert {json.loads(line)["label"] for line in out.splitlines()} <= {
        "kind 0",
        "kind 1",
        "kind 2",
        None,
    }
    assert "broken.png" in err
    assert "missing.png" in err
    assert "Traceback" not in err


def test_predict_says_what_it_passed_over_in_a_folder(
    shell: Shell, photos: Path, tmp_path: Path
) -> None:
    (photos / "notes.txt").touch()
    status, out, err = shell("predict", photos)
    assert (status, len(out.splitlines())) == (0, 15)
    assert err.startswith(f"warning: {photos / 'notes.txt'} ")
    (tmp_path / "empty").mkdir()
    status, out, err = shell("predict", tmp_path / "empty", photos / "kind 0")
    assert (status, len(out.splitlines())) == (1, 5)
    assert err == f"edgeinc: {tmp_path / 'empty'} holds no picture; give a folder of pictures.\n"


@pytest.mark.parametrize(
    "words",
    [
        ["enroll", "--from", "photos"],
        ["predict", "photos"],
        ["eval", "photos"],
        ["embed", "photos", "-o", "e.h5"],
    ],
)
def test_of_many_that_are_passed_over_the_first_are_named(
    shell: Shell, photos: Path, words: list[str]
) -> None:
    if words[0] == "embed":
        pytest.importorskip("h5py", reason="the extra `hdf5` is not installed")
    shell("enroll", "--from", photos)
    for i in range(SHOWN + 5):
        (photos / "kind 0" / f"{i:02d}\n.txt").touch()
    status, _, err = shell(*words)
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert (status, len(warnings)) == (0, SHOWN + 1)
    assert "00\\n.txt has not the name of a picture" in warnings[0]
    assert warnings[-1] == "warning: and 5 more"
    (photos / "kind 0" / "04\n.txt").unlink()
    for i in range(5, SHOWN, 4):
        (photos / "kind 0" / f"{i:02d}\n.txt").unlink()
    assert "more" not in shell(*words)[2].split("skipped: ")[0]


def test_nothing_enrolled_is_unknown_and_no_error(shell: Shell, photos: Path) -> None:
    answer = result(shell, "predict", photos / "kind 0" / "0.png")
    assert (answer["label"], answer["known"], answer["candidates"]) == (None, False, [])
    status, out, _ = shell("predict", photos / "kind 0" / "0.png")
    assert (status, out.endswith("unknown  (nothing is enrolled)\n")) == (0, True)


def test_folder_import_skips_and_counts_what_is_unreadable(shell: Shell, photos: Path) -> None:
    (photos / "kind 2" / "truncated.png").write_bytes(
        (photos / "kind 2" / "0.png").read_bytes()[:200]
    )
    (photos / "kind 1" / "p.heic").touch()
    status, out, err = shell("--json", "enroll", "--from", photos)
    assert status == 0
    record = json.loads(out)
    assert (record["added"], record["skipped"]) == (15, 2)
    assert "p.heic" in record["warnings"][0]
    assert "truncated.png" in record["warnings"][1]
    assert "p.heic" in err
    assert "truncated.png" in err
    again = result(shell, "enroll", "--from", photos)
    assert (again["added"], again["skipped"]) == (0, 17)


@pytest.mark.parametrize(("place", "said"), [("file", "it is no folder"), ("file/x", "Not a dir")])
def test_thumbnails_that_have_no_folder(
    shell: Shell, photos: Path, tmp_path: Path, place: str, said: str
) -> None:
    (tmp_path / "file").touch()
    shell("enroll", "--thumbnails", "--from", photos)
    status, out, err = shell("samples", "kind 0", "--thumbnails", place)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"edgeinc: {place} takes no thumbnails ({said}" in err
    assert err.endswith("name another folder.\n")


def test_one_of_something_is_said_in_the_singular(shell: Shell, photos: Path) -> None:
    shell("enroll", "a", photos / "kind 0" / "0.png")
    assert shell("check")[1].startswith("1 example\n")
    assert shell("export", "x.edgeinc")[1].startswith("1 example of 64 dimensions")
    assert "  1 example, 1 class, " in (out := shell("doctor")[1])
    assert ", 1 operation\n" in out
    assert shell("doctor", "--repair", "new.db")[1].startswith("1 example and 1 operation saved")


def test_an_output_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgeinc", "--store", str(tmp_path / "s.db"), "classes"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "edgeinc: The output cannot be written (No space left on device); check" in done.stderr


def test_exit_status_when_nothing_can_be_enrolled(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    status, _, err = shell("enroll", "a", tmp_path / "a.png", tmp_path / "b.png")
    assert status == 1
    assert err.endswith("edgeinc: No picture could be read; nothing was enrolled.\n")
    assert result(shell, "classes") == {"classes": [], "negatives": 0, "base_classes": 0}


def test_manage_what_is_enrolled(shell: Shell, photos: Path) -> None:
    shell("enroll", "--from", photos)
    classes = result(shell, "classes")["classes"]
    assert [(c["label"], c["examples"]) for c in classes] == [(f"kind {k}", 5) for k in range(3)]
    assert set(classes[0]) == {"label", "examples", "threshold", "automatic"}
    samples = result(shell, "samples", "kind 1")["samples"]
    assert len(samples) == 5
    assert set(samples[0]) == {"id", "source", "time"}
    matches = result(shell, "search", photos / "kind 1" / "2.png", "-k", "3")["matches"]
    assert matches[0]["source"].endswith("2.png")
    assert set(matches[0]) == {"id", "label", "similarity", "source"}
    assert result(shell, "forget", "--sample", samples[0]["id"]) == {"removed": 1}
    assert result(shell, "forget", "kind 2") == {"removed": 5}
    assert result(shell, "rename", "kind 0", "null")["renamed"] == 5
    undone = result(shell, "undo", "-n", "2")["undone"]
    assert [entry["operation"] for entry in undone] == ["rename", "forget"]
    assert result(shell, "forget", "kind 0", "--purge") == {"removed": 5}
    assert result(shell, "purge") == {"removed": 1}
    log = result(shell, "log")["log"]
    assert [entry["number"] for entry in log] == list(range(len(log), 0, -1))
    assert len(result(shell, "log", "-n", "2")["log"]) == 2


def test_a_rename_counts_what_has_the_new_name(shell: Shell, photos: Path) -> None:
    shell("enroll", "kind 0", *(photos / "kind 0").iterdir())
    samples = result(shell, "samples", "kind 0")["samples"]
    for sample in samples[:4]:
        shell("forget", "--sample", sample["id"])
    assert shell("rename", "kind 0", "one")[1] == "1 example is now 'one'\n"
    # Forgotten ones have it too, if somebody asks for them back.
    assert shell("undo", "-n", "5")[0] == 0
    assert shell("rename", "kind 0", "five")[1] == "5 examples are now 'five'\n"


def test_the_log_is_in_columns(shell: Shell, photos: Path) -> None:
    shell("enroll", "kind 0", *(photos / "kind 0").iterdir())
    shell("threshold", "kind 0", "0.5")
    second, first = shell("log")[1].splitlines()
    assert second.index("set the threshold") == first.index("enrolled")


def test_a_threshold_that_a_person_sets(shell: Shell, photos: Path) -> None:
    shell("enroll", "--from", photos)
    picture = photos / "kind 1" / "2.png"
    assert result(shell, "predict", picture)["known"]
    before = result(shell, "classes")["classes"]
    assert shell("threshold", "kind 1", "1")[1] == "the threshold of 'kind 1' is 1\n"
    assert not result(shell, "predict", picture)["known"]
    assert "     5  kind 1  (threshold 1)\n" in shell("classes")[1]
    listed = {c["label"]: c for c in result(shell, "classes")["classes"]}
    assert [c["automatic"] for c in listed.values()] == [True, False, True]
    assert listed["kind 1"]["threshold"] == 1.0
    assert result(shell, "threshold", "kind 1", "auto") == {"label": "kind 1", "threshold": None}
    assert result(shell, "classes")["classes"] == before
    assert [e["detail"] for e in result(shell, "undo", "-n", "2")["undone"]] == [
        "set the threshold of 'kind 1' to auto",
        "set the threshold of 'kind 1' to 1.0",
    ]
    for wrong in ("nan", "-0.5", "1.5", "inf"):
        status, out, err = shell("threshold", "kind 1", wrong)
        assert (status, out) == (1, "")
        assert "from 0 to 1" in err
    assert shell("threshold", "nobody", "0.5")[0] == 1
    assert shell("threshold", "kind 1", "much")[0] == 2


def test_what_is_not_any_of_mine(shell: Shell, photos: Path) -> None:
    shell("enroll", "kind 0", *sorted((photos / "kind 0").iterdir()))
    status, out, err = shell("enroll", "--negative", *sorted((photos / "kind 1").iterdir()))
    assert (status, err) == (0, "")
    assert out == "5 added, 0 skipped; now kind 0 5, (not any of mine) 5\n"
    assert shell("classes")[1] == "     5  kind 0\n     5  (not any of mine)\n"
    assert result(shell, "classes")["negatives"] == 5
    samples = result(shell, "samples", "--negative")["samples"]
    assert {s["source"] for s in samples} == {str(p) for p in (photos / "kind 1").iterdir()}
    matches = result(shell, "search", photos / "kind 1" / "2.png", "-k", "1")["matches"]
    assert matches[0]["label"] is None
    assert "(not any of mine)" in shell("search", photos / "kind 1" / "2.png")[1]
    answer = result(shell, "predict", photos / "kind 1" / "2.png")
    assert (answer["label"], answer["known"]) == (None, False)
    assert [c["label"] for c in answer["candidates"]] == ["kind 0"]
    assert result(shell, "predict", photos / "kind 0" / "2.png")["label"] == "kind 0"
    assert result(shell, "forget", "--sample", samples[0]["id"]) == {"removed": 1}
    assert result(shell, "forget", "--negative") == {"removed": 4}
    status, out, err = shell("forget", "--negative")
    assert (status, out) == (1, "")
    assert "No negative is enrolled" in err
    assert [e["detail"] for e in result(shell, "log", "-n", "2")["log"]] == [
        "forgot 4 negatives",
        "forgot 1 negative",
    ]
    assert result(shell, "undo", "-n", "2")["undone"]
    assert result(shell, "forget", "--negative", "--purge") == {"removed": 5}
    assert result(shell, "classes")["negatives"] == 0


def test_evaluation_against_a_folder_and_leave_one_out(shell: Shell, photos: Path) -> None:
    shell("enroll", "--from", photos)
    record = result(shell, "eval", photos)
    assert record["n"] == 15
    assert record["top1"] == 1.0
    assert record["top5"] == 1.0
    assert record["per_class"] == {f"kind {k}": 1.0 for k in range(3)}
    assert record["confusion"]["kind 0"] == {"kind 0": 5}
    assert 0 <= record["unknown_rate"] <= 1
    assert 0 <= record["ece"] <= 1
    loo = result(shell, "eval", "--loo")
    assert loo["n"] == 15
    assert 0.8 < loo["top1"] <= 1


def test_evaluation_against_strangers(shell: Shell, photos: Path, tmp_path: Path) -> None:
    shell("enroll", "--from", photos)
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    for i in range(4):
        cv2.imwrite(str(strangers / f"{i}.png"), photo(7, i))
    record = result(shell, "eval", photos, "--unknown", strangers)
    assert (record["n"], record["strangers"], record["warnings"]) == (15, 4, [])
    assert 0.5 < record["auroc"] <= 1
    assert 0 <= record["fpr95"] <= 1
    assert record["accepted"] == 1 - record["unknown_rate"]
    assert sum(record["taken_for"].values()) == round(4 * (1 - record["rejected"]))
    (strangers / "kind 1").mkdir()
    cv2.imwrite(str(strangers / "kind 1" / "0.png"), photo(7, 9))
    status, out, err = shell("eval", photos, "--unknown", strangers)
    assert status == 0
    assert "5 strangers against 15 known pictures" in out
    assert "AUROC " in out
    assert "strangers rejected " in out
    assert err.startswith("warning: 1 of the strangers lie in folders that are called")
    for words in (["--loo", "--unknown", strangers], ["--unknown", strangers]):
        assert shell("eval", *words)[0] == 2


@pytest.mark.parametrize("option", ["--tta", "--base-classes"])
def test_leaving_out_reads_no_picture(shell: Shell, photos: Path, option: str) -> None:
    shell("enroll", "--from", photos)
    plain = shell("eval", "--loo")
    said = f"`edgeinc eval --loo` has no use for {option};"
    status, out, err = shell(option, "eval", "--loo")
    assert (status, out) == plain[:2]
    assert f"{said} it changes nothing.\n" in err
    for words in (["eval", "--loo", option], [option, "eval", option, "--loo"]):
        status, out, err = shell(*words)
        assert (status, out) == (2, "")
        assert f"{said} leave it out.\n" in err


def test_evaluations_are_drawn(shell: Shell, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    shell("enroll", "--from", photos)
    status, _, _ = shell("eval", "--loo", "--plot", tmp_path / "c.png")
    assert status == 0
    drawn = cv2.imread(str(tmp_path / "c.png"))
    assert all(half.std() > 1 for half in np.array_split(drawn, 2, axis=1))
    status, _, err = shell("eval", "--loo", "--plot", tmp_path / "no" / "c.png")
    assert status == 1
    assert "cannot be written" in err


def test_the_place_of_a_plot_is_looked_at_before_the_work(
    shell: Shell, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    shell("enroll", "--from", photos)
    (tmp_path / "folder.png").mkdir()
    long = f"{'n' * 300}.png"
    for command in (["bench", "--seconds", "0.1"], ["eval", "--loo"], ["check"]):
        for place in ("b.txt", "b", tmp_path / "no" / "b.png", tmp_path / "folder.png", long):
            # What was worked out would be on stdout.
            status, out, err = shell("--device", "cpu", *command, "--plot", place)
            assert (status, out, err.count("\n")) == (1, "", 1), command
            assert "The plot cannot be written" in err


def test_what_was_worked_out_is_not_lost_with_a_plot(
    shell: Shell, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    shell("enroll", "--from", photos)
    # It looks well until it is written.
    (tmp_path / "b.png").symlink_to(tmp_path / "no" / "b.png")
    bench = ["bench", "--device", "cpu", "--threads", "1", "--seconds", "0.1"]
    for command, first in ((bench, "  model"), (["eval", "--loo"], "15 pic"), (["check"], "15 of")):
        status, out, err = shell(*command, "--plot", "b.png")
        assert (status, "The plot cannot be written" in err) == (1, True)
        assert out.startswith(first)


def test_features_go_to_hdf5(shell: Shell, photos: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra `hdf5` is not installed")
    (photos / "kind 0" / "broken.png").write_bytes(b"no picture")
    record = result(shell, "embed", photos, "-o", tmp_path / "e.h5")
    assert record == {"n": 15, "shape": [15, 64], "skipped": 1}
    with h5py.File(tmp_path / "e.h5") as file:
        assert file["features"].shape == (15, 64)
        assert file["labels"][:].tolist() == [0] * 5 + [1] * 5 + [2] * 5
        assert [n.decode() for n in file["label_names"][:]] == [f"kind {k}" for k in range(3)]
    inner = result(shell, "embed", photos, "-o", tmp_path / "m.h5", "--tensor", "maps")
    assert inner["shape"] == [15, 64, 12, 12]
    shell("enroll", "--from", photos)
    assert result(shell, "export", tmp_path / "x.h5")["shape"] == [15, 64]
    with h5py.File(tmp_path / "x.h5") as file:
        lengths = (file["features"][:] ** 2).sum(axis=1)
        assert lengths == pytest.approx(1, abs=1e-3)
    status, _, err = shell("embed", photos, "-o", tmp_path / "n.h5", "--tensor", "nosuch")
    assert status == 1
    assert "nosuch" in err
    assert not (tmp_path / "n.h5").exists()


def test_doctor_and_bench(shell: Shell) -> None:
    found = result(shell, "doctor")
    assert {"name", "version", "devices"} <= set(found["runtimes"][0])
    assert found["cores"] >= 1
    rows = result(shell, "bench", "--seconds", "0.1")["rows"]
    assert rows
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows)


@pytest.mark.parametrize(
    "words",
    [
        ["enroll"],
        ["enroll", "label"],
        ["enroll", "label", "a.png", "--from", "folder"],
        ["predict"],
        ["eval"],
        ["eval", "folder", "--loo"],
        ["forget"],
        ["forget", "a", "--sample", "b"],
        ["forget", "a", "--negative"],
        ["samples"],
        ["samples", "a", "--negative"],
        ["enroll", "--negative"],
        ["enroll", "--negative", "--from", "folder"],
        ["search", "a.png", "-k", "0"],
        ["nosuch"],
        ["--head", "svm", "classes"],
    ],
)
def test_wrong_usage_is_2(shell: Shell, words: list[str]) -> None:
    status, out, err = shell(*words)
    assert status == 2
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "missing.png"], "missing.png"),
        (["enroll", "", "missing.png"], "label"),
        (["forget", "nobody"], "nobody"),
        (["forget", ""], "label is empty"),
        (["samples", "nobody"], "nobody"),
        (["eval", "missing"], "missing"),
        (["eval", "--loo"], "two examples"),
        (["enroll", "--from", "missing"], "missing"),
    ],
)
def test_failures_are_one_line_and_status_1(shell: Shell, words: list[str], said: str) -> None:
    status, out, err = shell(*words)
    assert status == 1
    assert out == ""
    assert said in err
    assert err.count("\n") <= 2
    assert "Traceback" not in err


def test_a_file_that_is_no_store(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"these are the notes of a technician, no database" * 50)
    before = (tmp_path / "s.db").read_bytes()
    status, _, err = shell("classes")
    assert status == 1
    assert "s.db" in err
    assert (tmp_path / "s.db").read_bytes() == before


def test_doctor_says_of_a_newer_store_what_it_can(
    shell: Shell, photos: Path, tmp_path: Path
) -> None:
    shell("enroll", "kind 0", *(photos / "kind 0").iterdir())
    with closing(sqlite3.connect(tmp_path / "s.db")) as conn:
        conn.execute("PRAGMA user_version = 99")
    status, out, err = shell("doctor")
    assert status == 1
    assert "  not checked, " in out
    assert "  format 99\n" in out
    assert "Upgrade edgeinc" in err


def test_an_archive_is_no_store(shell: Shell, photos: Path, tmp_path: Path) -> None:
    shell("enroll", "kind 0", *(photos / "kind 0").iterdir())
    shell("export", "x.edgeinc")
    before = (tmp_path / "x.edgeinc").read_bytes()
    for words in (["classes"], ["log"], ["enroll", "a", photos / "kind 1" / "2.png"]):
        status, out, err = shell("--store", "x.edgeinc", *words)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert "x.edgeinc is an archive, not a store" in err
    status, out, err = shell("--store", "x.edgeinc", "doctor")
    assert status == 1
    assert "  not checked, " in out
    assert "x.edgeinc is an archive, not a store" in err
    assert (tmp_path / "x.edgeinc").read_bytes() == before


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200) == COMMANDS[name][1]


def test_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeinc", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": before_others(ROOT)},
    )
    assert done.stdout.startswith("edgeinc, version ")


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "p.png"],
        ["classes"],
        ["log"],
        ["undo"],
        ["search", "p.png"],
        ["enroll", " ", "p.png"],
    ],
)
def test_only_what_enrols_makes_a_store(shell: Shell, tmp_path: Path, words: list[str]) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), photo(0, 0))
    status, _, err = shell(*words)
    assert status == int(words[0] == "enroll"), err
    assert not (tmp_path / "s.db").exists()


def test_a_name_on_one_line(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.png"
    cv2.imwrite(str(path), photo(0, 0))
    status, out, _ = shell("predict", path)
    assert (status, out.count("\n")) == (0, 1)


def test_names_that_cannot_be_looked_at_are_one_line(shell: Shell) -> None:
    status, _, err = shell("predict", "x" * 300)
    assert (status, err.count("\n")) == (1, 1)


def test_a_fallback_is_one_line(shell: Shell, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), photo(0, 0))
    status, _, err = shell("--device", "CUDAExecutionProvider", "predict", tmp_path / "p.png")
    assert status == 0
    assert err.startswith("warning: ")
    assert err.count("\n") == 1


def test_a_store_is_managed_without_its_card(shell: Shell, photos: Path) -> None:
    shell("enroll", "--from", photos)
    status, _, err = shell("log", backbone="gone")
    assert (status, "no model 'gone'" in err) == (1, True)
    status, _, err = shell("log", backbone="mobilenet_v2_1.0_224_quant")
    assert status == 1
    assert "made with backbone 'tiny'" in err
    for words in (["forget", "kind 0", "--purge"], ["purge"], ["log"], ["samples", "kind 1"]):
        status, _, err = shell(*words, backbone=None)
        assert (status, err) == (0, "")
    assert shell("log", backbone="tiny")[0] == 0


def test_a_store_that_was_never_used_takes_another_backbone(
    shell: Shell, photos: Path, tmp_path: Path
) -> None:
    with Store.open(tmp_path / "s.db", backbone="gone", fingerprint="f00d", dim=5):
        pass
    assert result(shell, "enroll", "--from", photos)["added"] == 15
