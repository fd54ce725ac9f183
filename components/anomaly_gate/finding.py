"""A finding: something about the data that a model would suffer from."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

# Name of the custom property of the schema that records findings.
FINDINGS = "findings"

# Names that YAML reads as text as they are: no numbers, no punctuation, and no word for true, false or null.
_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z_][\w.-]*", re.ASCII | re.IGNORECASE)

State = Literal["refused", "allowed", "tolerated", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something that was found.

    Attributes:
        split: In which split.
        feature: Name of the feature; empty for the examples as a whole.
        kind: As `components.anomaly_gate.params.Kind`; `few` and `duplicates` are about whole examples.
        text: What was found, with the measured figure and the limit.
        measured: The figure; None if there is none.
        limit: The limit that it was compared with; None if there is none.
        option: What to write below `data.validation` to allow it.
        state: `allowed`: by an entry of `allow`; `tolerated`: within a limit; `warning`: never refused.
    """

    split: str
    feature: str
    kind: str
    text: str
    measured: float | None = None
    limit: float | None = None
    option: str = ""
    state: State = "refused"

    def line(self) -> str:
        """The finding in one line, with what to write to allow it."""
        of = f"feature {self.feature!r}" if self.feature else "the examples"
        fix = (
            f"; to allow it, write data.validation.{self.option}"
            if self.state == "refused" and self.option
            else ""
        )
        return f"{of} of split {self.split!r}: {self.kind}: {self.text}{fix}"


def allowance(feature: str, kind: str) -> str:
    """The text to write under `data.validation` to allow a kind of finding in a feature."""
    written = feature if _PLAIN.fullmatch(feature) else json.dumps(feature, ensure_ascii=False)
    return f"allow: [{{feature: {written}, kinds: [{kind}]}}]"


def as_property(findings: Sequence[Finding]) -> str:
    """Findings as the text of a custom property: a JSON list."""
    return json.dumps([asdict(finding) for finding in findings], sort_keys=True, allow_nan=False)


def from_property(text: str) -> list[Finding]:
    """The findings of such a text."""
    return [Finding(**entry) for entry in json.loads(text)]
