"""The metrics of a gate: whether TFMA has them, and whether they go with the config's labels.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.common.base.label import SAME_AS_INPUT
from components.common.base.metric_facts import AGREEMENT, METRICS, NO_QUALITY, RECONSTRUCTION_AUC, Takes
from components.common.base.near_names import nearest
from components.evaluator.params import AccuracyGate, Gate
from components.selector.params import named_by
from pipeline.checks import gate_limits, tfma_metrics
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem


def accuracy_gates(gate: Gate) -> list[tuple[Location, AccuracyGate]]:
    """Each metric with its place in the config."""
    at: Location = ("gate", "accuracy")
    if isinstance(gate.accuracy, list):
        return [((*at, index), figure) for index, figure in enumerate(gate.accuracy)]
    return [(at, gate.accuracy)]


def check(config: Config) -> list[Problem]:
    """Metrics that TFMA does not have or that have no output, and outputs that no metric judges."""
    gates = accuracy_gates(config.gate)
    return [
        *_check_outputs(config, gates),
        *_check_selection(config, [figure for _, figure in gates]),
        *(problem for at, figure in gates for problem in _check_metric(at, figure)),
        *_check_anomalies(config, gates),
        *gate_limits.check(config.gate, gates),
    ]


def _check_outputs(config: Config, gates: list[tuple[Location, AccuracyGate]]) -> Iterator[Problem]:
    if not config.data.label:  # the model's own outputs are known when it is loaded
        return
    outputs = [] if isinstance(config.data.label, str) else list(config.data.label)
    wrong = [problem for at, figure in gates for problem in _check_output(at, figure, outputs)]
    yield from wrong
    judged = {figure.output for _, figure in gates}
    missing = [output for output in outputs if output not in judged]
    if missing and not wrong:
        yield Problem(
            f"has no metric for output {' and '.join(missing)}, so nothing would measure how good it is; write "
            f"a list with {{output: {missing[0]}, metric: …}}, with or without limits, among its entries",
            ("gate", "accuracy"),
        )


def _check_output(at: Location, figure: AccuracyGate, outputs: list[str]) -> Iterator[Problem]:
    if figure.output in outputs or not (outputs or figure.output):
        return
    if not outputs:
        yield Problem(
            f"data.label is for a model with one output, which needs no name; remove output: {figure.output}, "
            "or write data.label as output: feature for each output",
            (*at, "output"),
        )
    elif figure.output is None:
        yield Problem(
            f"does not say which output {figure.metric} is for; write output: {' or '.join(outputs)}", at
        )
    else:
        yield Problem(
            f"data.label has no output {figure.output!r}{nearest(figure.output, outputs)}; it has "
            f"{', '.join(outputs)}",
            (*at, "output"),
        )


def _check_selection(config: Config, figures: list[AccuracyGate]) -> Iterator[Problem]:
    if config.select.maximize is None:
        return
    titles = [figure.title() for figure in figures]
    if config.select.of is None:
        if len(figures) > 1:
            choices = " or ".join(f"of: {title}" for title in titles)
            yield Problem(
                f"the gate has {len(figures)} metrics, and one has to decide; write {choices} beside it",
                ("select", "maximize"),
            )
        return
    described = [(f.title(), f.metric, f.output) for f in figures]
    found = named_by(described, config.select.of)
    if len(found) != 1:
        yield Problem(
            f"{config.select.of!r} names {len(found) or 'none'} of the gate's metrics; write one of "
            f"{', '.join(titles)}",
            ("select", "of"),
        )


def _check_anomalies(config: Config, gates: list[tuple[Location, AccuracyGate]]) -> Iterator[Problem]:
    """Errors of reconstructions without one, and intervals and slices that these metrics do not have."""
    for at, figure in gates:
        if figure.metric != RECONSTRUCTION_AUC:
            continue
        if config.data.label not in (SAME_AS_INPUT, ""):
            yield Problem(
                f"{figure.metric} is for a model that reconstructs its input; write data.label: {{same_as: input}}",
                (*at, "metric"),
            )
        if figure.slices:
            yield Problem(f"{figure.metric} is not measured by slice; remove slices", (*at, "slices"))
        if figure.confidence is not None:
            yield Problem(f"{figure.metric} has no interval; remove confidence", (*at, "confidence"))


def _check_metric(at: Location, figure: AccuracyGate) -> Iterator[Problem]:
    if figure.metric in (AGREEMENT, RECONSTRUCTION_AUC):
        return
    takes = tfma_metrics.arguments(figure.metric)
    if takes is None:
        known = tfma_metrics.known_metrics() - NO_QUALITY.keys()
        fix = nearest(figure.metric, known) or f"; see {tfma_metrics.DOCUMENTATION}"
        if known:  # else the source of TFMA is not where it was, and no name can be refused
            message = f"{figure.metric!r} is not a metric of TFMA or tf_keras that gives one number{fix}"
            yield Problem(message, (*at, "metric"))
        return
    if figure.metric in NO_QUALITY:
        yield Problem(
            f"{figure.metric} {NO_QUALITY[figure.metric]}; write a metric of quality, e.g. "
            "SparseCategoricalAccuracy, AUC or MeanAbsoluteError",
            (*at, "metric"),
        )
        return
    takes_values = figure.metric in METRICS and METRICS[figure.metric].takes is Takes.VALUES
    if figure.of_baseline and not takes_values:
        yield Problem(
            f"the baseline's outputs are not labels that {figure.metric} takes; write metric: agreement, or for a "
            "regression an error, e.g. MeanAbsoluteError",
            (*at, "metric"),
        )
        return
    if figure.config.get("from_logits"):
        yield Problem(
            "outputs that the loss calls logits are judged by their probabilities; remove from_logits",
            (*at, "config", "from_logits"),
        )
    if figure.metric in ("IoU", "MeanIoU") and figure.config.get("sparse_y_pred", True):
        yield Problem(
            f"{figure.metric} takes the index of a class as prediction, and models give probabilities, which it "
            "would cut to class 0; write config: {…, sparse_y_pred: false}",
            (*at, "config"),
        )
    if not figure.direction_is_known():
        yield Problem(
            f"the name {figure.metric} does not say whether higher is better; write higher_is_better: true or "
            "higher_is_better: false beside it",
            (*at, "metric"),
        )
    unknown = [name for name in figure.config if takes.known and name not in takes.known]
    for name in unknown:
        message = f"{figure.metric} has no argument {name!r}{nearest(name, takes.known or ())}"
        yield Problem(message, (*at, "config", name))
    missing = [name for name in takes.required if name not in figure.config]
    if missing and not unknown:  # an unknown one is likely to be the missing one, misspelt
        written = ", ".join(f"{name}: …" for name in missing)
        message = f"{figure.metric} needs {' and '.join(missing)}; write config: {{{written}}}"
        yield Problem(message, (*at, "config"))
