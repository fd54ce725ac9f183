"""A model's outputs against the labels and the gate's metrics, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.common.data.arrays import refuse_other_outputs
from components.common.data.model_inputs import ExamplesError
from components.common.models.output_kind import OutputKind, kinds
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
    """What does not fit between the model, the labels and the metrics.

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
            wrong = output.metric_misfit(figure.metric, width)
            if wrong is not None:
                yield Problem(wrong, (*place, "metric"))
                continue
            argument = output.config_misfit(figure.metric, figure.config)
            if argument is not None:
                name, wrong = argument
                at = (*place, "config", name) if name in figure.config else (*place, "metric")
                yield Problem(f"{name} {wrong}", at)
