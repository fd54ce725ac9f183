"""Data without labels: what learns from labels, or is compared with them, is a mistake.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.common.base.step_options import TrainingOptions, TuningOptions
from pipeline.checks.gate_metrics import accuracy_gates
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem


def check(config: Config) -> list[Problem]:
    """Parts of a config that need data.label, and weights of labels that no step reads."""
    if config.data.label:
        return list(_check_weights(config))
    if config.model.imported is None:
        message = (
            "is missing: the feature that the model predicts; only an imported model can be tuned and judged without "
            "labels"
        )
        return [Problem(message, ("data", "label"))]
    return [*_check_steps(config), *_check_metrics(config)]


def _check_weights(config: Config) -> Iterator[Problem]:
    if config.data.class_weights is None:
        return
    for candidate, chain in config.candidates.items():
        for index, step in enumerate(chain.steps()):
            if isinstance(step, TrainingOptions) and not step.like(config.model.baseline()).needs_labels():
                yield Problem(
                    f"{step.technique} learns from the baseline's outputs, but data.class_weights weight labels; "
                    f"write "
                    "teacher: labels, or remove class_weights",
                    ("candidates", candidate, index, step.technique),
                )
                return


def _check_steps(config: Config) -> Iterator[Problem]:
    reported: set[str] = set()
    for candidate, chain in config.candidates.items():
        for index, step in enumerate(chain.steps()):
            if (
                not isinstance(step, TrainingOptions)
                or not step.like(config.model.baseline()).needs_labels()
            ):
                continue
            if step.technique in reported:
                continue
            reported.add(step.technique)
            at: Location = ("candidates", candidate, index, step.technique)
            own = isinstance(step, TuningOptions)
            yield Problem(
                f"{step.technique} learns from labels, and data.label is missing; write data.label"
                + (", or remove teacher" if own else ", or leave the step out"),
                (*at, "teacher") if own else at,
            )


def _check_metrics(config: Config) -> Iterator[Problem]:
    for at, figure in accuracy_gates(config.gate):
        if not figure.of_baseline:
            yield Problem(
                f"{figure.metric} compares predictions with labels, and data.label is missing; write metric: "
                "agreement, the share of the baseline's own decisions, or for a regression an error with against: "
                "baseline, e.g. {metric: MeanAbsoluteError, against: baseline}",
                (*at, "metric"),
            )
