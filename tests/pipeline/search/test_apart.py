"""Work in a forked process."""

from __future__ import annotations

import os
import signal

import pytest

from components.common.base.errors import ParedownError
from pipeline.search.apart import RoundEnded, apart


def test_the_result_comes_from_another_process() -> None:
    assert apart(os.getpid) != os.getpid()


def test_an_error_that_a_person_can_act_on_comes_through() -> None:
    def refuse() -> None:
        raise ParedownError("write it differently")

    with pytest.raises(ParedownError, match="write it differently"):
        apart(refuse)


def test_a_process_that_is_killed_ends_the_round() -> None:
    with pytest.raises(RoundEnded, match="exit code -9"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
