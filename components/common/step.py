"""The options of one optimization step, as a config writes them."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """A section of the config: immutable, and refusing keys that it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )


class StepOptions(Options):
    """Options of a step in a candidate's chain.

    Attributes:
        technique: The step's name in a config, and in node ids.
        component: Dotted path of the TFX component; imported only where a pipeline is built.
        stage: Where in a chain the step may stand: stages never decrease along a chain.
        repeatable: Whether a chain may have this step more than once.
        keeps: In words, why steps of an earlier stage cannot follow this one.
    """

    technique: ClassVar[str]
    component: ClassVar[str]
    stage: ClassVar[int]
    repeatable: ClassVar[bool] = False
    keeps: ClassVar[str] = ""

    def check_after(self, before: StepOptions) -> None:
        """Raises a ValueError where this step cannot work after an earlier one, though stages allow it."""

    def canonical_json(self) -> str:
        """Every option, defaults included, as JSON with sorted keys: what the cache key holds."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def slug(self) -> str:
        """The step's part of a node id: its name, and a short hash where options are not defaults."""
        changed = self.model_dump(mode="json", exclude_defaults=True, exclude=self._named_in_slug())
        name = self._slug_name()
        if not changed:
            return name
        digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()
        return f"{name}-{digest[:6]}"

    def _slug_name(self) -> str:
        return self.technique

    def _named_in_slug(self) -> set[str]:
        return set()


class TrainingOptions(StepOptions):
    """Options of a step that trains."""

    epochs: int = Field(default=1, ge=1, description="Passes over the training examples.")
    batch_size: int = Field(default=128, ge=1, description="Examples per training step.")
    learning_rate: float = Field(
        default=1e-3,
        gt=0,
        description="Learning rate of the optimizer that build_model compiles with.",
    )
