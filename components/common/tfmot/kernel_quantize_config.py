"""How a layer is fake-quantized whose output is not: its kernel alone."""

from __future__ import annotations

from typing import Any

import tf_keras

from components.common.tfmot.library import tfmot


class KernelQuantizeConfig(tfmot.quantization.keras.QuantizeConfig):
    """Quantizes the kernel of a layer that is followed by a separate ReLU.

    TFMOT quantizes the ReLU's output, so that the two can be fused, and then leaves the kernel in float
    while it trains. The converter quantizes it anyway.
    """

    def __init__(self, kernel: str, one_scale: bool):
        """Configures it.

        Args:
            kernel: Attribute of the layer that holds the kernel.
            one_scale: Whether the whole kernel has one scale; otherwise each output channel has one.
        """
        self.kernel = kernel
        self.one_scale = one_scale
        scheme = tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme(disable_per_axis=one_scale)
        convolution = tf_keras.layers.Conv2D(1, 1)
        full = scheme.get_quantize_registry().get_quantize_config(convolution)
        self._quantizer = full.weight_quantizer

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        return [(getattr(layer, self.kernel), self._quantizer)]

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        setattr(layer, self.kernel, quantize_weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        pass

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return []

    def get_config(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "one_scale": self.one_scale}
