"""Trains a model whose convolutions are mirror-symmetric."""

from __future__ import annotations

import tf_keras

from components.common.models import layer_selection, layer_weights
from components.common.models.model_files import Facts, StepRecord
from components.common.steps import fine_tuning
from components.common.steps.step_executor import StepExecutor, StepJob
from tests.components.dummy_technique.invariants import Mirrored
from tests.components.dummy_technique.params import MirrorOptions
from tests.components.dummy_technique.projection import keep_symmetry


def can_mirror(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer's kernel has a width."""
    return isinstance(layer, tf_keras.layers.Conv2D) and layer.kernel_size[1] > 1


def select_layers(model: tf_keras.Model, options: MirrorOptions) -> list[str]:
    """Names of the layers to make symmetric.

    Raises:
        LayerSelectionError: If a pattern matches none.
    """
    return layer_selection.select(model, options.include, [], can_mirror, "mirrored", "as it is")


def mirror(job: StepJob[MirrorOptions]) -> Facts:
    """Makes kernels symmetric, and trains on with what they then are."""
    model = job.load_base_model()
    record = StepRecord.read(job.base_model).after(job.options)
    for name in select_layers(model, job.options):
        kernel = layer_weights.kernel_of(model.get_layer(name))
        kernel.assign(keep_symmetry()(kernel))
        record.ask(name, Mirrored())
    splits = fine_tuning.load_splits(job, model)
    fine_tuning.compile_model(job, model)
    return fine_tuning.fit_and_save(
        job, model, splits, record, callbacks=[fine_tuning.Preserve(record.layers)]
    )


class Executor(StepExecutor[MirrorOptions]):
    """Runs `mirror`."""

    OPTIONS = MirrorOptions

    def run(self, job: StepJob[MirrorOptions]) -> Facts:
        """Makes kernels symmetric; see `mirror`."""
        return mirror(job)
