"""The interface of a TFLite file on a runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.data.model_inputs import InputSpec


class FileModel(ABC):
    """A loaded TFLite file, one example at a time.

    Attributes:
        inputs: Name in the signature → shape without the batch dimension, and the float dtype to feed
            (quantized inputs are quantized here).
    """

    inputs: dict[str, InputSpec]

    @abstractmethod
    def predict_each(self, features: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Predicts examples, one by one.

        Args:
            features: Input → (examples, …) values; each example has the input's number of elements.

        Returns:
            Output → (examples, …) real values.

        Raises:
            LiteRTError: If the runtime is LiteRT, and an input has no feature or the interpreter fails.
            TFLMError: The same for TFLite Micro.
            ExamplesError: If a feature has another number of elements.
        """

    def predict(self, features: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Predicts one example.

        Args:
            features: Input → values, in any shape that has the input's number of elements.

        Returns:
            Output → real values, without the batch dimension.

        Raises:
            LiteRTError, TFLMError, ExamplesError: As `predict_each`.
        """
        one = {name: np.asarray(value)[np.newaxis] for name, value in features.items() if value is not None}
        return {name: values[0] for name, values in self.predict_each(one).items()}
