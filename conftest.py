"""What holds for every test, those in docstrings and in README among them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# Stand-ins for vendors' packages: loaded by the tests that need them, and never otherwise, lest
# they be taken for the real ones.
collect_ignore = ["tests/vendors"]


def pytest_configure() -> None:
    """Drawn examples are the same each time, and none is judged by how long it takes."""
    if find_spec("hypothesis") is not None:
        from hypothesis import HealthCheck, settings

        slow = [HealthCheck.too_slow]
        settings.register_profile(
            "edgeinc", deadline=None, derandomize=True, suppress_health_check=slow
        )
        settings.load_profile("edgeinc")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests leave the user's cache and models alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEINC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def scratch_folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an example writes, such as a store, does not land in the project."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path)
