"""What the kernel tells, of this machine and of others that are laid out in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeinc.machine import Camera, cameras, energy, memory, peak, processor


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


X86 = (
    "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu sse2 avx2 avx512_vnni\n\nprocessor\t: 1\n"
)
PI4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
PI5 = "processor\t: 0\nFeatures\t: fp asimd asimdrdm asimddp\n"
BOARD = "proc/device-tree/model"


def test_processors(tmp_path: Path) -> None:
    x86 = processor(lay_out(tmp_path / "x86", {"proc/cpuinfo": X86}))
    assert (x86.name, x86.int8) == ("A CPU", True)
    assert x86.features == {
        "avx2": True,
        "avx_vnni": False,
        "avx512_vnni": True,
        "amx_int8": False,
    }
    four = processor(
        lay_out(tmp_path / "four", {"proc/cpuinfo": PI4, BOARD: "Raspberry Pi 4 Model B\0"})
    )
    assert (four.name, four.int8, four.features["asimd"]) == ("Raspberry Pi 4 Model B", False, True)
    five = processor(lay_out(tmp_path / "five", {"proc/cpuinfo": PI5}))
    assert (five.name, five.int8, five.features["asimddp"]) == (None, True, True)
    assert processor(tmp_path / "nothing") == (None, {}, None)


def test_memory(tmp_path: Path) -> None:
    text = (
        "MemTotal:       8000 kB\nMemFree:  10 kB\nMemAvailable:   5000 kB\nHugePages_Total:  0\n"
    )
    assert memory(lay_out(tmp_path, {"proc/meminfo": text})) == (8000 * 1024, 5000 * 1024)
    assert memory(tmp_path / "nothing") == (None, None)
    total, free = memory()
    assert total is None or total > 2**26
    assert total is None or free is None or free < total
    assert peak(tmp_path) is None


def test_peak_is_what_this_process_held() -> None:
    before = peak()
    if before is None:
        pytest.skip("the kernel does not tell what a process has held")
    block = bytearray(os.urandom(1)) * (before + 2**26)
    after = peak()
    assert after is not None
    assert after > len(block)


def test_cameras(tmp_path: Path) -> None:
    names = {"video0": "A camera\n", "video1": "Not there\n"}
    files = {f"sys/class/video4linux/{name}/name": text for name, text in names.items()}
    root = lay_out(tmp_path, {**files, "dev/video0": "an ordinary file"})
    # An ordinary file is none; one that cannot be opened may be one.
    found = Camera(str(root / "dev/video1"), "Not there", False)
    assert cameras(root) == (found,)
    assert cameras(tmp_path / "nothing") == ()
    assert all(Path(camera.path).exists() for camera in cameras())


def test_energy(tmp_path: Path) -> None:
    def rapl(name: str, zone: str, now: str) -> dict[str, str]:
        at = f"sys/class/powercap/{name}"
        return {f"{at}/name": zone, f"{at}/energy_uj": now, f"{at}/max_energy_range_uj": "1000\n"}

    zones = {
        **rapl("intel-rapl:0", "package-0\n", "900\n"),
        **rapl("intel-rapl:1", "package-1\n", "10\n"),
        **rapl("intel-rapl:0:0", "core\n", "5\n"),
    }
    found = energy(lay_out(tmp_path, zones))
    before = found.read()
    assert (found.problem, before) == ("", (900, 10))
    lay_out(tmp_path, {"sys/class/powercap/intel-rapl:0/energy_uj": "100\n"})
    assert found.joules(before, found.read()) == pytest.approx(200e-6)
    lay_out(tmp_path / "odd", rapl("intel-rapl:0", "package-0", "none"))
    assert "only root" in energy(tmp_path / "odd").problem
    nothing = energy(tmp_path / "nothing")
    assert "no counters" in nothing.problem
    assert nothing.joules((), ()) is None
