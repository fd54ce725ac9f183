"""What the JSON Schema says about a location of a config."""

from __future__ import annotations

import pytest

from components.registry import TECHNIQUES
from pipeline.config import schema
from pipeline.config.problem import Location


@pytest.mark.parametrize(
    ("location", "keys"),
    [
        pytest.param((), ["name", "data", "model", "search", "candidates"], id="whole config"),
        pytest.param(("candidates", "any"), [], id="a list"),
        pytest.param(("candidates", "any", 3), list(TECHNIQUES), id="a step, whatever its index"),
        pytest.param(("candidates", "any", 0, "convert"), ["quantization", "io"], id="options of a step"),
        pytest.param(("gate", "accuracy"), ["min", "max"], id="one metric"),
        pytest.param(("gate", "accuracy", 1, "slices", 0), ["min", "max"], id="a metric of a list"),
        pytest.param(("model", "import"), ["path", "weights"], id="a path or a mapping"),
        pytest.param(("model", "hparams"), [], id="any keys"),
        pytest.param(("kubeflow", "nodes", "Trainer"), ["cpu", "memory"], id="a value of a mapping"),
        pytest.param(("data", "path"), [], id="text"),
        pytest.param(("data", "nothing", "deeper"), [], id="nothing"),
    ],
)
def test_keys_are_those_of_every_alternative(location: Location, keys: list[str]) -> None:
    assert schema.keys(location)[: len(keys)] == keys
    assert bool(schema.keys(location)) is bool(keys)


@pytest.mark.parametrize(
    ("location", "description"),
    [
        (
            ("data", "path"),
            "Folder of the files. Relative paths are relative to the folder of the config; ~ is the home folder.",
        ),
        (("push",), "Where to push the best candidate."),  # of the section, as the key has none
        (("gate", "accuracy", 0, "slices", 2, "by"), "The feature, or features, that divide the examples."),
        (("data", "nothing"), ""),
    ],
)
def test_a_key_is_described_by_itself_or_by_its_section(location: Location, description: str) -> None:
    assert schema.description(location) == description


@pytest.mark.parametrize(
    ("location", "anything"),
    [
        (("model", "hparams"), False),  # a mapping with any keys
        (("model", "hparams", "units"), True),
        (("model", "hparams", "units", "deeper", 3), True),
        (("model", "pretrained", "options", "input_shape"), True),
        (("gate", "accuracy", "config", "k"), True),
        (("gate", "accuracy", 0, "config", "k"), True),
        (("data", "class_weights"), False),
        (("data", "path"), False),
        ((), False),
    ],
)
def test_where_anything_is_taken(location: Location, anything: bool) -> None:
    assert schema.takes_anything(location) is anything
