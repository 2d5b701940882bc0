"""The engine as a caller sees it, on a small real network."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinc import Engine, MergeReport
from edgeinc.backbone import Backbone
from edgeinc.engine import merge_stores
from edgeinc.errors import (
    BackboneMismatchError,
    ImageError,
    InputError,
    LabelError,
    LabelNotFoundError,
    ModelNotFoundError,
    SampleNotFoundError,
    StoreError,
    StoreReadOnlyError,
)
from edgeinc.evaluate import evaluate_folder
from edgeinc.images import list_images
from edgeinc.store import peek
from tests.conftest import photo


@pytest.fixture
def engine(tmp_path: Path, tiny_card: Path) -> Iterator[Engine]:
    with Engine.open(tmp_path / "s.db", backbone=tiny_card) as opened:
        yield opened


def frames(kind: int, n: int, first: int = 0) -> list[np.ndarray]:
    return [photo(kind, first + i) for i in range(n)]


def best(engine: Engine, kind: int) -> str:
    return engine.predict(photo(kind, 1000)).candidates[0].label


def photos(folder: Path, kinds: int, n: int) -> Path:
    for kind in range(kinds):
        (folder / f"kind {kind}").mkdir(parents=True)
        for i, frame in enumerate(frames(kind, n)):
            assert cv2.imwrite(str(folder / f"kind {kind}" / f"{i}.png"), frame)
    return folder


def test_nothing_enrolled_is_unknown(engine: Engine) -> None:
    prediction = engine.predict(photo(0, 0))
    assert prediction.label is None
    assert not prediction.known
    assert prediction.candidates == ()
    assert prediction.score == 0
    assert "CPU" in prediction.device
    assert prediction.ms > 0
    assert engine.search(photo(0, 0)) == []
    assert engine.classes() == []


def test_learns_class_after_class_and_forgets_none(engine: Engine) -> None:
    for kind in range(6):
        report = engine.enroll(f"kind {kind}", frames(kind, 4))
        assert (report.added, report.skipped) == (4, 0)
        assert [best(engine, k) for k in range(kind + 1)] == [f"kind {k}" for k in range(kind + 1)]
    engine.flush()
    assert [best(engine, k) for k in range(6)] == [f"kind {k}" for k in range(6)]
    assert engine.predict(photo(2, 50)).known
    assert [(c.label, c.examples) for c in engine.classes()] == [(f"kind {k}", 4) for k in range(6)]
    assert all(c.threshold is not None and -1 < c.threshold < 1 for c in engine.classes())


def test_scores_are_probabilities(engine: Engine) -> None:
    for kind in range(3):
        engine.enroll(f"kind {kind}", frames(kind, 3))
    prediction = engine.predict(photo(1, 77))
    scores = [c.score for c in prediction.candidates]
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    assert scores == sorted(scores, reverse=True)
    assert prediction.score == scores[0]


def test_what_was_enrolled_is_there_in_the_next_process(tmp_path: Path, tiny_card: Path) -> None:
    path = tmp_path / "s.db"
    with Engine.open(path, backbone=tiny_card) as engine:
        engine.enroll("a", frames(0, 3))
        engine.enroll("b", frames(1, 3))
        before = engine.predict(photo(1, 9))
    with Engine.open(path, backbone=tiny_card) as engine:
        after = engine.predict(photo(1, 9))
    assert (after.label, after.score, after.candidates) == (
        before.label,
        before.score,
        before.candidates,
    )


def test_the_same_picture_counts_once_but_in_each_class(engine: Engine) -> None:
    frame = photo(0, 0)
    assert engine.enroll("a", [frame, frame]).added == 1
    again = engine.enroll("a", frame)
    assert (again.added, again.skipped, dict(again.classes)) == (0, 1, {"a": 1})
    assert engine.enroll("b", frame).added == 1


def test_negatives_are_no_class_and_no_answer(engine: Engine) -> None:
    report = engine.enroll(None, frames(9, 3))
    assert (report.added, report.negatives, dict(report.classes)) == (3, 3, {})
    assert engine.classes() == []
    # Nothing but negatives: whatever comes is unknown.
    alone = engine.predict(photo(9, 0))
    assert (alone.label, alone.score, alone.known, alone.candidates) == (None, 0.0, False, ())
    for kind in range(2):
        report = engine.enroll(f"kind {kind}", frames(kind, 3))
    assert (report.negatives, dict(report.classes)) == (3, {"kind 0": 3, "kind 1": 3})
    for _ in range(2):
        answer = engine.predict(photo(9, 0))
        assert not answer.known
        assert [c.label for c in answer.candidates if not c.label] == []
        assert [best(engine, k) for k in range(2)] == ["kind 0", "kind 1"]
        assert engine.predict(photo(0, 0)).known
        engine.flush()
    assert [m.label for m in engine.search(photo(9, 0), k=1)] == [None]
    assert [s.label for s in engine.samples(None)] == [None] * 3
    assert (engine.forget(None), engine.negatives()) == (3, 0)
    engine.undo()
    assert engine.negatives() == 3
    with pytest.raises(InputError, match="what to forget"):
        engine.forget()


def test_a_threshold_that_a_person_sets(engine: Engine) -> None:
    for kind in range(2):
        engine.enroll(f"kind {kind}", frames(kind, 3))
    engine.set_threshold("kind 1", 1.0)
    for _ in range(2):
        assert [engine.predict(photo(kind, 50)).known for kind in range(2)] == [True, False]
        engine.flush()
    assert [(c.threshold, c.automatic) for c in engine.classes()][1] == (1.0, False)
    engine.rename("kind 1", "one")
    assert not engine.predict(photo(1, 50)).known
    engine.set_threshold("one", 0.0)
    assert engine.predict(photo(1, 50)).known
    engine.undo(3)
    assert engine.predict(photo(1, 50)).known
    assert all(c.automatic for c in engine.classes())
    for wrong in (-0.1, 1.1, float("nan"), "1"):
        with pytest.raises(InputError, match="from 0 to 1"):
            engine.set_threshold("kind 0", wrong)
    with pytest.raises(LabelNotFoundError):
        engine.set_threshold("one", 0.5)


def test_another_process_sets_a_threshold(tmp_path: Path, tiny_card: Path) -> None:
    path = tmp_path / "s.db"
    with (
        Engine.open(path, backbone=tiny_card) as engine,
        Engine.open(path, backbone=tiny_card) as other,
    ):
        for kind in range(2):
            engine.enroll(f"kind {kind}", frames(kind, 3))
        for value, known in ((1.0, False), (None, True)):
            other.set_threshold("kind 1", value)
            end = time.monotonic() + 30
            while engine.predict(photo(1, 50)).known != known:
                assert time.monotonic() < end
        # What came with the store is there from the start.
        other.set_threshold("kind 0", 1.0)
    with Engine.open(path, backbone=tiny_card) as engine:
        assert not engine.predict(photo(0, 50)).known


def test_sources_are_kept_for_files(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    cv2.imwrite(str(path), photo(0, 0))
    engine.enroll("a", path)
    engine.enroll("a", photo(0, 1))
    assert [s.source for s in engine.samples("a")] == [str(path), None]
    assert engine.predict(path).source == str(path)
    assert engine.predict(path.read_bytes()).source is None


def test_search_gives_stored_examples(engine: Engine) -> None:
    for kind in range(3):
        engine.enroll(f"kind {kind}", frames(kind, 3))
    matches = engine.search(photo(1, 0), k=4)
    assert len(matches) == 4
    assert matches[0].label == "kind 1"
    assert matches[0].similarity == pytest.approx(1, abs=1e-3)
    assert matches[0].id in {s.id for s in engine.samples("kind 1")}


def test_forget_undo_and_rename(engine: Engine) -> None:
    for kind in range(3):
        engine.enroll(f"kind {kind}", frames(kind, 3))
    before = engine.predict(photo(1, 5)).candidates
    assert engine.forget("kind 1") == 3
    assert "kind 1" not in {c.label for c in engine.predict(photo(1, 5)).candidates}
    assert [entry.operation for entry in engine.undo()] == ["forget"]
    engine.flush()
    assert engine.predict(photo(1, 5)).candidates == before
    assert engine.rename("kind 1", "one") == 3
    assert best(engine, 1) == "one"
    sample = engine.samples("one")[0]
    assert engine.forget(sample=sample.id) == 1
    assert len(engine.samples("one")) == 2
    assert [entry.operation for entry in engine.undo(2)] == ["forget", "rename"]
    assert len(engine.samples("kind 1")) == 3
    assert engine.forget("kind 0", purge=True) == 3
    assert engine.undo(50)
    assert engine.undo() == ()
    assert "kind 0" not in {c.label for c in engine.classes()}
    assert [e.number for e in engine.log()] == sorted(
        (e.number for e in engine.log()), reverse=True
    )


def test_after_forgetting_it_is_as_if_never_enrolled(tmp_path: Path, tiny_card: Path) -> None:
    answers = []
    for name, extra in (("a.db", True), ("b.db", False)):
        with Engine.open(tmp_path / name, backbone=tiny_card) as engine:
            order = [2, 0, 1] if extra else [0, 1, 2]
            for kind in order:
                engine.enroll(f"kind {kind}", frames(kind, 3))
                if extra:
                    engine.predict(photo(0, 0))
                    engine.enroll("passing", frames(kind + 5, 2))
            if extra:
                engine.forget("passing")
            engine.flush()
            answers.append([engine.predict(photo(k, 40)).candidates for k in range(4)])
    assert answers[0] == answers[1]


def test_a_bad_picture_leaves_the_store_as_it_was(engine: Engine, tmp_path: Path) -> None:
    engine.enroll("a", frames(0, 2))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        engine.enroll("b", [photo(1, 0), broken])
    assert [c.label for c in engine.classes()] == ["a"]
    report = engine.enroll("b", [photo(1, 0), broken], skip_unreadable=True)
    assert (report.added, report.skipped, report.unreadable) == (1, 1, 1)
    assert "broken.jpg" in report.warnings[0]
    with pytest.raises(ImageError):
        engine.predict(broken)


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "x" * 201, "nul\0"])
def test_bad_labels_are_refused(engine: Engine, label: str) -> None:
    with pytest.raises(LabelError):
        engine.enroll(label, photo(0, 0))
    assert engine.classes() == []


def test_names_that_nothing_answers_to(engine: Engine) -> None:
    engine.enroll("a", frames(0, 2))
    with pytest.raises(LabelNotFoundError, match="b"):
        engine.forget("b")
    with pytest.raises(LabelNotFoundError):
        engine.samples("b")
    with pytest.raises(LabelNotFoundError):
        engine.rename("b", "c")
    with pytest.raises(SampleNotFoundError):
        engine.forget(sample="0" * 32)
    with pytest.raises(ModelNotFoundError):
        Engine.open("unused.db", backbone="no_such_model")
    assert not Path("unused.db").exists()


def test_an_unknown_head_is_refused(tmp_path: Path, tiny_card: Path) -> None:
    with pytest.raises(InputError, match="proto"):
        Engine.open(tmp_path / "s.db", backbone=tiny_card, head="svm")


def test_a_store_of_another_backbone_is_refused(engine: Engine, tmp_path: Path) -> None:
    engine.enroll("a", photo(0, 0))
    other = Backbone.from_function(
        lambda array: array.reshape(1, -1).astype(np.float32), name="pixels", size=(8, 8), dim=192
    )
    with pytest.raises(BackboneMismatchError, match=r"tiny.*pixels|pixels.*tiny"):
        Engine.open(tmp_path / "s.db", backbone=other)


def test_a_read_only_store_still_predicts(tmp_path: Path, tiny_card: Path) -> None:
    path = tmp_path / "folder" / "s.db"
    path.parent.mkdir()
    with Engine.open(path, backbone=tiny_card) as engine:
        engine.enroll("a", frames(0, 3))
    path.chmod(stat.S_IRUSR)
    path.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        if _writable(path):
            pytest.skip("this user may write to read-only files")
        with Engine.open(path, backbone=tiny_card) as engine:
            assert engine.predict(photo(0, 9)).candidates[0].label == "a"
            with pytest.raises(StoreReadOnlyError):
                engine.enroll("b", photo(1, 0))
    finally:
        path.parent.chmod(stat.S_IRWXU)


def _writable(path: Path) -> bool:
    try:
        with path.open("r+b"):
            return True
    except OSError:
        return False


def test_a_folder_is_imported_and_can_be_run_again(engine: Engine, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 4, 20)
    (folder / "kind 1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "kind 2" / "empty.jpg").touch()
    steps: list[tuple[int, int]] = []
    report = engine.enroll_folder(folder, progress=lambda *step: steps.append(step))
    assert (report.added, report.skipped, report.unreadable) == (80, 2, 2)
    assert len(report.warnings) == 2
    assert steps[-1] == (82, 82)
    again = engine.enroll_folder(folder)
    assert (again.added, again.skipped) == (0, 82)
    assert dict(again.classes) == {f"kind {k}": 20 for k in range(4)}
    assert [best(engine, k) for k in range(4)] == [f"kind {k}" for k in range(4)]


def test_an_import_that_is_broken_off_keeps_what_was_committed(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeinc.engine.enrolment.IMPORT_BATCH", 3)
    folder, path = photos(tmp_path / "photos", 2, 4), tmp_path / "s.db"
    steps: list[tuple[int, int]] = []

    def interrupted(*step: int) -> None:
        steps.append(step)
        if len(steps) == 2:
            raise KeyboardInterrupt

    with Engine.open(path, backbone=tiny_card) as engine:
        with pytest.raises(KeyboardInterrupt):
            engine.enroll_folder(folder, progress=interrupted)
        assert steps == [(3, 8), (6, 8)]
    with Engine.open(path, backbone=tiny_card) as engine:
        kept = sum(c.examples for c in engine.classes())
        assert kept == 6
        report = engine.enroll_folder(folder, progress=lambda *step: steps.append(step))
        assert (report.added, report.skipped) == (2, 6)
    assert steps[2:] == [(3, 8), (6, 8), (8, 8)]


def test_an_engine_that_is_closed_meanwhile_says_so(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeinc.engine.enrolment.IMPORT_BATCH", 3)
    folder = photos(tmp_path / "photos", 2, 6)
    engine = Engine.open(tmp_path / "s.db", backbone=tiny_card)
    with pytest.raises(StoreError, match="has been closed"):
        engine.enroll_folder(folder, progress=lambda *_: engine.close())


def test_a_folder_without_pictures_is_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="no picture"):
        engine.enroll_folder(tmp_path / "photos")


def test_an_empty_path_is_not_the_working_folder(
    engine: Engine, tmp_path: Path, tiny_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "0.png"), photo(0, 0))
    calls: list[Callable[[], object]] = [
        lambda: Engine.open("", backbone=tiny_card),
        lambda: engine.enroll_folder(""),
        lambda: engine.enroll("a", ""),
        lambda: engine.embed(["a/0.png", ""]),
        lambda: engine.predict(""),
        lambda: engine.search(""),
        lambda: engine.merge(""),
        lambda: engine.merge(["a", ""]),
        lambda: engine.export(""),
        lambda: evaluate_folder(engine, ""),
        lambda: evaluate_folder(engine, ".", unknown=""),
        lambda: list_images(""),
    ]
    for call in calls:
        with pytest.raises(InputError, match="is empty"):
            call()
    assert engine.classes() == []
    assert engine.enroll_folder(".").added == 1


def test_region_of_interest(engine: Engine) -> None:
    engine.enroll("a", frames(0, 3))
    engine.enroll("b", frames(1, 3))
    scene = np.zeros((200, 300, 3), np.uint8)
    scene[100:160, 200:264] = photo(1, 8)
    assert engine.predict(scene, roi=(200, 100, 64, 60)).candidates[0].label == "b"
    with pytest.raises(ImageError):
        engine.predict(scene, roi=(290, 100, 64, 60))


def test_embed_is_float_and_of_unit_length(engine: Engine) -> None:
    embeddings = engine.embed([photo(0, 0), photo(1, 0)])
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (2, engine.backbone.dim)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert engine.embed(photo(0, 0)).tobytes() == embeddings[:1].tobytes()


def test_another_process_s_changes_are_seen(tmp_path: Path, tiny_card: Path) -> None:
    path = tmp_path / "s.db"

    def becomes(engine: Engine, kind: int, label: str) -> bool:
        """Whether that is the answer in the end; changes are followed in the background."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            candidates = engine.predict(photo(kind, 1000)).candidates
            if candidates and candidates[0].label == label:
                return True
            time.sleep(0.02)
        return False

    with (
        Engine.open(path, backbone=tiny_card) as reader,
        Engine.open(path, backbone=tiny_card) as writer,
    ):
        reader.enroll("a", frames(0, 3))
        assert becomes(writer, 0, "a")
        writer.enroll("b", frames(1, 3))
        assert becomes(reader, 1, "b")
        writer.forget("a")
        assert becomes(reader, 0, "b")
        assert reader.enroll("c", frames(2, 2)).classes == {"b": 3, "c": 2}


@pytest.fixture
def learned(tmp_path: Path, tiny_card: Path) -> Path:
    """A store of the tiny backbone, whose card is among no one's."""
    with Engine.open(tmp_path / "learned.db", backbone=tiny_card) as engine:
        engine.enroll("a", [photo(0, i) for i in range(3)])
        engine.enroll("b", [photo(1, i) for i in range(3)])
        engine.export(tmp_path / "learned.edgeinc")
    return tmp_path / "learned.db"


@pytest.mark.parametrize("suffix", [".db", ".edgeinc"])
def test_merging_makes_a_store_of_the_backbone_of_the_first(
    learned: Path, tmp_path: Path, tiny_card: Path, suffix: str
) -> None:
    new = tmp_path / "new.db"
    with pytest.raises(ModelNotFoundError):
        Engine.open(learned)
    assert merge_stores(new, learned.with_suffix(suffix)) == MergeReport(added=6, removed=0)
    assert merge_stores(str(new), [learned, tmp_path / "learned.edgeinc"], backbone="tiny") == (
        MergeReport(added=0, removed=0)
    )
    bound = peek(new)
    assert bound is not None
    assert bound[:3] == (peek(learned) or ())[:3]
    with Engine.open(new, backbone=tiny_card) as engine:
        assert engine.predict(photo(1, 9)).candidates[0].label == "b"
        assert [entry.operation for entry in engine.log()] == ["merge"]


def test_a_store_is_made_only_for_what_can_be_merged(learned: Path, tmp_path: Path) -> None:
    new, torn = tmp_path / "new.db", tmp_path / "torn.edgeinc"
    torn.write_bytes((tmp_path / "learned.edgeinc").read_bytes()[:-1])
    with pytest.raises(BackboneMismatchError, match=r"learned.db was made with backbone 'tiny'"):
        merge_stores(new, learned, backbone="pebble")
    with pytest.raises(StoreError, match=r"torn.edgeinc"):
        merge_stores(new, [learned, torn])
    for others in ([], "", [learned, ""]):
        with pytest.raises(InputError):
            merge_stores(new, others)
    assert not new.exists()
    with pytest.raises(BackboneMismatchError, match="not with 'pebble'"):
        merge_stores(learned, torn, backbone="pebble")


def test_what_is_no_path_is_said_to_be_none(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing: Any = None
    calls: list[Callable[[], object]] = [
        lambda: merge_stores("new.db", [nothing]),
        lambda: merge_stores("new.db", nothing),
        lambda: merge_stores(nothing, ["new.db"]),
        lambda: engine.merge([nothing]),
        lambda: engine.merge(nothing),
        lambda: engine.export(nothing),
        lambda: Engine.open(nothing),
    ]
    for call in calls:
        with pytest.raises(InputError, match="None is no path"):
            call()
    with pytest.raises(InputError, match="nothing to merge"):
        engine.merge([])
    with pytest.raises(InputError, match="its folder does not exist; make it"):
        engine.export("no/s.edgeinc")
    assert not (tmp_path / "new.db").exists()


def test_threads_may_share_an_engine(engine: Engine) -> None:
    engine.enroll("kind 0", frames(0, 3))
    failures: list[BaseException] = []

    def work(kind: int) -> None:
        try:
            engine.enroll(f"kind {kind}", frames(kind, 3))
            assert best(engine, kind) == f"kind {kind}"
        except BaseException as exc:
            failures.append(exc)
            raise

    threads = [threading.Thread(target=work, args=(kind,)) for kind in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(engine.classes()) == 6


def test_engines_share_what_they_learned(tmp_path: Path, tiny_card: Path) -> None:
    with (
        Engine.open(tmp_path / "one.db", backbone=tiny_card) as one,
        Engine.open(tmp_path / "two.db", backbone=tiny_card) as two,
    ):
        one.enroll("stripes", [photo(0, i) for i in range(5)])
        two.enroll("rings", [photo(1, i) for i in range(5)])
        assert one.predict(photo(1, 9)).candidates[0].label == "stripes"
        assert one.merge(tmp_path / "two.db") == MergeReport(added=5, removed=0)
        assert one.predict(photo(1, 9)).label == "rings"
        assert one.export(tmp_path / "one.edgeinc") == 10
        assert two.merge([tmp_path / "one.edgeinc"]) == MergeReport(added=5, removed=0)
        one.flush()
        two.flush()
        for seed in range(9, 12):
            for kind in (0, 1):
                first, second = one.predict(photo(kind, seed)), two.predict(photo(kind, seed))
                assert first._replace(ms=0) == second._replace(ms=0)
        assert [entry.operation for entry in one.log()] == ["merge", "enroll"]
    other = Backbone.from_function(
        lambda picture: picture.mean(axis=(1, 2)).astype(np.float32),
        name="mean colour",
        size=(8, 8),
        dim=3,
    )
    with (
        Engine.open(tmp_path / "other.db", backbone=other) as engine,
        pytest.raises(BackboneMismatchError, match="tiny"),
    ):
        engine.merge(tmp_path / "one.edgeinc")
