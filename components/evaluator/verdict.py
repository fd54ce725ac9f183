"""The verdict on a candidate: what the Evaluator writes and everybody else reads.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field

from components.common.base.document import LEFT_OUT_IF_EMPTY, Document
from components.evaluator import verdict_upgrade
from components.evaluator.judgement import Failure, Judgement
from components.federated_trainer.record import FederatedFigures
from components.measurer.measured import Measured
from components.measurer.measurement import REASON_LENGTH

VERDICT_FILE = "verdict.json"


@dataclass(frozen=True)
class Verdict(Document):
    """The outcome for a candidate.

    Attributes:
        blessed: Whether every limit is met and nothing failed.
        reasons: Why it is not blessed, for people, most telling first; empty if it is.
        judgements: Every limit.
        measured: The figures.
        failures: What could not be done at all; the first ones of `reasons`.
        judged: Path of each of the candidate's model files, relative to its folder → its SHA-256; empty in documents of
            older versions.
        federated: Figures of the baseline's training, and of the steps that its clients trained; None if it was not
            federated.
    """

    TITLE: ClassVar[str] = "verdict"
    VERSION: ClassVar[int] = 2

    blessed: bool
    reasons: tuple[str, ...]
    judgements: tuple[Judgement, ...]
    measured: Measured = field(default_factory=Measured)
    failures: tuple[Failure, ...] = ()
    judged: Annotated[dict[str, str], Field(exclude_if=lambda value: not value)] = field(
        default_factory=dict
    )
    federated: Annotated[FederatedFigures | None, LEFT_OUT_IF_EMPTY] = None

    @classmethod
    def upgraded(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        """See components.evaluator.verdict_upgrade."""
        return verdict_upgrade.from_version_1(values)

    @property
    def missed(self) -> tuple[Judgement, ...]:
        """The judgements that are not met."""
        return tuple(judgement for judgement in self.judgements if not judgement.met)

    def properties(self) -> dict[str, int | float | str]:
        """The verdict's custom properties of the `ModelEvaluation` in ML Metadata."""
        measured = self.measured
        values = {
            "accuracy": measured.accuracy.candidate if measured.accuracy else None,
            "baseline_accuracy": measured.accuracy.baseline if measured.accuracy else None,
            "latency_ratio": measured.latency.ratio if measured.latency else None,
            "bytes": measured.bytes("file"),
            "gzip_bytes": measured.bytes("gzip"),
            "brotli_bytes": measured.bytes("brotli"),
            "memory_bytes": measured.device_bytes("memory"),
            "flash_bytes": measured.device_bytes("flash"),
            "same_prediction": measured.device.same_prediction if measured.device else None,
        }
        packed = measured.device.packed if measured.device else None
        if packed:
            values["packed_flash_ratio"] = packed.flash_ratio
            values["packed_memory_ratio"] = packed.memory_ratio
            values["packed_time_ratio"] = packed.time_ratio
            values["packed_differing"] = packed.differing
        npu = measured.device.npu if measured.device else None
        if npu:
            values["npu_cycles"] = npu.cycles
            values["npu_sram_bytes"] = npu.sram
            values["npu_flash_bytes"] = npu.flash
            values["npu_cpu_operators"] = npu.on_cpu
        if measured.load:
            values |= measured.load.properties()
        if self.federated:
            values["traffic_bytes"] = self.federated.traffic
            values["worst_client"] = self.federated.worst_client
            values["epsilon"] = self.federated.whole_epsilon
        for metric in measured.accuracies:
            values[f"accuracy/{metric.title}"] = metric.candidate
            values[f"baseline_accuracy/{metric.title}"] = metric.baseline
        return {
            "blessed": int(self.blessed),
            "reason": "; ".join(self.reasons)[:REASON_LENGTH],
            **{name: value for name, value in values.items() if value is not None},
            **measured.invariants,
        }
