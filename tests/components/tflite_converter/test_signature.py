"""Names by which a deployed file is called."""

from __future__ import annotations

from collections.abc import Callable

from components.common import model_files
from tests.components.conftest import Step


def test_outputs_keep_the_baselines_names_after_quantization_aware_training(
    converted: Callable[..., Step], quantization_aware: Step
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = model_files.tflite_file(converted(quantization_aware.uri, "int8", "int8").uri)
    signatures = Interpreter(path).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}
