"""The outcome of a trial by its verdict, and which trials are the best. Imports neither TensorFlow, TFX nor Optuna."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.evaluator.judgement import Judgement
from components.evaluator.verdict import Verdict
from components.selector.choice import accuracy_of, figure
from pipeline.store.search_record import Fate, Outcome, Trial

# The violation of a limit of which nothing was measured; others are shares of their limit.
_UNMEASURED = 10.0


def outcome_of(
    verdict: Verdict, objectives: Sequence[str], of: str | None, round: int, run: str
) -> Outcome:
    """The outcome of a trial by its verdict on the tune split.

    Args:
        verdict: The Evaluator's.
        objectives: Names as `search.objectives` has them.
        of: Which metric `accuracy` means, as `select.of`.
        round: Number of the round.
        run: Id of its run.
    """
    figures = {
        name: float(value)
        for name in ("accuracy", "size", "gzip_size")
        if (value := figure(verdict, name, of)) is not None
    }
    values = [figure(verdict, name, of) for name in objectives]
    reason = "; ".join(verdict.reasons)
    if verdict.failures or any(value is None for value in values):
        return Outcome(Fate.FAILED, figures=figures, reason=reason or "not measured", round=round, run=run)
    accuracy = accuracy_of(verdict, of)
    higher = accuracy is not None and accuracy.higher_is_better
    signed = tuple(
        -float(value) if name == "accuracy" and higher else float(value)
        for name, value in zip(objectives, values, strict=True)
        if value is not None
    )
    fate = Fate.PASSED if verdict.blessed else Fate.MISSED
    violation = 0.0 if verdict.blessed else sum(map(_violation, verdict.missed)) or _UNMEASURED
    return Outcome(fate, signed, violation, figures, reason, round, run)


def _violation(missed: Judgement) -> float:
    if missed.value is None or missed.limit is None:
        return _UNMEASURED
    return min(_UNMEASURED, abs(missed.value - missed.limit) / max(abs(missed.limit), 1e-9))


def promising(outcomes: Mapping[int, Outcome], count: int) -> set[int]:
    """Numbers of the trials to train in full: those that miss limits least, then those that few others are better than.

    Args:
        outcomes: Trial → its outcome after a brief training; those that failed are never promising.
        count: How many at most.
    """
    usable = {number: outcome for number, outcome in outcomes.items() if outcome.fate is not Fate.FAILED}

    def rank(number: int) -> tuple[float, int, tuple[float, ...], int]:
        mine = usable[number]
        better = sum(_dominates(other.objectives, mine.objectives) for other in usable.values())
        return mine.violation, better, mine.objectives, number

    return set(sorted(usable, key=rank)[:count])


def front(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that passed and that no other one is better than in every objective; the best ones first."""
    passed = [trial for trial in trials if trial.outcome and trial.fate is Fate.PASSED]
    kept = [trial for trial in passed if not any(_better(other, trial) for other in passed)]
    return sorted(kept, key=_rank)


def best(trials: Sequence[Trial], count: int) -> list[Trial]:
    """The trials to judge at the end: those on the front; of one objective, the best ones.

    Of a longer front, both of its ends are among them, and the others are spread evenly between the ends.

    Args:
        trials: All of them.
        count: How many at most.
    """
    passed = sorted((trial for trial in trials if trial.fate is Fate.PASSED), key=_rank)
    if passed and passed[0].outcome and len(passed[0].outcome.objectives) > 1:
        return _spread(front(trials), count)
    return passed[:count]


def _spread(trials: Sequence[Trial], count: int) -> list[Trial]:
    if len(trials) <= count:
        return list(trials)
    if count == 1:
        return [trials[0]]
    return [trials[round(place * (len(trials) - 1) / (count - 1))] for place in range(count)]


def _rank(trial: Trial) -> tuple[tuple[float, ...], int]:
    return (trial.outcome.objectives if trial.outcome else ()), trial.number


def _better(one: Trial, other: Trial) -> bool:
    assert one.outcome and other.outcome
    return _dominates(one.outcome.objectives, other.outcome.objectives)


def _dominates(mine: tuple[float, ...], others: tuple[float, ...]) -> bool:
    pairs = list(zip(mine, others, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
