"""Serves a TFLite file by NVIDIA's Triton, in an environment that has nothing of ours.

    python triton_program.py FILE PORT WORKSPACE

https://github.com/triton-inference-server/pytriton
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def tensors(details: dict[str, Any]) -> list[Any]:
    return [
        Tensor(name=name, dtype=np.dtype(one["dtype"]).type, shape=tuple(map(int, one["shape"][1:])))
        for name, one in details.items()
    ]


def main(file: str, port: int, workspace: str) -> None:
    runner = Interpreter(file).get_signature_runner("serving_default")

    @batch
    def infer(**inputs: Any) -> dict[str, Any]:
        rows = range(len(next(iter(inputs.values()))))
        made = [runner(**{name: values[row : row + 1] for name, values in inputs.items()}) for row in rows]
        return {name: np.concatenate([one[name] for one in made]) for name in made[0]}

    local = "127.0.0.1"
    config = TritonConfig(
        http_address=local, http_port=port, allow_grpc=False, allow_metrics=False, log_verbose=0
    )
    with Triton(config=config, workspace=workspace) as triton:
        triton.bind(
            model_name="mnist",
            infer_func=infer,
            inputs=tensors(runner.get_input_details()),
            outputs=tensors(runner.get_output_details()),
            config=ModelConfig(max_batch_size=32),
            strict=True,
        )
        triton.serve()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
