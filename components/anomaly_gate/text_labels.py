"""Text labels that look like numbers or booleans: TFDV infers what they look like, and models need their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.common.base.class_order import in_order

# TFDV lists the values of text up to this many: tfdv.infer_schema(max_string_domain_size=100).
_MOST_LISTED = 100


def list_values(schema: Any, labels: Mapping[str, Mapping[Any, int]]) -> Any:
    """A schema in which text labels have the domain of their values, as other text has.

    Of `0` and `10`, TFDV infers integers, and of `true` and `false` a boolean, though the examples hold text.

    Args:
        schema: As inferred; it is not changed.
        labels: Label → value → number of train's examples with it.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    made = schema_pb2.Schema()
    made.CopyFrom(schema)
    for feature in made.feature:
        values = labels.get(feature.name, {})
        looks_like = feature.WhichOneof("domain_info") in ("int_domain", "bool_domain", "float_domain")
        if feature.type == schema_pb2.BYTES and looks_like and 0 < len(values) <= _MOST_LISTED:
            feature.string_domain.value.extend(in_order(value.decode() for value in values))
    return made
