"""How well the ranges that a model has learned for int8 fit. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping

from components.common.base.errors import ParedownError
from components.common.base.options import Options

# Name of the custom property of a `Model` artifact that records them.
RANGES = "ranges"
# Findings: more than this share of a tensor's values is clipped, or its range is off by more than this multiple of its
# values' own. The extremes of 200 values leave out 1 % of others by chance.
CLIPPED_FINDING = 0.03
UNSETTLED_FINDING = 0.5
# A step fails beyond this: of 8 bits, such a range leaves its values 6 at most.
UNSETTLED_LIMIT = 3.0


class RangeError(ParedownError):
    """Ranges of activations do not fit the values; the message names them."""


class ActivationRange(Options):
    """The range that a tensor of activations is quantized with.

    Attributes:
        low: Its least value.
        high: Its greatest value.
        clipped: Share of the tensor's values on eval examples that lie outside, from 0 to 1.
        unsettled: How far its ends are from those that calibration finds now, as a multiple of the range found.
    """

    low: float
    high: float
    clipped: float
    unsettled: float

    def text(self) -> str:
        """Its description for messages."""
        ends = f"the range {self.low:.4g} to {self.high:.4g} clips {self.clipped:.1%} of the values on eval examples"
        if self.unsettled <= UNSETTLED_FINDING:
            return ends
        return f"{ends} and has not settled: it is off by {self.unsettled:.2g} × their range"

    def wrong(self) -> bool:
        """Whether it is a finding."""
        return self.clipped > CLIPPED_FINDING or self.unsettled > UNSETTLED_FINDING


def findings(ranges: Mapping[str, ActivationRange]) -> dict[str, str]:
    """Tensor → what is wrong with its range; of those that have something."""
    return {tensor: one.text() for tensor, one in ranges.items() if one.wrong()}


def refuse_wrong(ranges: Mapping[str, ActivationRange], max_clipped: float) -> None:
    """Raises a RangeError if a range clips or wastes so much that the file would be wrong.

    Args:
        ranges: Tensor → its range.
        max_clipped: Share of a tensor's values that may be clipped, from 0 to 1.
    """
    wrong = [
        f"{tensor}: {one.text()}"
        for tensor, one in ranges.items()
        if one.clipped > max_clipped or one.unsettled > UNSETTLED_LIMIT
    ]
    if wrong:
        others = f"; and {len(wrong) - 3} more" if wrong[3:] else ""
        raise RangeError(
            f"ranges of activations do not fit the values after training: {'; '.join(wrong[:3])}{others}. Raise "
            "calibration.examples of `qat`, or lower the learning rate; calibration.max_clipped sets the share that "
            "may be clipped"
        )


def as_property(ranges: Mapping[str, ActivationRange]) -> str:
    """Ranges as the text of a custom property: a JSON object."""
    return json.dumps(
        {tensor: {k: round(v, 6) for k, v in one.model_dump().items()} for tensor, one in ranges.items()},
        sort_keys=True,
    )


def from_property(text: str) -> dict[str, ActivationRange]:
    """The ranges of such a text; none if another version wrote it."""
    try:
        return {
            tensor: ActivationRange.model_validate(values, strict=False)
            for tensor, values in json.loads(text).items()
        }
    except (ValueError, AttributeError):
        return {}
