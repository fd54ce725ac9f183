"""Many clients for long while versions are swapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.components.common.serving.load import swapped_under_load

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def test_32_clients_for_20_seconds_while_three_versions_are_swapped(tmp_path: Path) -> None:
    done = swapped_under_load(tmp_path / "mnist", clients=32, seconds=20)
    print(f"{done.answered:,} requests answered, versions {sorted(done.versions)}")
    assert done.failed == []
    assert done.answered > 2000
    assert done.versions == {1, 2, 3}
    assert done.exit_code == 0
