"""A search: rounds of ordinary runs, and a last one that judges the best trials on the eval split."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from rich.console import Console

from components.common.base.errors import ParedownError
from pipeline.base.console import make_console
from pipeline.base.exit_code import EXIT_NONE_PASSED
from pipeline.base.shown import Shown
from pipeline.base.texts import count_text
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import InvalidInput
from pipeline.run import lock
from pipeline.run.session import Stopped
from pipeline.search import rounds, table
from pipeline.search.place import Last, Place
from pipeline.search.ranking import best, front, outcome_of, promising
from pipeline.store.search_record import Fate, Outcome, SearchRecord, Trial

if TYPE_CHECKING:
    from pipeline.search.study import Study


class AnotherSearch(ParedownError):
    """Another search is using the pipeline root."""


@dataclasses.dataclass(frozen=True)
class Searched(Shown):
    """The result of a search.

    Attributes:
        file: The config.
        study: Name of the study.
        trials: All trials, with their outcomes on the tune split.
        last: The run that judged the best ones on the eval split; None if no trial passed on the tune split and no
            candidate is written by hand.
    """

    file: ConfigFile
    study: str
    trials: tuple[Trial, ...]
    last: Last | None

    @property
    def winner(self) -> str | None:
        """The selected candidate; None if no candidate passed."""
        return self.last.winner if self.last else None

    @property
    def winner_steps(self) -> list[dict[str, Any]] | None:
        """The winner's chain as a config has it; None if it is not a trial."""
        found = next((trial for trial in self.trials if trial.name == self.winner), None)
        return rounds.searched(self.file.config).space.steps(found.values) if found else None

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        return self.last.exit_code if self.last else EXIT_NONE_PASSED

    def show(self, console: Console) -> None:
        space = rounds.searched(self.file.config).space
        console.print(table.trials_table(self.trials, space, f"Trials of {self.study}"))
        if self.last is None:
            console.print("[bold red]No trial met the limits on the tune split; nothing was pushed.[/]")
            for trial in sorted(self.trials, key=lambda t: t.outcome.violation if t.outcome else 0)[:3]:
                reason = trial.outcome.reason if trial.outcome else ""
                console.print(f"  {trial.name}: {reason}", markup=False)
            return
        looked = count_text(len(self.trials), "trial")
        console.print(f"{looked} were looked at on the tune split; the best are judged on the eval split:")
        self.last.show(console)
        steps = self.winner_steps
        if steps:
            console.print("To write it as a candidate:")
            console.print(as_yaml(str(self.winner), steps), markup=False, soft_wrap=True)

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        space = rounds.searched(self.file.config).space
        return {
            "study": self.study,
            "trials": [
                {
                    "number": trial.number,
                    "steps": space.steps(trial.values),
                    **(trial.outcome.to_json() if trial.outcome else {}),
                }
                for trial in self.trials
            ],
            "front": [trial.number for trial in front(self.trials)],
            "winner": self.winner,
            "winner_steps": self.winner_steps,
            "last": self.last.to_json() if self.last else None,
        }


def as_yaml(name: str, steps: Sequence[dict[str, Any]]) -> str:
    """A candidate as a config has it."""
    written: str = yaml.safe_dump(
        {"candidates": {name: list(steps)}}, sort_keys=False, default_flow_style=None
    )
    return written.rstrip()


def search(
    file: ConfigFile,
    place: Place,
    trials: int | None = None,
    minutes: float | None = None,
) -> Searched | Stopped:
    """Searches until the trials or the time are used up, and judges the best trials on the eval split.

    Args:
        file: A config with a search.
        place: Where its runs are made.
        trials: Instead of `search.trials`.
        minutes: Instead of `search.minutes`.

    Raises:
        InvalidInput: If the data, the model or a step cannot work.
        AnotherSearch: If another search is using the pipeline root.
    """
    folder = Path(file.config.pipeline_root, "search").absolute()
    with lock.hold(folder) as held:
        if not held:
            raise AnotherSearch(
                f"Another search is using {folder}. Wait for it, or set run.pipeline_root to a different folder."
            )
        return _Searching(file, folder, place).run(trials, minutes)


def refused_trials(error: InvalidInput, trials: Sequence[Trial]) -> dict[int, str]:
    """Trials that the checks before a round refuse, with the reason; empty if a problem is not a trial's.

    Args:
        error: Raised by the checks.
        trials: Those of the round.
    """
    numbers = {("candidates", trial.name): trial.number for trial in trials}
    found: dict[int, str] = {}
    for problem in error.problems:
        number = (
            numbers.get((str(problem.location[0]), str(problem.location[1])))
            if problem.location[1:]
            else None
        )
        if number is None:
            return {}
        found.setdefault(number, problem.message)
    return found


def _pruned(outcome: Outcome, epochs: int) -> Outcome:
    """The outcome of a trial that is not promising."""
    if outcome.fate is Fate.FAILED:
        return outcome
    reason = f"not promising after {count_text(epochs, 'epoch')} of each step"
    return dataclasses.replace(outcome, fate=Fate.PRUNED, reason=reason)


class _Searching:
    def __init__(self, file: ConfigFile, folder: Path, place: Place):
        from pipeline.search.study import Study

        config = file.config
        self._file = file
        self._place = place
        self._section = rounds.searched(config)
        self._objectives = rounds.objectives_of(config)
        self._seed = rounds.seed_of(config)
        self._console = make_console(stderr=True)
        name = rounds.study_name(file, place.key)
        path = folder / f"{name}.journal"
        self._study: Study = Study(path, name, self._section, self._objectives, self._seed)

    def run(self, trials: int | None, minutes: float | None) -> Searched | Stopped:
        most = trials if trials is not None else self._section.most_trials
        if trials is None and minutes is not None and self._section.trials is None:
            most = None
        minutes = minutes if minutes is not None else self._section.minutes
        while True:
            known = self._study.trials()
            finished = sum(trial.outcome is not None for trial in known)
            late = minutes is not None and self._study.seconds >= minutes * 60
            unfinished = len(known) - finished
            if (late and not unfinished) or (most is not None and finished >= most):
                break
            count = (
                self._section.proposals if most is None else min(self._section.proposals, most - finished)
            )
            proposed = self._study.propose(count)[:count]
            if not proposed:
                self._console.print("The space has no more candidates.")
                break
            stopped = self._round(proposed)
            if stopped is not None:
                return stopped
        return self._last()

    def _round(self, proposed: Sequence[Trial]) -> Stopped | None:
        number = self._study.rounds + 1
        self._console.print(
            f"[bold]Round {number}[/] of {self._study.name}: {', '.join(trial.name for trial in proposed)}"
        )
        began = time.monotonic()
        outcomes: dict[int, Outcome] = {}
        kept = list(proposed)
        if halving := self._section.halving:
            brief = self._outcomes(kept, number, halving.epochs)
            if isinstance(brief, Stopped):
                return brief
            full = promising(brief, math.ceil(len(kept) * halving.keep))
            outcomes = {n: _pruned(found, halving.epochs) for n, found in brief.items() if n not in full}
            kept = [trial for trial in kept if trial.number in full]
        found = self._outcomes(kept, number)
        if isinstance(found, Stopped):
            return found
        # Reported at the end of the round only: a round that is killed begins again with all of its trials.
        for trial, outcome in sorted({**outcomes, **found}.items()):
            self._study.tell(trial, outcome)
        self._study.took(time.monotonic() - began)
        title = f"After round {number}"
        self._console.print(table.trials_table(self._study.trials(), self._section.space, title))
        return None

    def _outcomes(
        self, trials: Sequence[Trial], number: int, epochs: int | None = None
    ) -> dict[int, Outcome] | Stopped:
        """Runs trials.

        Args:
            trials: Those to run; trials that the checks refuse fail, and the others run.
            number: Of the round.
            epochs: As `rounds.round_file` takes it.
        """
        outcomes: dict[int, Outcome] = {}

        def fail(reasons: Mapping[int, str]) -> None:
            outcomes.update(
                {n: Outcome(Fate.FAILED, reason=why, round=number) for n, why in reasons.items()}
            )

        while left := [trial for trial in trials if trial.number not in outcomes]:
            file = rounds.round_file(self._file, left, epochs)
            trusted = any(trial.fate in (Fate.PASSED, Fate.MISSED) for trial in self._study.trials())
            try:
                run = self._place.judge(file, self._record("round", number, left), trusted)
            except InvalidInput as error:
                refused = refused_trials(error, left)
                if not refused:
                    raise
                fail(refused)
                continue
            if isinstance(run, Stopped):
                return run
            for trial in left:
                if trial.name in run.verdicts:
                    verdict = run.verdicts[trial.name]
                    outcomes[trial.number] = outcome_of(
                        verdict, self._objectives, file.config.select.of, number, run.run
                    )
                else:
                    reason = run.failures[trial.name]
                    outcomes[trial.number] = Outcome(Fate.FAILED, reason=reason, round=number, run=run.run)
        return outcomes

    def _last(self) -> Searched | Stopped:
        trials = [trial for trial in self._study.trials() if trial.outcome is not None]
        chosen = best(trials, self._section.finalists)
        file = rounds.last_file(self._file, chosen)
        if not file.config.candidates:
            return Searched(self._file, self._study.name, tuple(trials), None)
        self._console.print(
            f"[bold]Last run[/]: {', '.join(file.config.candidates)}, trained on the whole train split and judged on "
            f"eval, after {count_text(len(trials), 'trial')}"
        )
        record = dataclasses.replace(
            self._record(
                "last", self._study.rounds, [t for t in chosen if t.name in file.config.candidates]
            ),
            history=tuple(trials),
            front=tuple(trial.number for trial in front(trials)),
            importances=self._study.importances(),
        )
        outcome = self._place.conclude(file, record)
        if isinstance(outcome, Stopped):
            return outcome
        return Searched(self._file, self._study.name, tuple(trials), outcome)

    def _record(self, part: Literal["round", "last"], number: int, trials: Sequence[Trial]) -> SearchRecord:
        return SearchRecord(
            self._study.name,
            part,
            number,
            self._seed,
            tuple(self._objectives),
            tuple(self._section.space.model_dump(mode="json")),
            {trial.name: dataclasses.replace(trial, outcome=None) for trial in trials},
        )
