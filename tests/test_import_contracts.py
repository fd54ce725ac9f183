"""The contracts of import-linter find an import that goes up, one between techniques, and one of TensorFlow."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import grimp
import pytest
from grimp import ImportGraph
from importlinter.application import use_cases
from importlinter.configuration import configure
from importlinter.domain.contract import registry

ROOT = Path(__file__).parents[1]


def broken(graph: ImportGraph) -> list[str]:
    """Names of the contracts that imports break."""
    options = use_cases.read_user_options(str(ROOT / "pyproject.toml"))
    use_cases._register_contract_types(options)
    found = []
    for written in options.contracts_options:
        kind = registry.get_contract_class(written["type"])
        contract = kind(
            name=written["name"], session_options=options.session_options, contract_options=written
        )
        if not contract.check(deepcopy(graph), verbose=False).kept:
            found.append(written["name"])
    return found


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    configure()
    return grimp.build_graph("pipeline", "components", include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize(
    ("importer", "imported", "named"),
    [
        ("pipeline.config.problem", "pipeline.run.session", "Rooms of the pipeline"),
        ("components.pruner.executor", "pipeline.base.texts", "Rooms of the pipeline"),
        ("components.common.base.texts", "components.common.models.trunk", "Rooms of components.common"),
        ("components.pruner.executor", "components.clusterer.executor", "Techniques import nothing of each other"),
        ("pipeline.plan.node", "tensorflow", "What reads configs and stores"),
    ],
)  # fmt: skip
def test_a_planted_import_breaks_a_contract(
    graph: ImportGraph, importer: str, imported: str, named: str
) -> None:
    planted = deepcopy(graph)
    planted.add_import(importer=importer, imported=imported)
    assert any(name.startswith(named) for name in broken(planted))


def test_the_imports_as_they_are_break_none(graph: ImportGraph) -> None:
    assert broken(graph) == []
