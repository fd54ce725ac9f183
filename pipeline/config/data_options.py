"""The `data` section of a config. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from components.anomaly_gate.params import Validation
from components.common.base.label import SAME_AS_INPUT
from components.common.base.options import Options
from components.image_example_gen.params import IMAGE_FEATURE, ImageOptions

TRAINED_SPLIT = "train"
EVALUATED_SPLIT = "eval"
UNREAD_SPLIT = "verdict"
"""Examples of the final verdict, in the runs of a search that judge trials."""
# A fraction such as 1/3 is approximated with at most this many hash buckets.
_MOST_BUCKETS = 10_000


class Splits(Options):
    """The files of each split, as glob patterns below `data.path`.

    Either a pattern for each split, or one pattern for files whose examples are split by a hash. Patterns
    can contain {SPAN} or {YYYY}, {MM}, {DD}, and {VERSION}, as in TFX's ExampleGen.
    """

    train: str = Field(default="train*", description="Files to train and calibrate on.")
    eval: str = Field(default="eval*", description="Files that the gate measures accuracy on.")
    pattern: str | None = Field(
        default=None, description="Instead of train and eval: files whose examples are split by a hash."
    )
    eval_fraction: float | None = Field(
        default=None,
        ge=0.001,
        le=0.999,
        description="With pattern: share of the examples that the gate measures accuracy on.",
    )
    hash_by: str | None = Field(
        default=None,
        min_length=1,
        description="With pattern: feature whose value is hashed, so that all examples with the same value are in the "
        "same split. Default: the whole example is hashed.",
    )

    @model_validator(mode="after")
    def _one_way_to_split(self) -> Splits:
        written = self.model_fields_set
        if self.pattern is None:
            alone = [name for name in ("eval_fraction", "hash_by") if name in written]
            if alone:
                raise ValueError(
                    f"{alone[0]} splits the files of one pattern, and there is no pattern; write e.g. "
                    '{pattern: "*", eval_fraction: 0.2}'
                )
            return self
        both = [name for name in ("train", "eval") if name in written]
        if both:
            raise ValueError(
                f"pattern and {both[0]} both choose files; write pattern for both splits, or train and eval"
            )
        if self.eval_fraction is None:
            raise ValueError(
                "pattern needs the share of examples to measure accuracy on; write e.g. eval_fraction: 0.2 "
                "beside it"
            )
        return self

    @property
    def trained_share(self) -> float:
        """Share of the examples to train on; 1 unless a hash divides them."""
        buckets = self.hash_buckets()
        return buckets[TRAINED_SPLIT] / sum(buckets.values()) if buckets else 1.0

    def hash_buckets(self) -> dict[str, int]:
        """Split → its number of hash buckets, in their order; empty unless a hash divides the examples."""
        if self.pattern is None:
            return {}
        share = _fraction(self.eval_fraction)
        return {TRAINED_SPLIT: share.denominator - share.numerator, EVALUATED_SPLIT: share.numerator}


class SearchedSplits(Splits):
    """The splits of a search's runs, if a hash divides the examples: both kinds of runs divide them alike.

    Not of a config: a search makes them of its own.
    """

    tune_fraction: float = Field(description="Share of the training examples to judge trials on.")
    tuned: bool = Field(
        description="Whether trials are judged, on the last part of the training examples; the examples of the final "
        "verdict are then a split that no node reads."
    )

    def hash_buckets(self) -> dict[str, int]:
        """As the base class does; with a third split in the runs that judge trials."""
        tune = _fraction(self.tune_fraction)
        whole = {split: count * tune.denominator for split, count in super().hash_buckets().items()}
        if not self.tuned:
            return whole
        judged = super().hash_buckets()[TRAINED_SPLIT] * tune.numerator
        return {
            TRAINED_SPLIT: whole[TRAINED_SPLIT] - judged,
            EVALUATED_SPLIT: judged,
            UNREAD_SPLIT: whole[EVALUATED_SPLIT],
        }


def _fraction(share: float | None) -> Fraction:
    assert share is not None
    return Fraction(str(share)).limit_denominator(_MOST_BUCKETS)


class Range(Options):
    """The spans to read, each in its latest version."""

    latest: int | None = Field(
        default=None, ge=1, description="Read this many spans, up to the latest one."
    )
    first: int | None = Field(default=None, ge=0, description="Number of the first span; write last, too.")
    last: int | None = Field(default=None, ge=0, description="Number of the last span; write first, too.")

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Range:
        bounds = (self.first is not None) + (self.last is not None)
        if (self.latest is None) == (bounds == 0) or bounds == 1:
            raise ValueError("write either latest, or first and last: {latest: 1} or {first: 1, last: 1}")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError(f"first: {self.first} is after last: {self.last}; swap them")
        return self


def _refuse_booleans(names: Any) -> Any:
    """Refuses `true` and `false` without quotes, of which YAML makes booleans."""
    for name in names if isinstance(names, list | dict) else ():
        if isinstance(name, bool):
            text = str(name).lower()
            raise ValueError(f'has {text}, a boolean in YAML; write classes in quotes: "{text}"')
    return names


def _check_classes(names: list[str | int]) -> list[str | int]:
    if len({type(name) for name in names}) > 1:
        raise ValueError("are text and numbers; write all of them in quotes, or all as whole numbers")
    for name in map(str, names):
        if not name.strip() or len(name.splitlines()) != 1:
            raise ValueError(f"{name!r} is not the name of a class; write one line of text")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(map(repr, twice))} is listed twice; list each class once")
    return names


def _refuse_null(spellings: Any) -> Any:
    """Refuses values that YAML does not read as the text in the cells."""
    for value in spellings if isinstance(spellings, list) else ():
        if value is None or isinstance(value, bool) or value != value:
            text = {True: "true", False: "false", None: "null"}.get(value, ".nan")
            raise ValueError(f'has {text}, which is not text in YAML; write it in quotes: "{text}"')
    return spellings


def _check_missing(spellings: list[str | int | float]) -> list[str | int | float]:
    spread = [value for value in spellings if isinstance(value, str) and value != value.strip()]
    if spread:
        raise ValueError(f"has {spread[0]!r}; leave out the spaces: those around a cell do not count")
    return spellings


def _check_weights(value: Any) -> Any:
    """Says what is wrong with class weights; pydantic would only say that they are not `balanced`."""
    if value is None or value == "balanced":
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{value!r} is not balanced or {{class: weight, …}}")
    for name, weight in _refuse_booleans(value).items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise ValueError(f"the weight of {name!r} is {weight!r}; write a number above 0")
    return value


Classes = Annotated[
    list[str | int], Field(min_length=2), BeforeValidator(_refuse_booleans), AfterValidator(_check_classes)
]
Missing = Annotated[list[str | int | float], AfterValidator(_check_missing), BeforeValidator(_refuse_null)]
Weight = Annotated[float, Field(gt=0)]
ClassWeights = Annotated[
    Literal["balanced"] | dict[str | int, Weight] | None, BeforeValidator(_check_weights)
]


def _check_outputs(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) == 1:
        (feature,) = labels.values()
        raise ValueError(
            f"{labels} names one output, and a model with one output needs no name; write label: {feature}"
        )
    return labels


def _check_name(name: str) -> str:
    if name.startswith("{"):
        raise ValueError(f"{name!r} begins with '{{', which means several labels; rename the feature")
    return name


_Text = Annotated[str, Field(min_length=1)]
_OneLabel = Annotated[_Text, AfterValidator(_check_name), Tag("arm:one")]
_LabelOfEach = Annotated[
    dict[_Text, _Text], Field(min_length=1), AfterValidator(_check_outputs), Tag("arm:several")
]


def _same_as_input(value: Any) -> Any:
    """`{same_as: input}` as a label is written inside; anything else for pydantic."""
    if not isinstance(value, dict) or set(value) != {"same_as"}:
        return value
    if value["same_as"] != "input":
        raise ValueError(
            f"same_as: {value['same_as']} is not known; write {{same_as: input}} for a model that reconstructs its "
            f"input"
        )
    return SAME_AS_INPUT


def _one_or_several(value: Any) -> str:
    return "arm:several" if isinstance(value, dict) else "arm:one"


class Data(Options):
    """The data: training and evaluation examples."""

    format: Literal["tfrecord", "csv", "parquet", "images"] = Field(
        default="tfrecord",
        description="tfrecord: tf.Example records, raw or gzip-compressed (*.gz); csv: comma-separated values "
        "with a header; parquet: Apache Parquet; images: PNG and JPEG files, one folder per class.",
    )
    path: str = Field(
        min_length=1,
        description="Folder of the files. Relative paths are relative to the folder of the config; ~ is the home "
        "folder.",
    )
    splits: Splits = Field(default=Splits.model_construct(), description="The files of each split.")
    range: Range | None = Field(
        default=None,
        description="With {SPAN} or a date in the patterns: which spans are read. Default: the latest one.",
    )
    label: Annotated[
        Annotated[_OneLabel | _LabelOfEach, Discriminator(_one_or_several)],
        BeforeValidator(_same_as_input, json_schema_input_type=str | dict[str, str]),
    ] = Field(
        default={},
        description="The feature that the model predicts; for a model with several outputs a mapping of output → "
        "feature; for an autoencoder {same_as: input}. Not needed for an imported model that learns from itself and "
        "is "
        "judged by its agreement with the baseline.",
    )
    classes: Classes | None = Field(
        default=None,
        description="Values of the label, in the order of the model's outputs: text, or whole numbers that do not "
        "begin at 0, e.g. [1, 2]. Default: of text, the values in the train split, sorted; numbers as they are.",
    )
    class_weights: ClassWeights = Field(
        default=None,
        description="Weight of each class's examples in training: balanced, to give all classes the same total "
        "weight, "
        "or class → weight (default 1).",
    )
    in_memory: bool | Literal["auto"] = Field(
        default="auto",
        description="Whether training keeps a whole split in memory. false reads batches from files, in the same "
        "order and with the same result, at the speed of the disk. Default: in memory if a quarter of the free "
        "memory holds it.",
    )
    missing: Missing = Field(
        default=[],
        description='Spellings of a missing value in CSV files, e.g. [NA, "-", -999]; an empty cell is always one.',
    )
    image: ImageOptions | None = Field(
        default=None, description="Size and channels that images are converted to; for format: images."
    )

    validation: Validation = Field(
        default=Validation.model_construct(),
        description="Limits on the data; if they are not met, nothing is trained.",
    )

    @model_validator(mode="before")
    @classmethod
    def _images_have_a_label(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("format") == "images":
            return {"label": "label", **values}
        return values

    @model_validator(mode="after")
    def _image_goes_with_the_format(self) -> Data:
        if self.format == "images" and self.image is None:
            raise ValueError(
                "format: images needs a size to resize images to; write image: {size: [height, width]}"
            )
        if self.format != "images" and self.image is not None:
            raise ValueError(
                f"image is for image files, and format is {self.format}; write format: images, or remove image"
            )
        if self.format == "images" and self.label == IMAGE_FEATURE:
            raise ValueError(
                f"label: {IMAGE_FEATURE} is the feature that holds the pixels; write label: label"
            )
        if self.format == "images" and any(isinstance(name, int) for name in self.classes or ()):
            raise ValueError("classes are names of folders, and so text; write each in quotes")
        return self

    @model_validator(mode="after")
    def _missing_goes_with_csv(self) -> Data:
        if self.missing and self.format != "csv":
            raise ValueError(
                f"missing is for the text in CSV files, and format is {self.format}; leave such values out of the "
                "files, or fill them in, and remove missing"
            )
        return self

    @model_validator(mode="after")
    def _several_labels_are_numbers(self) -> Data:
        if isinstance(self.label, str) and self.label != SAME_AS_INPUT:
            return self
        written = [
            what
            for what, there in (
                ("format: images", self.format == "images"),
                ("classes", self.classes is not None),
                ("class_weights", self.class_weights is not None),
            )
            if there
        ]
        if written and self.label == SAME_AS_INPUT:
            raise ValueError(f"{written[0]} cannot be combined with label: {{same_as: input}}; remove it")
        if written and not self.label:
            raise ValueError(
                f"{written[0]} needs a label; write label: with the feature that the model predicts"
            )
        if written:
            raise ValueError(
                f"{written[0]} needs one label, and label names {len(self.label)}; write one feature as label"
            )
        return self

    @model_validator(mode="after")
    def _weighed_classes_are_known(self) -> Data:
        weights = self.named_class_weights()
        if self.classes is not None and isinstance(weights, dict):
            unknown = sorted(set(weights) - set(self.class_names()))
            if unknown:
                raise ValueError(
                    f"class_weights: {', '.join(map(repr, unknown))} is not one of the classes {self.classes}"
                )
        return self

    def missing_spellings(self) -> list[str]:
        """`missing` as text, sorted; the empty text, which always is missing, is left out."""
        return sorted({str(value) for value in self.missing} - {""})

    def class_names(self) -> list[str]:
        """`classes` as text; empty if they are not written."""
        return [str(name) for name in self.classes or ()]

    def named_class_weights(self) -> str | dict[str, float] | None:
        """`class_weights` with numbers written out, as JSON has them."""
        if self.class_weights is None or isinstance(self.class_weights, str):
            return self.class_weights
        return {str(value): weight for value, weight in self.class_weights.items()}

    def labels(self) -> list[str]:
        """Features that are predicted."""
        if self.label == SAME_AS_INPUT:
            return []
        return [self.label] if isinstance(self.label, str) else list(self.label.values())
