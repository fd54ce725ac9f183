"""A model's outputs against the labels and the gate's metrics, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.common.base.metric_facts import AGREEMENT
from components.common.data.arrays import refuse_other_outputs
from components.common.data.losses import MULTICLASS, MULTILABEL
from components.common.data.model_inputs import ExamplesError
from components.common.models.output_kind import PROBABILITIES, OutputKind, kinds
from components.evaluator.params import AccuracyGate
from pipeline.checks.gate_metrics import accuracy_gates
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem


def check(
    config: Config,
    model: Any,
    widths: Mapping[str, int],
    where: Location = ("model", "module"),
    made: str = "build_model returned a model",
) -> Iterator[Problem]:
    """Problems of the model, the labels and the metrics that do not fit each other.

    Args:
        config: With `data.label` and the gate.
        model: As build_model returns it, compiled.
        widths: Label → number of its values in an example, if it is known.
        where: Location of the model in the config.
        made: Origin of the model, as the beginning of a sentence.
    """
    if isinstance(model.output_shape, dict):
        yield Problem(
            f"{made} whose outputs are a dictionary, which does not keep their order; write "
            "tf_keras.Model(inputs, [first, second]): an output is named after its layer",
            where,
        )
        return
    outputs = kinds(model)
    label = config.data.label
    names = [output.name for output in outputs]
    if not label:
        yield from _unlabelled_mistakes(config, outputs)
        return
    if isinstance(label, str):
        if len(outputs) != 1:
            written = ", ".join(f"{name}: …" for name in names)
            yield Problem(
                f"{made} with {len(outputs)} outputs, and {label!r} is one label; write label: {{{written}}}",
                ("data", "label"),
            )
            return
        features = {names[0]: label}
    else:
        try:
            refuse_other_outputs(names, label)
        except ExamplesError as error:
            yield Problem(str(error), ("data", "label"))
            return
        features = dict(label)
    for output in outputs:
        at: Location = ("data", "label") if isinstance(label, str) else ("data", "label", output.name)
        yield from _output_mistakes(config, output, features[output.name], at, widths, where)


def _unlabelled_mistakes(config: Config, outputs: list[OutputKind]) -> Iterator[Problem]:
    """Metrics that do not fit the outputs of a model whose baseline is the measure."""
    names = [output.name for output in outputs]
    for place, figure in accuracy_gates(config.gate):
        if figure.output not in (names if len(names) > 1 else [None]):
            fix = f"write output: {' or '.join(names)}" if len(names) > 1 else "remove output"
            yield Problem(f"the model's outputs are {names}; {fix}", (*place, "output"))
            continue
        for output in outputs:
            if figure.output in (None, output.name) and (wrong := agreement_misfit(output, figure)):
                yield Problem(wrong, (*place, "metric"))


def agreement_misfit(output: OutputKind, figure: AccuracyGate) -> str:
    """Why a metric of a model's agreement with the baseline does not fit an output; empty if it does."""
    decides = output.end in PROBABILITIES or output.task in (MULTICLASS, MULTILABEL)
    if figure.metric == AGREEMENT and not decides:
        return (
            f"agreement compares decisions, but output {output.name!r} ends in neither softmax nor sigmoid, and no "
            "loss says that it is logits; write e.g. {metric: MeanAbsoluteError, against: baseline}"
        )
    return ""


def _output_mistakes(
    config: Config,
    output: OutputKind,
    feature: str,
    at: Location,
    widths: Mapping[str, int],
    where: Location,
) -> Iterator[Problem]:
    if not output.trained:
        yield Problem(
            f"output {output.name!r} is compiled with no loss, so it would not be trained; write one", where
        )
        return
    width = widths.get(feature)
    misfit = output.label_misfit(feature, width) if width is not None else None
    if misfit is not None:
        yield Problem(misfit, at)
        return  # what its metrics say would be about the same mistake
    for place, figure in accuracy_gates(config.gate):
        if figure.output in (None, output.name):
            if figure.of_baseline:
                wrong: str | None = agreement_misfit(output, figure)
            else:
                wrong = output.metric_misfit(
                    figure.metric, width, figure.config
                ) or output.activation_misfit(figure.metric, figure.config)
            if wrong:
                yield Problem(wrong, (*place, "metric"))
                continue
            argument = output.config_misfit(figure.metric, figure.config)
            if argument is not None:
                name, wrong = argument
                at = (*place, "config", name) if name in figure.config else (*place, "metric")
                yield Problem(f"{name} {wrong}", at)
