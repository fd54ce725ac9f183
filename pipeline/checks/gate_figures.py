"""The metrics of a gate: where they stand in the config, and whether they go with its labels.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.common.base.near_names import nearest
from components.evaluator.params import AccuracyGate, Gate
from components.selector.params import named_by
from pipeline.config.config import Config
from pipeline.config.problem import Location


def accuracy_gates(gate: Gate) -> list[tuple[Location, AccuracyGate]]:
    """Each metric with its place in the config."""
    at: Location = ("gate", "accuracy")
    if isinstance(gate.accuracy, list):
        return [((*at, index), figure) for index, figure in enumerate(gate.accuracy)]
    return [(at, gate.accuracy)]


def mistakes(config: Config) -> Iterator[tuple[Location, str]]:
    """Metrics that go with no output or with more than one, outputs without a metric, a selection by neither."""
    label = config.data.label
    outputs = [] if isinstance(label, str) else list(label)
    gates = accuracy_gates(config.gate)
    complete = True
    for at, figure in gates:
        if not outputs and figure.output is not None:
            yield (
                (*at, "output"),
                f"data.label is of a model with one output, which needs no name; leave output: {figure.output} "
                "out, or write data.label as output: feature, one for each",
            )
        elif outputs and figure.output not in outputs:
            complete = False
            if figure.output is None:
                yield (
                    at,
                    f"does not say which output {figure.metric} is of; write output: {' or '.join(outputs)}",
                )
            else:
                yield (
                    (*at, "output"),
                    f"data.label has no output {figure.output!r}{nearest(figure.output, outputs)}; it has "
                    f"{', '.join(outputs)}",
                )
    judged = {figure.output for _, figure in gates}
    missing = [output for output in outputs if output not in judged]
    if missing and complete:
        yield (
            ("gate", "accuracy"),
            f"has no metric for output {' and '.join(missing)}, so that nothing would tell how good it is; write "
            f"a list with {{output: {missing[0]}, metric: …}}, limits or none, among its entries",
        )
    yield from _selection(config, [figure for _, figure in gates])


def _selection(config: Config, figures: list[AccuracyGate]) -> Iterator[tuple[Location, str]]:
    if config.select.maximize is None:
        return
    described = [{"figure": f.title(), "metric": f.metric, "output": f.output} for f in figures]
    if config.select.of is None:
        if len(figures) > 1:
            titles = " or ".join(f"of: {figure.title()}" for figure in figures)
            yield (
                ("select", "maximize"),
                f"the gate has {len(figures)} metrics, and one has to decide; write {titles} beside it",
            )
        return
    found = named_by(described, config.select.of)
    if len(found) != 1:
        what = "none" if not found else f"{len(found)}"
        yield (
            ("select", "of"),
            f"{config.select.of!r} names {what} of the gate's metrics; write one of "
            f"{', '.join(figure.title() for figure in figures)}",
        )
