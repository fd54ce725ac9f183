"""The choice among candidates that were judged. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Mapping

from components.evaluator.verdict import Verdict
from components.measurer.measured import Accuracy
from components.selector.params import SelectOptions, named_by


def accuracy_of(verdict: Verdict, of: str | None = None) -> Accuracy | None:
    """The gate's metric, or the one that `select.of` names; None if it was not measured."""
    metrics = verdict.measured.metrics
    if of is None or len(metrics) < 2:
        return verdict.measured.accuracy
    found = named_by([(one.title, one.metric, one.output) for one in metrics], of)
    return metrics[found[0]] if len(found) == 1 else None


def figure(verdict: Verdict, name: str, of: str | None = None) -> float | None:
    """A candidate's figure by the name that `select` uses; None if it was not measured."""
    measured = verdict.measured
    if name == "accuracy":
        accuracy = accuracy_of(verdict, of)
        return accuracy.candidate if accuracy else None
    if name == "latency":
        # Milliseconds of two candidates are from different moments, and the machine's load was another.
        return measured.latency.ratio if measured.latency else None
    if name == "memory":
        return measured.device_bytes("memory")
    if name == "flash":
        return measured.device_bytes("flash")
    if name == "brotli_size":
        return measured.bytes("brotli")
    return measured.bytes("gzip" if name == "gzip_size" else "file")


def select(
    verdicts: Mapping[str, Verdict], blessed: Mapping[str, bool], options: SelectOptions
) -> str | None:
    """Names the winner.

    Args:
        verdicts: Candidate → its verdict.
        blessed: Candidate → whether its `ModelBlessing` says so, which is what counts.
        options: What the winner is best at.

    Returns:
        The blessed candidate that is best at what `options` ask for; ties go to the better accuracy,
        then to the first name. None if no candidate is blessed and has the figure.
    """
    wanted = options.minimize or "accuracy"
    rows = []
    for name, verdict in verdicts.items():
        value = figure(verdict, wanted, options.of)
        accuracy = accuracy_of(verdict, options.of)
        if not (blessed[name] and verdict.blessed) or value is None or accuracy is None:
            continue
        rank = (-1 if accuracy.higher_is_better else 1) * (accuracy.candidate or 0.0)
        rows.append((rank if wanted == "accuracy" else value, rank, name))
    return min(rows)[2] if rows else None
