"""Mutated input: no crash, no hang, no foreign error, no memory beyond a cap.

The whole campaign, and what came of it: `docs/proofs/fuzzing.md`. Here is a part of it, and
that its harness sees every sort of fault.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.fuzz import campaign, report
from tests.fuzz.kinds import SHARES
from tests.fuzz.kinds.planted import FAULTS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the harness limits and measures its workers by Linux's means"
)
INPUTS = 2000
SEED = 20261122


def test_a_part_of_the_campaign(tmp_path: Path) -> None:
    if importlib.util.find_spec("onnx") is None:
        pytest.skip("seeds are built with the extra `onnx`")
    # Networks take longest, so they are fewer; `tests/test_trial.py` has more of them.
    shares = {**SHARES, "weights": 2}
    settings = campaign.Settings(seed=SEED, chunk=1000, findings=tmp_path / "findings")
    tallies = campaign.run(settings, campaign.plan(INPUTS, shares, settings.chunk))
    assert [f for tally in tallies.values() for f in tally.findings] == []
    assert sum(tally.inputs for tally in tallies.values()) == INPUTS
    # Something is taken and something refused, or the mutations were too weak or too strong.
    good_words = {"pictures": "read", "cards": "opened", "stores": "opened", "archives": "merged"}
    for kind, good in good_words.items():
        taken = sum(n for name, n in tallies[kind].outcomes.items() if name.startswith(good))
        assert 0.05 < taken / tallies[kind].inputs < 0.95, kind


@pytest.mark.parametrize("fault", [*FAULTS, "stall"])
def test_the_harness_sees(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "memory" and not Path("/proc/self/status").exists():
        pytest.skip("no /proc here, which tells what memory is used")
    monkeypatch.setenv("EDGEINC_PLANTED", fault)
    says = {
        "foreign": "KeyError: 'what nobody expects'",
        "wrong": "Wrong: two and two",
        "lines": "ImageError with a message of 20 characters",
        "thread": "KeyError: 'absent'",
        "memory": "MiB",
        "abort": "died by Aborted",
        "crash": "died by Segmentation fault",
        "loop": "took more than 1 s of processor time",
        "exit": "ended the process with status 0",
        "stall": "made no progress",
    }
    settings = campaign.Settings(
        seed=7,
        workers=1,
        seconds=1,
        stall=8.0 if fault == "stall" else 120.0,
        cap=100,
        findings=tmp_path / "findings",
    )
    tallies = campaign.run(settings, [campaign.Chunk("planted", 0, 3)])
    (finding,) = tallies["planted"].findings
    assert (finding.kind, finding.number) == ("planted", 1)
    assert says[fault] in finding.what
    # The input is kept, and the inputs behind it were taken all the same.
    assert len((tmp_path / "findings" / "planted-7-1" / "input").read_bytes()) == 8
    sound = tallies["planted"].outcomes["sound"]
    assert (sound, tallies["planted"].inputs) == (2, 3)


def test_inputs_are_shared_out_and_a_campaign_goes_on(tmp_path: Path) -> None:
    chunks = campaign.plan(1000, {"a": 3, "b": 1}, 300)
    assert sum(c.stop - c.start for c in chunks if c.kind == "a") == 750
    assert sum(c.stop - c.start for c in chunks) == 1000
    settings = campaign.Settings(seed=7, workers=1, findings=tmp_path / "findings")
    state = tmp_path / "state"
    chunk = campaign.Chunk("planted", 0, 2)
    first = campaign.run(settings, [chunk], state)
    # The second chunk is none that could be run: it is in the state.
    lines = state.read_text(encoding="utf-8")
    state.write_text(lines + lines.replace('"planted", "start": 0', '"absent", "start": 0'))
    absent = campaign.Chunk("absent", 0, 2)
    both = campaign.run(settings, [chunk, absent], state)
    assert (both["planted"], both["absent"].inputs) == (first["planted"], 2)


def test_a_report_is_put_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text(f"# Ours\n{report.BEGIN}\nold\n{report.END}\nmore\n", encoding="utf-8")
    tally = campaign.Tally(inputs=3, findings=[campaign.Finding("stores", 7, "died")])
    tally.outcomes.update({"opened": 2, "FOUND": 1})
    text = report.words(
        campaign.Settings(seed=4), {"stores": tally}, command="c", when="today", took=60.0
    )
    report.put(text, path)
    whole = path.read_text(encoding="utf-8")
    assert whole.startswith("# Ours\n")
    assert whole.endswith("more\n")
    assert "old" not in whole
    for said in ("seed 4", "**3 inputs, 1 findings**", "| stores | opened | 2 |", "stores 7: died"):
        assert said in whole
