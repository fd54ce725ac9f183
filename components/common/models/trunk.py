"""The trainable layers of a model that is built on a pretrained trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tf_keras

from components.common.base.layer_names import matches
from components.common.models import freezing
from components.common.models.freezing import FreezingError, Frozen
from components.common.models.pretrained import PretrainedError, trunk_layers

_BATCH_NORM = tf_keras.layers.BatchNormalization


class Trunk:
    """The trunk within a model: what of it trains, and when.

    Attributes:
        layers: Names of its layers with weights.
    """

    def __init__(self, model: tf_keras.Model, base: tf_keras.Model, options: Mapping[str, Any]):
        """Freezes what the options say.

        Args:
            model: As `build` returns it; its layers' `trainable` is changed.
            base: The trunk.
            options: `freeze` and `freeze_batch_norm` of `model.pretrained`.

        Raises:
            PretrainedError: If a pattern matches no layer of the trunk.
        """
        self._model = model
        self.layers = trunk_layers(model, base)
        self._frozen = Frozen(model)
        self._frozen.freeze(self._matching(options["freeze"], "freeze"))
        self._kept: set[str] = set()
        if options["freeze_batch_norm"]:
            self._kept = {n for n in self.layers if isinstance(model.get_layer(n), _BATCH_NORM)}
            self._frozen.freeze(self._kept)

    def _matching(self, patterns: Sequence[str], option: str) -> list[str]:
        for pattern in patterns:
            try:
                freezing.refuse_unmatched(pattern, self.layers)
            except FreezingError as error:
                raise PretrainedError(f"{error} of the trunk", option) from error
        return [name for name in self.layers if matches(name, patterns)]

    def unfreeze(self, patterns: Sequence[str]) -> None:
        """Lets layers train from now on, but BatchNormalization that is to stay as it is.

        Raises:
            PretrainedError: If a pattern matches no layer that is frozen and may be unfrozen.
        """
        able = [name for name in self._frozen.names() if name not in self._kept]
        for pattern in patterns:
            if not any(matches(name, [pattern]) for name in able):
                if any(matches(name, [pattern]) for name in self._kept):
                    why = (
                        f"{pattern!r} matches only BatchNormalization, which stays frozen; write pretrained: "
                        "{freeze_batch_norm: false} to train it"
                    )
                else:
                    known = ", ".join(able) or "none"
                    why = f"pattern {pattern!r} matches no layer that is frozen by then; those are {known}"
                raise PretrainedError(why, "unfreeze")
        self._frozen.thaw(name for name in able if matches(name, patterns))

    def trained(self) -> list[str]:
        """Names of its layers that train now."""
        frozen = set(self._frozen.names())
        return [
            name for name in self.layers if name not in frozen and self._model.get_layer(name).trainable
        ]

    def release(self) -> None:
        """Unfreezes all: later steps train the layers that their own options choose."""
        self._frozen.thaw_all()
