"""What federated training needs of other sections of a config."""

from __future__ import annotations

from collections.abc import Mapping

from components.common.base.label import features_of
from components.common.base.step_options import ClientTuningOptions
from components.evaluator.params import Gate
from components.federated_trainer.params import Federated
from pipeline.config.chain import Chain
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
    if federated.clients.files is not None and data.format != "csv":
        raise refused(
            f"clients are files of format csv alone, and data.format is {data.format}; write clients: {{by: …}} with "
            "the feature that says whose an example is",
            *("model", "train", "federated", "clients", "files"),
        )
    by = federated.clients.by
    if by is not None and by in features_of(data.label):
        raise refused(
            f"{by!r} is the label, so each client would have one class; name the feature that says whose an example is",
            *("model", "train", "federated", "clients", "by"),
        )


def refuse_steps(federated: Federated | None, imported: bool, chains: Mapping[str, Chain]) -> None:
    """Raises an error if a step asks for clients that there are not.

    Args:
        federated: Options of the baseline's training; None if it is not federated.
        imported: Whether the baseline is an existing model.
        chains: The candidates.
    """
    if federated is not None:
        return
    for name, chain in chains.items():
        for index, step in enumerate(chain.steps()):
            if isinstance(step, ClientTuningOptions) and step.federated:
                why = (
                    "trains on the clients of model.train.federated, and an imported model is not trained; remove it, "
                    "or train the baseline on clients with module and train in place of import"
                    if imported
                    else "trains on the clients of model.train.federated, and there is none; write one, e.g. "
                    "{clients: {by: user_id}, rounds: 10}, or remove it"
                )
                raise refused(why, "candidates", name, index, step.technique, "federated")
