from __future__ import annotations

import gc
import weakref

from pipeline.base import collector


def test_the_collector_of_a_calling_process_is_restored_afterwards() -> None:
    before = gc.get_threshold()
    with collector.looking_seldom():
        assert gc.get_threshold()[0] > 10_000
    assert gc.get_threshold() == before


def test_circles_that_were_made_since_the_last_time_are_collected() -> None:
    class Node:
        def __init__(self) -> None:
            self.itself = self

    with collector.looking_seldom():
        collector.collect()
        made = weakref.ref(Node())
        assert made() is not None
        collector.collect()
        assert made() is None
    gc.unfreeze()


def test_nothing_is_collected_while_modules_are_imported_and_again_afterwards() -> None:
    with collector.importing():
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() > 10_000
    gc.unfreeze()
