"""The study of a search: its trials, kept in a file that Optuna reads, and what it proposes next. Imports Optuna."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from pipeline.config.search_domain import Range, Values
from pipeline.config.search_section import Search
from pipeline.store.search_record import Fate, Outcome, Trial

# Proposals in a row that repeat a trial, or cannot be a chain: after the first number of them proposals are random, and
# after the second one the space counts as exhausted.
_RANDOM_AFTER = 5
_ATTEMPTS = 200
# Trials of Optuna's that were not run.
_DROPPED = "dropped"


class _NoLock(JournalFileOpenLock):
    """One search at a time holds the lock of its folder; a lock file of a killed process would be in the way."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class Study:
    """A search's trials. Each method writes at once, so a search that is killed continues where it was.

    What is proposed depends on the seed, the number of the trial and the outcomes before it only: a search that is
    continued proposes what it would have proposed.
    """

    def __init__(self, path: Path | None, name: str, search: Search, objectives: Sequence[str], seed: int):
        """Opens the study, or makes it.

        Args:
            path: The file; None keeps it in memory.
            name: Of the study.
            search: The section.
            objectives: What is minimized; of an accuracy, its negative.
            seed: Of the proposals.
        """
        self.name = name
        self._search = search
        self._seed = seed
        self._several = len(objectives) > 1
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(path)
            storage = JournalStorage(JournalFileBackend(str(path), _NoLock(str(path))))
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[StudyDirection.MINIMIZE] * len(objectives),
            load_if_exists=True,
        )

    @property
    def seconds(self) -> float:
        """The time that its rounds have taken."""
        return float(self._study.user_attrs.get("seconds", 0.0))

    def took(self, seconds: float) -> None:
        """Adds the time of a round."""
        self._study.set_user_attr("seconds", self.seconds + seconds)

    @property
    def rounds(self) -> int:
        """Number of finished rounds."""
        return max((trial.outcome.round for trial in self.trials() if trial.outcome), default=0)

    def trials(self) -> list[Trial]:
        """The trials that run or were run, in the order of their numbers."""
        kept = self._study.user_attrs
        return [
            Trial(trial.number, self._values(trial), Outcome.from_json(found) if found else None)
            for trial in self._study.get_trials(deepcopy=False)
            if (found := kept.get(f"trial {trial.number}")) != _DROPPED
        ]

    def propose(self, count: int) -> list[Trial]:
        """The trials of the next round: those that were not finished when the search was stopped, and new ones.

        Args:
            count: Number of trials; fewer are returned if the space has no others.
        """
        self._drop_unfinished_proposals()
        trials = self.trials()
        running = [trial for trial in trials if trial.outcome is None]
        known = {self._search.space.chain(trial.values).canonical() for trial in trials}
        attempts = self._dropped_last()
        while len(running) < count and attempts < _ATTEMPTS:
            asked = self._ask(at_random=attempts >= _RANDOM_AFTER)
            try:
                chain = self._search.space.chain(asked.values).canonical()
            except ValidationError:
                chain = ""
            if not chain or chain in known:
                self._drop(asked.number)
                attempts += 1
                continue
            known.add(chain)
            running.append(asked)
            attempts = 0
        return running

    def tell(self, number: int, outcome: Outcome) -> None:
        """Records the outcome of a trial."""
        self._study.set_user_attr(f"trial {number}", outcome.to_json())
        with self._sampling(number):
            if outcome.fate is Fate.FAILED:
                self._study.tell(number, state=TrialState.FAIL)
            elif outcome.fate is Fate.PRUNED:
                self._study.tell(number, state=TrialState.PRUNED)
            else:
                self._study.tell(number, list(outcome.objectives))

    def importances(self) -> dict[str, float]:
        """Parameter → its share of what decides the first objective, by PED-ANOVA; empty if trials are too few."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = optuna.importance.get_param_importances(
                    self._study,
                    evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                    target=lambda trial: trial.values[0],
                )
            except (ValueError, RuntimeError):  # too few trials, or all alike
                return {}
        return {name: round(float(share), 4) for name, share in found.items()}

    def _ask(self, at_random: bool) -> Trial:
        number = len(self._study.get_trials(deepcopy=False))
        with self._sampling(number, at_random):
            asked = self._study.ask()
            space = self._search.space
            for index, (name, step) in enumerate(zip(space.names(), space.root, strict=True)):
                if step.optional and not asked.suggest_categorical(name, [True, False]):
                    continue
                for parameter, domain in space.domains_of(index).items():
                    if not isinstance(domain, Range):
                        asked.suggest_categorical(parameter, domain.labels)
                    elif domain.whole:
                        asked.suggest_int(
                            parameter,
                            int(domain.low),
                            int(domain.high),
                            step=int(domain.step or 1),
                            log=domain.log,
                        )
                    else:
                        asked.suggest_float(
                            parameter, domain.low, domain.high, step=domain.step, log=domain.log
                        )
        return Trial(asked.number, dict(asked.params))

    def _drop(self, number: int) -> None:
        self._study.set_user_attr(f"trial {number}", _DROPPED)
        self._study.tell(number, state=TrialState.FAIL)

    def _dropped_last(self) -> int:
        """How many trials were dropped since the last one that was not."""
        attrs = self._study.user_attrs
        numbers = [trial.number for trial in self._study.get_trials(deepcopy=False)]
        dropped = itertools.takewhile(
            lambda number: attrs.get(f"trial {number}") == _DROPPED, reversed(numbers)
        )
        return sum(1 for _ in dropped)

    def _drop_unfinished_proposals(self) -> None:
        """Drops trials for which not all parameters were proposed when the search was killed."""
        for trial in self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            try:
                self._search.space.steps(trial.params)
            except KeyError:
                self._drop(trial.number)
                continue
            known = self._study.user_attrs.get(f"trial {trial.number}")
            if known == _DROPPED:
                self._study.tell(trial.number, state=TrialState.FAIL)
            elif known:
                self.tell(trial.number, Outcome.from_json(known))

    def _values(self, trial: FrozenTrial) -> Values:
        return dict(trial.params)

    @contextlib.contextmanager
    def _sampling(self, number: int, at_random: bool = False) -> Iterator[None]:
        """Gives the study a new sampler for each trial, so that nothing depends on what this process did before."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # options that Optuna calls experimental
            seed = self._seed * 1000003 % 2**31 + number
            self._study.sampler = RandomSampler(seed) if at_random else self._sampler(seed)
            yield

    def _sampler(self, seed: int) -> BaseSampler:
        startup = 2 * self._search.round
        if self._several:
            return NSGAIISampler(population_size=startup, seed=seed, constraints_func=self._violations)
        return TPESampler(
            n_startup_trials=startup,
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=seed,
            constraints_func=self._violations,
        )

    def _violations(self, trial: FrozenTrial) -> Sequence[float]:
        outcome = Outcome.from_json(self._study.user_attrs[f"trial {trial.number}"])
        return (outcome.violation,)


def _drop_torn_line(path: Path) -> None:
    """Removes the end of a line that was being written when the process was killed."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with open(path, "r+b") as file:
            file.truncate(whole)
