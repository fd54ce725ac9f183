"""What federated training needs of other sections of a config."""

from __future__ import annotations

from components.common.base.label import features_of
from components.evaluator.params import Gate
from components.federated_trainer.params import Federated
from pipeline.config.data_options import Data
from pipeline.config.refused import refused

# Limits of the gate on figures of federated training.
FIGURES = ("traffic", "epsilon", "worst_client")


def refuse(federated: Federated | None, gate: Gate, data: Data) -> None:
    """Raises an error if the gate limits what is not measured, or the label names the clients.

    Args:
        federated: Options of the baseline's training; None if it is not federated.
        gate: The gate.
        data: The data.
    """
    if federated is None:
        limited = next((figure for figure in FIGURES if getattr(gate, figure).bounds()), None)
        if limited is not None:
            raise refused(
                "is a figure of federated training, and the baseline is trained on all examples together; write "
                f"model.train.federated, or remove gate.{limited}",
                "gate",
                limited,
            )
        return
    if gate.epsilon.bounds() and not (federated.privacy and federated.privacy.noise):
        raise refused(
            "is infinite without noise, so no candidate could pass; write model.train.federated.privacy: {clip: 1.0, "
            "noise: 0.8}, or remove gate.epsilon",
            "gate",
            "epsilon",
        )
    by = federated.clients.by
    if by is not None and by in features_of(data.label):
        raise refused(
            f"{by!r} is the label, so each client would have one class; name the feature that says whose an example is",
            *("model", "train", "federated", "clients", "by"),
        )
