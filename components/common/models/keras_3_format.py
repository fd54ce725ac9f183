"""What the JSON of a Keras 3 file says, found without TensorFlow; `keras_3` converts the model."""

from __future__ import annotations

from components.common.models import named_code
from components.common.models.model_format_error import ModelFormatError

# Objects that only Keras 3 writes: types, and tensors between layers.
_NOT_CODE = frozenset({"DTypePolicy", "FloatDTypePolicy", "__keras_tensor__"})


def is_keras_3(version: str) -> bool:
    """Whether a file with this `keras_version` is of Keras 3 or later."""
    major = version.partition(".")[0]
    return major.isdecimal() and int(major) >= 3


def without_own_objects(config: object) -> object:
    """A config without the objects that only Keras 3 writes."""
    if isinstance(config, list):
        return [without_own_objects(value) for value in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") in _NOT_CODE and config.get("module") in (None, "keras"):
        return None
    return {name: without_own_objects(value) for name, value in config.items()}


def refuse_unknown_layers(config: object) -> None:
    """Raises a ModelFormatError for the first object of Keras 3's own that tf_keras does not have."""
    for entry in named_code.objects(without_own_objects(config)):
        module, kind = str(entry.get("module")), str(entry.get("class_name"))
        if not module.startswith("keras") or kind in (
            *named_code.CLASSES,
            "function",
            "Lambda",
            "__lambda__",
        ):
            continue
        inner = entry.get("config")
        name = entry.get("name") or (inner.get("name") if isinstance(inner, dict) else None) or kind
        raise ModelFormatError(
            f"is of Keras 3, and its {name!r} ({module}.{kind}) has no equivalent in tf_keras, whose models TFMOT "
            "optimizes; replace it with a layer of both, or use model.export('model') and import that folder, to "
            "quantize only"
        )
