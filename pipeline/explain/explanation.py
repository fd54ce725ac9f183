"""The effect of each step of each candidate on each layer, found before anything is trained."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.common.base.npu_options import NpuOptions
from components.common.base.step_options import StepOptions, TrainingOptions, TuningOptions
from components.common.models.freezing import FreezingError, layers_matching
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.steps.explanation import Explanation, Outlook, Refusal, Workshop
from components.registry import technique_of
from components.targets.target import Examined
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions
from pipeline.config.chain import Chain
from pipeline.config.config import Config
from pipeline.explain import device, training
from pipeline.explain.training import Training


@dataclass(frozen=True)
class Step:
    """A step and what it will do.

    Attributes:
        options: With what the step takes from the baseline in place of what they do not say.
        explanation: The effect on each layer.
        training: How it trains; None if it does not.
    """

    options: StepOptions
    explanation: Explanation
    training: Training | None = None


@dataclass(frozen=True)
class Candidate:
    """The effect of a candidate's chain on the model.

    Attributes:
        layers: Names of the layers of the models on its way, in their order.
        steps: Those up to the first one that is refused.
        size: Predicted bytes of its file; None if a step is refused.
        baseline_size: Bytes of the baseline's file.
        device: What the runtime of the target makes of its file; None if a step is refused, or there is nothing to say.
        baseline_device: The same of the baseline's file.
    """

    name: str
    layers: list[str]
    steps: list[Step]
    size: int | None
    baseline_size: int
    device: Examined | None = None
    baseline_device: Examined | None = None

    def other_bytes(self) -> int | None:
        """Predicted bytes that are not weights of a layer: operators, names, scales; None if a step is refused."""
        return None if self.size is None else self.size - sum(self.layer_bytes().values())

    def layer_bytes(self) -> dict[str, int]:
        """Layer → predicted bytes of its weights in the file."""
        return self.steps[-1].explanation.layer_bytes

    def refused(self) -> bool:
        """Whether a step cannot work."""
        return any(step.explanation.refusals for step in self.steps)


class Explainer:
    """Explains candidates of a config; shared steps are examined once."""

    def __init__(
        self, config: Config, examples: int | None = None, source: Mapping[str, Any] | None = None
    ):
        """Prepares it.

        Args:
            config: Whose model module can be imported.
            examples: Number of training examples, if it is known.
            source: As `Plan.source`.
        """
        section = config.model
        self._config = config
        self.definition = ModelDefinition(section.module or "", section.hparams, source or {})
        self.workshop = Workshop(self.definition, _to_tflite, examples)
        like = section.baseline()
        trains = [
            step.like(like)
            for chain in config.candidates.values()
            for step in chain.steps()
            if isinstance(step, TrainingOptions)
        ]
        # A model that is only converted, or learns from itself, needs no loss.
        self._compiled = section.imported is None or any(step.needs_labels() for step in trains)
        self._trained = bool(trains)
        self._known: dict[str, Explanation] = {}
        self._examined: dict[str, Examined | None] = {}

    def baseline(self) -> Any:
        """The baseline as it is before anything is trained.

        Raises:
            UserModuleError: If there is none that could be used.
        """
        if self._trained and not self._compiled:
            return self.workshop.baseline_as_saved
        return self.workshop.build("build_model", self._compiled)

    def candidate(self, name: str) -> Candidate:
        """Explains one candidate.

        Raises:
            UserModuleError: If build_model gives no model.
            ConversionError: If TFLite cannot hold the baseline.
        """
        chain: Chain = self._config.candidates[name]
        model = self.baseline()
        outlook = Outlook(model, StepRecord(), self.workshop)
        baseline_size = self.workshop.float_file(model).bytes
        steps: list[Step] = []
        layers: dict[str, None] = {}
        prefix = ""
        for options in chain.steps():
            prefix += f"|{options.technique}{options.canonical_json()}"
            options = self._config.with_defaults(options)
            trained = self._training(options)
            if prefix not in self._known:
                found = _explain(outlook, options)
                if isinstance(options, TrainingOptions) and not found.refusals:
                    refused = training.refusals(options, self.baseline())
                    found = dataclasses.replace(found, refusals=refused)
                self._known[prefix] = found
            explanation = self._known[prefix]
            if isinstance(options, ConvertOptions) and not explanation.refusals:
                npu = self._config.target.npu_options
                explanation = _on_device(explanation, self._examine(prefix, outlook, options, npu))
                explanation = device.float_layers(explanation, options, self._config.target_kind, npu)
            steps.append(Step(options, explanation, trained))
            if not technique_of(options).builds_new_model:
                layers.update(dict.fromkeys(layer.name for layer in outlook.model.layers))
            outlook = explanation.after
            if explanation.refusals:
                break
        if steps[-1].explanation.refusals:
            return Candidate(name, list(layers), steps, None, baseline_size)
        return Candidate(
            name,
            list(layers),
            steps,
            steps[-1].explanation.size,
            baseline_size,
            self._examined[prefix],
            self.baseline_on_device(),
        )

    def baseline_on_device(self) -> Examined | None:
        """The target runtime's result for the baseline, which the gate compares candidates with."""
        outlook = Outlook(self.baseline(), StepRecord(), self.workshop)
        return self._examine("baseline", outlook, self._config.baseline_conversion)

    def _examine(
        self, key: str, outlook: Outlook, options: ConvertOptions, npu: NpuOptions | None = None
    ) -> Examined | None:
        if key not in self._examined:
            self._examined[key] = device.examine(outlook, options, self._config.target_kind, npu)
        return self._examined[key]

    def _training(self, options: StepOptions) -> Training | None:
        if not isinstance(options, TrainingOptions):
            return None
        return training.describe(options, self.baseline(), self.workshop.examples)


def _on_device(explanation: Explanation, found: Examined | None) -> Explanation:
    """A conversion's explanation with what the target's runtime makes of its file."""
    if found is None:
        return explanation
    if found.refusal:
        return dataclasses.replace(explanation, refusals=[device.refusal(found)])
    packed = [f"packed: {'; '.join(found.packed)}"] if found.packed else []
    return dataclasses.replace(
        explanation,
        remarks=[*explanation.remarks, *packed],
        notes=[*explanation.notes, *found.notes],
    )


def _explain(outlook: Outlook, options: StepOptions) -> Explanation:
    module, _, function = technique_of(options).explanation.rpartition(".")
    explanation = getattr(importlib.import_module(module), function)(outlook, options)
    return explanation if explanation.refusals else _with_frozen(explanation, options)


def _with_frozen(explanation: Explanation, options: StepOptions) -> Explanation:
    """The explanation of a step that freezes layers, which goes by their names as the step leaves them."""
    patterns = options.freeze if isinstance(options, TuningOptions) else []
    try:
        frozen = layers_matching(explanation.after.model, patterns)
    except FreezingError as error:
        return dataclasses.replace(explanation, refusals=[Refusal("", str(error), "freeze")])
    effects = dict(explanation.effects)
    for name in frozen:
        effects[name] = f"{effects[name]}, frozen" if name in effects else "frozen"
    return dataclasses.replace(explanation, effects=effects)


def _to_tflite(saved_model: str, aware: bool) -> bytes:
    return convert(saved_model, ConvertOptions(quantization="int8" if aware else "float32"), aware, None)


def to_json(candidate: Candidate) -> dict[str, Any]:
    """A candidate's explanation as JSON values."""
    return {
        "steps": [
            {
                "technique": step.options.technique,
                "options": step.options.model_dump(mode="json"),
                "training": dataclasses.asdict(step.training) if step.training else None,
                "layers": step.explanation.effects,
                "notes": step.explanation.notes,
                "remarks": step.explanation.remarks,
                "refusals": [
                    {"layer": refusal.layer or None, "reason": refusal.reason}
                    for refusal in step.explanation.refusals
                ],
            }
            for step in candidate.steps
        ],
        "layer_bytes": candidate.layer_bytes(),
        "other_bytes": candidate.other_bytes(),
        "predicted_bytes": candidate.size,
        "predicted_ratio": candidate.size / candidate.baseline_size if candidate.size else None,
        **_memory(candidate),
    }


def _memory(candidate: Candidate) -> dict[str, Any]:
    """Memory and flash of a file on its target, if known."""
    taken = candidate.device.memory if candidate.device else None
    flash = candidate.device.flash if candidate.device else None
    return {
        **({"predicted_memory": {"total": taken.total, **dataclasses.asdict(taken)}} if taken else {}),
        **({} if flash is None else {"predicted_packed_bytes": flash}),
    }
