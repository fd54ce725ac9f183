"""Layers that lose accuracy in an int8 file, and what a repair did about them. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field

from components.common.base.limit_bounds import LimitBound
from components.common.base.options import Options

# Names of the custom properties of a `Model` artifact that record them.
SENSITIVITY = "sensitivity"
REPAIR = "repair"
# The layers that a repair left in float, for people.
REPAIRED = "float_by_repair"

Reason = Literal["weight_range", "weight_outliers", "saturation", "activation_outliers", ""]
Read = TypeVar("Read", bound="_Recorded")
_DIGITS = 6


class _Recorded(Options):
    """What a custom property holds, as JSON."""

    def as_property(self) -> str:
        """The text of the property."""
        return json.dumps(_rounded(self.model_dump(mode="json")), sort_keys=True)

    @classmethod
    def from_property(cls: type[Read], properties: Mapping[str, Any], name: str) -> Read | None:
        """The value of a property; None if there is none or another version wrote it."""
        text = properties.get(name)
        if not isinstance(text, str):
            return None
        try:
            return cls.model_validate_json(text)
        except ValueError:
            return None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


class LayerError(_Recorded):
    """The error of a layer that computes in integers, of its own: its inputs are those of the quantized layers before.

    https://www.tensorflow.org/lite/performance/quantization_debugger

    Attributes:
        layer: Its path below the model, as patterns of `float_layers` take it.
        operators: Its operators in the file.
        rmse_scale: Root mean square error over the size of one step of the output; rounding alone gives
            1/√12 = 0.29.
        snr: Signal-to-noise ratio in dB; None if there is no error.
        cosine: Cosine similarity of the values in float and in integers; None if one of them is 0.
        value: The metric if this layer alone stays in float; None if that was not measured.
        reason: Likely reason. weight_range: one scale for channels of very different weights; weight_outliers: a few
            weights are far larger than the others of their channel; saturation: values beyond the range of
            calibration; activation_outliers: most values take few of the steps, as some are far larger; empty: none
            of these.
        amount: What the reason is about: share of nonzero weights that become 0 (weight_range, weight_outliers), share
            of values that are clipped (saturation), steps that the root mean square takes (activation_outliers).
    """

    layer: str
    operators: list[str]
    rmse_scale: float
    snr: float | None
    cosine: float | None
    value: float | None = None
    reason: Reason = ""
    amount: float = 0.0

    def why(self) -> str:
        """The reason in a sentence for people; empty if there is none."""
        return {
            "weight_range": f"channels with very different weights share one scale: {self.amount:.0%} of the weights "
            "become 0",
            "weight_outliers": f"a few weights are far larger than the others: {self.amount:.0%} become 0",
            "saturation": f"{self.amount:.1%} of the values are beyond the range of calibration",
            "activation_outliers": f"a few values are far larger than the others, which take {self.amount:.2g} of "
            "255 steps",
            "": "",
        }[self.reason]

    def advice(self) -> str:
        """What to write in the config."""
        alone = f"float_layers: [{self.layer}]"
        return {
            "weight_range": f"{alone}, or a `qat` step before `convert`",
            "weight_outliers": f"{alone}, or clip the weights in training (kernel_constraint)",
            "saturation": f"more calibration_examples, or {alone}",
            "activation_outliers": f"{alone}, an activation with an upper limit (relu6), or a `qat` step",
            "": alone,
        }[self.reason]


class Sensitivity(_Recorded):
    """The layers of an int8 file, the one that costs most accuracy first.

    Attributes:
        metric: Title of the metric; empty if none was measured.
        higher_is_better: Whether a higher value of it is better.
        in_float: Its value for the model in float; None if it was not measured.
        in_int8: Its value for the int8 file; None if it was not measured.
        examples: Training examples that it was measured on, which calibration has not seen.
        compared: Training examples that errors were measured on.
        layers: Those that compute in integers.
    """

    metric: str = ""
    higher_is_better: bool = True
    in_float: float | None = None
    in_int8: float | None = None
    examples: int = 0
    compared: int = 0
    layers: list[LayerError] = []

    def gain(self, layer: LayerError) -> float | None:
        """How much better the metric is if a layer alone stays in float; None if that was not measured."""
        if layer.value is None or self.in_int8 is None:
            return None
        return (layer.value - self.in_int8) * (1 if self.higher_is_better else -1)


class RepairedFigure(_Recorded):
    """A limited metric before and after a repair, on held-back training examples.

    Attributes:
        metric: Its title.
        baseline: The baseline's value.
        before: That of the plain int8 file.
        after: That of the file that was written.
        limits: Bound → limit.
        missed: The bounds that the file that was written does not meet.
    """

    metric: str
    baseline: float
    before: float
    after: float
    limits: dict[LimitBound, float]
    missed: list[LimitBound] = []


class KeptLayer(_Recorded):
    """A layer that a repair tried to leave in float, in addition to those before it.

    Attributes:
        layer: Its path below the model.
        value: The first missed metric with it in float.
        kept: Whether it is in float in the file that was written.
    """

    layer: str
    value: float
    kept: bool = True


class Repair(_Recorded):
    """What a repair did.

    Attributes:
        max_float: Layers that it may leave in float.
        examples: Held-back training examples.
        metric: Title of the metric that it followed.
        met: Whether the file that was written meets all limits on these examples.
        figures: Each limited metric.
        layers: Layers that it left in float, in the order in which it did.
    """

    max_float: int
    examples: int
    metric: str
    met: bool
    figures: list[RepairedFigure]
    layers: list[KeptLayer] = Field(default=[])

    def kept(self) -> list[str]:
        """Paths of the layers that are in float in the file."""
        return [one.layer for one in self.layers if one.kept]

    def text(self) -> str:
        """What it did, in a line for people."""
        followed = next((one for one in self.figures if one.metric == self.metric), self.figures[0])
        kept = self.kept()
        on = f"on {self.examples:,} held-back training examples"
        if not kept and self.met:
            return f"not needed: {followed.metric} {followed.before:.4g} {on}"
        change = f"{followed.metric} {followed.before:.4g} → {followed.after:.4g}"
        layers = f"{', '.join(kept)} in float" if kept else "no layer in float that helps"
        missed = "" if self.met else "; limits are still missed"
        return f"{layers}: {change} (baseline {followed.baseline:.4g}) {on}{missed}"
