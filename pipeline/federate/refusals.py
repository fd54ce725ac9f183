"""What an app on real machines cannot do as the simulation does. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import Problem
from pipeline.plan.model_source import find_module, has_function

_TRAIN = ("model", "train", "federated")


def problems_of(file: ConfigFile) -> list[Problem]:
    """Why a config cannot be exported, with lines; empty if it can."""
    return file.located(list(_found(file)))


def _found(file: ConfigFile) -> Iterator[Problem]:
    model, data = file.config.model, file.config.data
    federated = model.train.federated
    if federated is None:
        yield Problem(
            "an app trains the clients of model.train.federated, and there is none; write one, e.g. {clients: {by: "
            "user_id}, rounds: 10}",
            ("model",),
        )
        return
    if federated.secure_sum:
        yield Problem(
            "simulates the agreement on keys, which real clients need; export without it: --set "
            "model.train.federated.secure_sum=false",
            (*_TRAIN, "secure_sum"),
        )
    if federated.privacy is not None:
        yield Problem(
            "is computed from how the simulation draws clients, and a server that anybody runs cannot promise it; "
            "export without it: --set model.train.federated.privacy=null",
            (*_TRAIN, "privacy"),
        )
    if federated.updates.broadcast != "none":
        yield Problem(
            "is not part of the app, whose server sends whole weights; leave it out: --set "
            "model.train.federated.updates.broadcast=none",
            (*_TRAIN, "updates", "broadcast"),
        )
    if federated.batch_norm == "local":
        yield Problem(
            "local keeps layers on the clients, whose mean the app does not collect; write batch_norm: average",
            (*_TRAIN, "batch_norm"),
        )
    if model.pretrained is not None:
        yield Problem(
            "an app has no pretrained file; let build_model load it, or remove it", ("model", "pretrained")
        )
    if model.compile_source():
        key = next(key for key in ("loss", "optimizer", "metrics") if getattr(model, key) is not None)
        yield Problem(f"an app compiles as build_model does; compile with this {key} there", ("model", key))
    if not isinstance(data.label, str):
        yield Problem("an app takes one label; write the name of one feature", ("data", "label"))
    if data.classes or data.named_class_weights():
        key = "classes" if data.classes else "class_weights"
        yield Problem(
            f"an app reads labels as the loss takes them, without {key}; remove it, and write numbers of classes",
            ("data", key),
        )
    module = find_module(model.module, file.path) if model.module else None
    if module is not None and has_function(module, "preprocessing_fn"):
        yield Problem(
            f"{model.module} has a preprocessing_fn, which learns from all examples in one place; put that "
            "into layers of the model, or into the clients' files",
            ("model", "module"),
        )
