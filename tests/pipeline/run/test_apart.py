"""Work in a forked process."""

from __future__ import annotations

import os
import signal

import pytest

from components.common.base.errors import ParedownError
from pipeline.config.problem import InvalidInput, Problem
from pipeline.run.apart import ApartEnded, apart
from pipeline.search.search import refused_trials
from pipeline.store.search_record import Trial


def test_the_result_comes_from_another_process() -> None:
    assert apart(os.getpid) != os.getpid()


def test_an_error_that_a_person_can_act_on_comes_through() -> None:
    def refuse() -> None:
        raise ParedownError("write it differently")

    with pytest.raises(ParedownError, match="write it differently"):
        apart(refuse)


def test_problems_of_trials_come_through_and_name_them() -> None:
    trials = [Trial(4, {}), Trial(7, {})]
    mine = Problem("no kernel", ("candidates", "trial-7", 0, "cluster"), "config.yaml")

    def refuse() -> None:
        raise InvalidInput([mine])

    with pytest.raises(InvalidInput) as error:
        apart(refuse)
    assert error.value.problems == [mine]
    assert refused_trials(error.value, trials) == {7: "no kernel"}
    others = Problem("no data", ("data", "path"))
    assert refused_trials(InvalidInput([mine, others]), trials) == {}


def test_a_process_that_is_killed_ends_the_round() -> None:
    with pytest.raises(ApartEnded, match="exit code -9"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
