"""The steps that a candidate's chain can be made of: one line per technique, TensorFlow-free."""

from __future__ import annotations

from components.clusterer.params import ClusterOptions
from components.common.base.step_options import StepOptions
from components.distiller.params import DistillOptions
from components.fine_tuner.params import FineTuneOptions
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter.params import ConvertOptions

STEPS: dict[str, type[StepOptions]] = {
    DistillOptions.technique: DistillOptions,
    PruneOptions.technique: PruneOptions,
    ClusterOptions.technique: ClusterOptions,
    QatOptions.technique: QatOptions,
    FineTuneOptions.technique: FineTuneOptions,
    ConvertOptions.technique: ConvertOptions,
}
