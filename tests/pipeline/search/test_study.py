"""What a study proposes, and what is left of it when a search is killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config.config_file import ConfigFile
from pipeline.search import rounds
from pipeline.search.ranking import best, front
from pipeline.search.study import Study
from pipeline.store.search_record import Fate, Outcome, Trial
from tests.pipeline.search.space import SPACE, config, outcome


def study(file: ConfigFile, path: Path | None, seed: int = 42) -> Study:
    return Study(path, "digits", rounds.searched(file.config), rounds.objectives_of(file.config), seed)


def searched(file: ConfigFile, path: Path | None, again: bool = False, seed: int = 42) -> list[Trial]:
    """All trials of four rounds; with `again` each round opens the study again, as a continued search does."""
    objectives = len(rounds.objectives_of(file.config))
    found = study(file, path, seed)
    for number in range(1, 5):
        for trial in found.propose(4):
            found.tell(trial.number, outcome(trial, number, objectives))
        if again:
            found = study(file, path, seed)
    return found.trials()


@pytest.mark.parametrize("objectives", ["[gzip_size]", "[gzip_size, accuracy]"])
def test_one_seed_proposes_the_same_also_if_the_search_is_continued(
    tmp_path: Path, objectives: str
) -> None:
    file = config(tmp_path, SPACE + f"  objectives: {objectives}\n")
    whole = searched(file, None)
    assert len(whole) == 16 and {trial.outcome is None for trial in whole} == {False}
    assert searched(file, tmp_path / "a.journal", again=True) == whole
    assert searched(file, None, seed=43) != whole


def test_no_candidate_is_proposed_twice(tmp_path: Path) -> None:
    file = config(tmp_path)
    space = rounds.searched(file.config).space
    chains = [space.chain(trial.values).canonical() for trial in searched(file, None)]
    assert len(set(chains)) == 16


def test_a_small_space_is_exhausted(tmp_path: Path) -> None:
    clusters = "{cluster: {clusters: {choose: [8, 16]}}, optional: true}"
    text = f"search: {{space: [{clusters}, {{convert: {{quantization: int8}}}}]}}\n"
    file = config(tmp_path, text)
    found = study(file, None)
    for trial in found.propose(8):
        found.tell(trial.number, outcome(trial, 1))
    assert len(found.trials()) == 3 and found.propose(4) == []


def test_a_killed_round_is_proposed_again_and_filled_up(tmp_path: Path) -> None:
    file, path = config(tmp_path), tmp_path / "a.journal"
    whole = study(file, tmp_path / "b.journal").propose(4)
    assert [trial.number for trial in study(file, path).propose(2)] == [t.number for t in whole[:2]]
    assert study(file, path).propose(4) == whole


def test_outcomes_told_before_the_kill_stay(tmp_path: Path) -> None:
    file, path = config(tmp_path), tmp_path / "a.journal"
    first = study(file, path)
    proposed = first.propose(4)
    reported = outcome(proposed[0], 1)
    first.tell(proposed[0].number, reported)
    with open(path, "ab") as torn:
        torn.write(b'{"op_code": 4, "wor')
    again = study(file, path)
    assert again.trials()[0].outcome == reported
    assert again.propose(3) == proposed[1:]
    again.tell(proposed[1].number, outcome(proposed[1], 1))
    assert study(file, path).trials() == again.trials()


def test_a_failed_trial_is_counted_and_not_proposed_again(tmp_path: Path) -> None:
    found = study(config(tmp_path), None)
    trial = found.propose(1)[0]
    found.tell(trial.number, Outcome(Fate.FAILED, reason="no memory", round=1))
    assert found.trials()[0].fate is Fate.FAILED
    assert found.propose(1)[0].number > trial.number


@pytest.mark.parametrize("objectives", ["[gzip_size]", "[gzip_size, accuracy]"])
def test_trials_that_are_pruned_early_are_kept_as_such(tmp_path: Path, objectives: str) -> None:
    file, path = config(tmp_path, SPACE + f"  objectives: {objectives}\n"), tmp_path / "a.journal"
    found, count = study(file, path), len(rounds.objectives_of(file.config))
    for number in range(1, 5):
        for index, one in enumerate(found.propose(4)):
            reported = outcome(one, number, count)
            found.tell(one.number, replace(reported, fate=Fate.PRUNED) if index < 2 else reported)
    fates = [one.fate for one in study(file, path).trials()]
    assert len(fates) == 16 and fates.count(Fate.PRUNED) == 8


def trial(number: int, fate: Fate, *objectives: float) -> Trial:
    return Trial(number, {}, Outcome(fate, objectives))


def test_the_front_has_what_no_other_trial_is_better_than() -> None:
    found = [
        trial(0, Fate.PASSED, 10, -0.9),
        trial(1, Fate.PASSED, 12, -0.95),
        trial(2, Fate.PASSED, 13, -0.94),
        trial(3, Fate.MISSED, 1, -0.99),
    ]
    assert [one.number for one in front(found)] == [0, 1]
    assert [one.number for one in best(found, 1)] == [0]


def test_of_a_long_front_both_ends_are_judged_and_what_is_between_evenly() -> None:
    found = [trial(number, Fate.PASSED, 10 + number, -number) for number in range(7)]
    assert [[one.number for one in best(found, count)] for count in (1, 2, 3, 4)] == [
        [0],
        [0, 6],
        [0, 3, 6],
        [0, 2, 4, 6],
    ]
    assert len(best(found, 9)) == 7


def test_of_one_objective_the_best_trials_that_passed_are_judged_at_the_end() -> None:
    found = [
        trial(0, Fate.PASSED, 12),
        trial(1, Fate.MISSED, 1),
        trial(2, Fate.PASSED, 10),
        trial(3, Fate.PASSED, 11),
    ]
    assert [one.number for one in best(found, 2)] == [2, 3]


def test_importances_find_what_decides(tmp_path: Path) -> None:
    file = config(tmp_path)
    found = study(file, None)
    for number in range(1, 7):
        for one in found.propose(4):
            found.tell(one.number, outcome(one, number))
    shares = found.importances()
    assert shares["prune_channels.ratio"] + shares["prune.sparsity"] > 0.6
