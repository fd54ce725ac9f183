"""A budget as text, and the space that is searched if a config has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.api import searching
from pipeline.config.problem import InvalidInput
from pipeline.search.budget import overrides_of
from tests.pipeline.search.space import CONFIG, SPACE
from tests.project import changed


def test_a_budget_sets_limits_of_the_gate() -> None:
    assert overrides_of("size 60 kB, max_drop 0.005,latency: 2 ms") == [
        "gate.size.max=60 kB",
        "gate.accuracy.max_drop=0.005",
        "gate.latency.max=2",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sise 60 kB", "--budget: 'sise 60 kB' is not a limit; did you mean 'size'?"),
        ("size", "--budget: 'size' is not a limit; write e.g. 'size 60 kB, max_drop 0.005'"),
        (" , ", "--budget: has no limits"),
    ],
)
def test_what_is_not_a_limit_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        overrides_of(text)
    assert message in str(error.value)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A config without candidates whose data are there."""
    text = changed(CONFIG, "data/mnist", str(Path("data/mnist").absolute()))
    text = changed(text, "label: label}", 'label: label, splits: {eval: "test*"}}')
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_config_without_a_search_gets_the_default_space_of_its_target(digits: Path) -> None:
    config = searching.load_within(digits, "size 60 kB, max_drop 0.005").config
    assert config.gate.size.max == 60_000 and config.gate.accuracies()[0].max_drop == 0.005
    assert config.search is not None and "convert.pack" not in config.search.space.parameters()
    digits.write_text(digits.read_text(encoding="utf-8") + "target: microcontroller\n", encoding="utf-8")
    small = searching.load_within(digits, "flash 60 kB").config
    assert small.search is not None and "convert.pack" in small.search.space.parameters()
    assert {chain.steps()[-1].model_dump()["io"] for chain in small.search.space.ends().values()} == {
        "int8"
    }


def test_a_space_of_the_config_stays(digits: Path) -> None:
    digits.write_text(digits.read_text(encoding="utf-8") + SPACE, encoding="utf-8")
    config = searching.load_within(digits, "size 60 kB").config
    assert config.search is not None and config.search.trials == 8
