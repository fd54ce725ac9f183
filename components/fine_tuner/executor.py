"""Training a model on."""

from __future__ import annotations

from components.common.models.model_files import Facts, StepRecord
from components.common.steps import fine_tuning
from components.common.steps.step_executor import StepExecutor, StepJob
from components.common.tfmot.range_keeper import RangeKeeper
from components.fine_tuner.params import FineTuneOptions


def fine_tune(job: StepJob[FineTuneOptions]) -> Facts:
    """Trains the model of a job on; it keeps what earlier steps achieved.

    Raises:
        LostInvariantError: If a layer does not.
    """
    model = job.load_base_model()
    record = StepRecord.read(job.base_model).after(job.options)
    splits = fine_tuning.load_splits(job, model)
    fine_tuning.compile_model(job, model)
    callbacks = [fine_tuning.Preserve(record.layers)]
    if record.quantization_aware:
        callbacks.append(RangeKeeper(0 if job.options.federated else None))
    return fine_tuning.fit_and_save(job, model, splits, record, callbacks=callbacks)


class Executor(StepExecutor[FineTuneOptions]):
    """Runs `fine_tune`."""

    OPTIONS = FineTuneOptions

    def run(self, job: StepJob[FineTuneOptions]) -> Facts:
        """Trains on; see `fine_tune`."""
        return fine_tune(job)
