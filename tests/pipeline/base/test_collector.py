from __future__ import annotations

import gc

from pipeline.base import collector


def test_the_collector_of_a_calling_process_is_restored_afterwards() -> None:
    before = gc.get_threshold()
    with collector.looking_seldom():
        assert gc.get_threshold()[0] > 10_000
    assert gc.get_threshold() == before
