"""Checks that need TensorFlow, made before a run begins, so that hours of training do not end in a typo."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from components.common.base.errors import describe
from components.common.tflite import runtimes
from pipeline.checks import (
    baseline_preflight,
    distribution_checks,
    predicted_sizes,
    target_checks,
    transformed_types,
)
from pipeline.checks.baseline_preflight import Surroundings
from pipeline.checks.data_preflight import check_data
from pipeline.checks.gate_metrics import accuracy_gates
from pipeline.config.config import Config
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import Problem
from pipeline.explain.explanation import Candidate, Explainer
from pipeline.plan.node import TRANSFORM
from pipeline.plan.plan import Plan


@dataclass(frozen=True)
class Examined:
    """Findings before anything is trained.

    Attributes:
        candidates: An explanation for each, none if the model itself cannot be used.
        problems: A problem for each mistake.
        warnings: What works and is of no use: a candidate that will miss a limit.
    """

    candidates: list[Candidate]
    problems: list[Problem]
    warnings: list[Problem]

    def refused(self, strict: bool) -> list[Problem]:
        """Problems that a run must not start with.

        Args:
            strict: Whether that includes warnings.
        """
        return [*self.problems, *(self.warnings if strict else [])]


def check(file: ConfigFile, plan: Plan, cached: set[str]) -> Examined:
    """Checks data, models, metrics and layer patterns. Writes nothing.

    Args:
        file: The config.
        plan: Made from it.
        cached: Ids of nodes that will not run. Records that only they read, and steps of candidates that are
            made, are not checked again; the config itself always is.
    """
    config = file.config
    problems = _check_beam(config)
    around, found = _surroundings(config, plan, whole=plan.example_gen not in cached)
    problems += found
    if any(node.trains and node.id not in cached for node in plan.nodes):
        problems += distribution_checks.check_machine(config)
    new = [name for name, node in plan.models.items() if node not in cached]
    # A limit, a metric or a label can be new though every model is cached: the outputs are always checked.
    candidates, found = _check_models(around, plan, new)
    return _examined(file, candidates, [*problems, *found, *_check_metrics(config)])


def explain(file: ConfigFile, plan: Plan) -> Examined:
    """Looks at data and models as `check` does, and says what each step will do.

    Args:
        file: The config.
        plan: Made from it.
    """
    around, problems = _surroundings(file.config, plan, whole=True)
    candidates, found = _check_models(around, plan, list(file.config.candidates))
    return _examined(file, candidates, [*problems, *found])


def _examined(file: ConfigFile, candidates: list[Candidate], problems: list[Problem]) -> Examined:
    warnings = predicted_sizes.check(file.config, candidates)
    return Examined(candidates, file.located(problems), file.located(warnings))


def _surroundings(config: Config, plan: Plan, whole: bool) -> tuple[Surroundings, list[Problem]]:
    """Reads the data: to their ends if `whole`, and the first record's features always."""
    transforms = any(node.id == TRANSFORM for node in plan.nodes)
    facts, problems = check_data(config, transforms, whole)
    if transforms and config.model.module is not None:
        problems += transformed_types.check(config.model.module, facts)
    return Surroundings(config, facts, transforms), problems


def _check_beam(config: Config) -> list[Problem]:
    """Lets Beam make the runner that beam_args ask for."""
    if not config.run.beam_args:
        return []
    from apache_beam import runners
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    try:
        name = PipelineOptions(config.run.beam_args).view_as(StandardOptions).runner
        runners.create_runner(name or "DirectRunner")
    except (ValueError, ImportError, AttributeError, SystemExit) as error:
        return [Problem(f"Apache Beam refuses them: {describe(error)}", ("run", "beam_args"))]
    return []


def _check_models(
    around: Surroundings, plan: Plan, names: Iterable[str]
) -> tuple[list[Candidate], list[Problem]]:
    """Builds the model and the students as training will, and lets each step look at them."""
    missing = list(target_checks.check_installed(around.config))
    if missing:
        return [], missing
    explainer = Explainer(around.config, around.data.examples, plan.source)
    with runtimes.closed_afterwards(around.config.target_kind.runtime):
        problems = baseline_preflight.check(around, explainer)
        if problems:
            return [], problems
        candidates = [explainer.candidate(name) for name in names]
        return candidates, list(_refusals(candidates)) or _baseline_refused(around.config, explainer)


def _baseline_refused(config: Config, explainer: Explainer) -> list[Problem]:
    """The target runtime's refusal of the float32 baseline."""
    found = explainer.baseline_on_device()
    if found is None or not found.refusal:
        return []
    return [
        Problem(
            f"{config.target.kind} cannot run the baseline in float32, which the gate compares candidates with: "
            f"{found.refusal}",
            ("target",),
        )
    ]


def _refusals(candidates: Iterable[Candidate]) -> Iterator[Problem]:
    """Refusals of steps; the same refusal of a technique is one problem, whichever candidates have it."""
    reported: set[tuple[str, str]] = set()
    for candidate in candidates:
        for index, step in enumerate(candidate.steps):
            technique = step.options.technique
            for refusal in step.explanation.refusals:
                if (technique, str(refusal)) in reported:
                    continue
                reported.add((technique, str(refusal)))
                within = (refusal.option,) if refusal.option else ()
                at = ("candidates", candidate.name, index, technique, *within)
                yield Problem(str(refusal), at)


def _check_metrics(config: Config) -> list[Problem]:
    """Lets TFMA build the metrics."""
    from tensorflow_model_analysis.metrics import metric_specs

    from components.measurer import accuracy

    problems = []
    for at, gate in accuracy_gates(config.gate):
        if not gate.of_tfma:  # of those that need not be built
            continue
        try:
            made = accuracy.eval_config([gate], config.data.label)
            metric_specs.to_computations(made.metrics_specs, eval_config=made)
        except Exception as error:  # the metric's constructor may raise anything
            message = f"TFMA cannot build {gate.metric}({json.dumps(gate.config)}): {describe(error)}"
            problems.append(Problem(message, (*at, "metric")))
    return problems
