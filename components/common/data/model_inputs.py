"""The inputs of a model: which feature feeds each of them, and its values as the input takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.errors import ParedownError
from components.common.base.label import Label, features_of
from components.common.data.column import Column, Values


class ExamplesError(ParedownError):
    """The examples do not fit the model; the message names the feature."""


@dataclass(frozen=True)
class InputSpec:
    """An input of a model: shape without the batch dimension (None if free), and dtype."""

    shape: tuple[int | None, ...]
    dtype: npt.DTypeLike


def shaped(values: Values, spec: InputSpec, name: str) -> Values:
    """Values of a feature in the shape and dtype that a model's input has.

    Args:
        values: (examples, …).
        spec: The input; as many elements an example as `values` has.
        name: The feature, for the error.

    Raises:
        ExamplesError: If the number of elements differs, or a value would become another one.
    """
    shape = tuple(-1 if size is None else size for size in spec.shape)
    try:
        reshaped: Values = values.reshape((len(values), *shape))
    except ValueError:
        raise ExamplesError(
            f"feature {name!r} has shape {values.shape[1:]}, which does not fit the model's input "
            f"{spec.shape}"
        ) from None
    dtype = np.dtype(spec.dtype)
    if isinstance(reshaped, Column):
        return reshaped.cast(dtype, lambda part: _cast(part, dtype, name))
    return _cast(reshaped, dtype, name)


def _cast(values: npt.NDArray[Any], dtype: np.dtype[Any], name: str) -> npt.NDArray[Any]:
    """Values in another dtype; NumPy would wrap whole numbers around, cut fractions off, and read text.

    Fractions may be rounded to what a float input can hold; that is what it is for.
    """
    if values.dtype == dtype:
        return values
    if values.dtype.kind in "OSU" or dtype.kind in "OSU":
        if values.dtype.kind in "OSU" and dtype.kind in "OSU":
            return values.astype(dtype, copy=False)
        held = "text" if values.dtype.kind in "OSU" else "numbers"
        raise ExamplesError(
            f"feature {name!r} holds {held}, and the model's input is {dtype.name}; convert it in preprocessing_fn"
        )
    with np.errstate(all="ignore"):  # what NumPy would warn of is looked for below
        cast = values.astype(dtype)
        if values.dtype.kind == "f" and dtype.kind not in "biu":
            same = np.isfinite(cast) | ~np.isfinite(values)
        else:
            # Going back wraps around, too: from 2**63 to its negative, say, which is not near.
            same = (cast.astype(values.dtype) == values) & ((cast < 0) == (values < 0))
    if same.all():
        return cast
    wrong = int(np.argmin(same.ravel()))
    raise ExamplesError(
        f"feature {name!r} holds {values.ravel()[wrong]!s}, which the model's input of {dtype.name} cannot hold: "
        f"it would be {cast.ravel()[wrong]!s} ({np.count_nonzero(~same):,} of {same.size:,} values); give the input "
        "a wider dtype, or scale the feature or turn it into categories in preprocessing_fn"
    )


def refuse_changed_names(names: Iterable[str]) -> None:
    """Raises an ExamplesError if TensorFlow's signatures would call an input otherwise."""
    for name in names:
        kept = signature_name(name)
        if kept != name:
            raise ExamplesError(
                f"{name!r} cannot be an input of a deployed model: TensorFlow would call it {kept!r}, because names "
                "there begin with a letter and contain only letters, digits and '_'; rename the feature and the "
                "input, or make a feature of another name in preprocessing_fn"
            )


def signature_name(name: str) -> str:
    """TensorFlow's version of the name of a signature's input."""
    kept = "".join(letter if letter.isalnum() else "_" for letter in name)
    return kept if kept[:1].isalpha() else f"arg_{kept}"


def match_features(names: Sequence[str], features: Sequence[str], label: Label) -> dict[str, str]:
    """Finds the feature that feeds each input of a model.

    An input takes the feature of the same name; the only input of a model takes the only feature.

    Args:
        names: Names of the model's inputs.
        features: Features of the examples.
        label: What the model predicts.

    Returns:
        Input → feature.

    Raises:
        ExamplesError: If an input has no feature.
    """
    labels = features_of(label)
    others = [feature for feature in features if feature not in labels]
    if len(names) == 1 and len(others) == 1:
        refuse_changed_names(others)
        return {names[0]: others[0]}
    for name in names:
        if name not in features:
            raise ExamplesError(
                f"the model's input {name!r} is not a feature of the data, which has {sorted(others)}; "
                "name tf_keras.layers.Input after the feature"
            )
    refuse_changed_names(names)
    return {name: name for name in names}
