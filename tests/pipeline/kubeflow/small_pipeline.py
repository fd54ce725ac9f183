"""A pipeline with the parameters of ours, compiled by KFP's own compiler: that takes no TFX.

Without `from __future__ import annotations`, as KFP reads annotations.
"""

import json
from pathlib import Path

from kfp import compiler, dsl

PATTERNS = {"train": "train*", "eval": "test*"}
_IMAGE = "registry.example.com/team/paredown:1.0"


@dsl.container_component
def import_example_gen(input_base: str, data_fingerprint: str, input_config: str):
    return dsl.ContainerSpec(image=_IMAGE, args=[input_base, data_fingerprint, input_config])


@dsl.container_component
def trainer(seed: int):
    return dsl.ContainerSpec(image=_IMAGE, args=[seed])


@dsl.container_component
def pusher(push_directory: str):
    return dsl.ContainerSpec(image=_IMAGE, args=[push_directory])


@dsl.pipeline(name="mnist")
def mnist(
    data_path: str = "/paredown/data/mnist",
    data_fingerprint: str = "as-compiled",
    push_directory: str = "gs://bucket/serving",
    seed: int = 42,
):
    splits = [{"name": split, "pattern": pattern} for split, pattern in PATTERNS.items()]
    read = import_example_gen(
        input_base=data_path,
        data_fingerprint=data_fingerprint,
        input_config=json.dumps({"splits": splits}),
    )
    trained = trainer(seed=seed).after(read)
    pusher(push_directory=push_directory).after(trained)


def write(path: Path) -> str:
    """Compiles it to a file; returns the text."""
    compiler.Compiler().compile(mnist, str(path))
    return path.read_text(encoding="utf-8")
