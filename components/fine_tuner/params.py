"""Options of the `fine_tune` step."""

from __future__ import annotations

from typing import ClassVar

from components.common.base.step_options import ClientTuningOptions


class FineTuneOptions(ClientTuningOptions):
    """Continues training the model; zeros and shared values of earlier steps stay.

    Recovers accuracy after a step that cost some: Han et al., "Learning both Weights and Connections for
    Efficient Neural Networks" (2015), https://arxiv.org/abs/1506.02626.
    """

    technique: ClassVar[str] = "fine_tune"
