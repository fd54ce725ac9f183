"""Transfer learning from the pretrained file to what is pushed: the example's config, with less of everything."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.e2e.project import REPOSITORY, Project, empty_project

pytestmark = pytest.mark.e2e

LESS = [
    "--set=model.train.stages=[{epochs: 4}, {epochs: 2, unfreeze: [conv3], trunk_learning_rate: 0.0001}]",
    "--set=candidates.pruned-int8.0.prune.epochs=3",
    "--set=gate={accuracy: {metric: SparseCategoricalAccuracy, min: 0.3}, latency: {repetitions: 60, warmup: 5}}",
]


@pytest.fixture(scope="module")
def transferred(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict]:
    """A finished run."""
    from configs.transfer import make_data

    root = tmp_path_factory.mktemp("transfer")
    project = empty_project(root, columns=200)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "configs/transfer", root / "configs/transfer", ignore=ignored)
    shipped = (root / "configs/transfer/pipeline.yaml").read_text(encoding="utf-8")
    (root / "pipeline.yaml").write_text(shipped.replace("../../", ""), encoding="utf-8")
    make_data.main(root / "data/transfer", per_class=200, epochs=3, shots=10, tests=40)
    return project, project.run(*LESS)


def kernels(path: Path) -> dict[str, list[np.ndarray]]:
    """Layer → its weights in a Keras file, read by h5py alone."""
    with h5py.File(path) as file:
        group = file["model_weights"]
        return {
            name: [group[name][weight][()] for weight in group[name].attrs["weight_names"]]
            for name in group.attrs["layer_names"]
        }


def model_of(project: Project, node: str) -> Path:
    (path,) = project.root.glob(f".paredown/transfer/{node}/model/*/Format-Keras/model.h5")
    return path


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_trunk_goes_through_the_run_as_its_stages_say(transferred: tuple[Project, dict]) -> None:
    project, result = transferred
    file = kernels(project.root / "data/transfer/digits-0-4.h5")
    trained = kernels(model_of(project, "Trainer"))
    pruned = kernels(model_of(project, "prune-*"))

    for layer in ("conv1", "conv1_bn", "conv2", "conv2_bn", "conv3_bn"):
        assert equal(trained[layer], file[layer]), layer
    assert not equal(trained["conv3"], file["conv3"])
    # Pruning trains layers that were frozen before it, except those that it freezes.
    assert not equal(pruned["conv1"], trained["conv1"])
    for layer in ("conv1_bn", "conv2_bn", "conv3_bn"):
        assert equal(pruned[layer], trained[layer]), layer
    for layer in ("conv1", "conv2", "conv3", "probabilities"):
        assert np.mean(pruned[layer][0] == 0) == pytest.approx(0.5, abs=0.01)
    assert {name for name, one in result["candidates"].items() if one["blessed"]} == {"int8", "pruned-int8"}


def test_lineage_leads_back_to_the_pretrained_file(transferred: tuple[Project, dict]) -> None:
    project, result = transferred
    digest = hashlib.sha256((project.root / "data/transfer/digits-0-4.h5").read_bytes()).hexdigest()

    outcome = project.paredown("lineage", result["pushed"])

    assert outcome.code == 0, outcome.err
    assert f"pretrained data/transfer/digits-0-4.h5, sha256 {digest}, up to flatten" in " ".join(
        outcome.out.replace("│", " ").split()
    )


def test_lineage_leads_from_the_pretrained_file_to_what_was_pushed(
    transferred: tuple[Project, dict], tmp_path: Path
) -> None:
    project, result = transferred
    file = project.root / "data/transfer/digits-0-4.h5"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    copy = shutil.copy(file, tmp_path / "copy.h5")

    down = project.paredown("lineage", str(copy), "--down")
    assert down.code == 0, down.err
    assert f"began its training with (SHA-256 {digest[:12]}…)" in down.out
    assert result["pushed"] in down.out
    events = project.paredown("lineage", result["pushed"], "--format", "openlineage")
    read = [data for event in map(json.loads, events.out.splitlines()) for data in event["inputs"]]
    (version,) = {
        data["facets"]["version"]["datasetVersion"]
        for data in read
        if (data["namespace"], data["name"]) == ("file", str(file))
    }
    assert version == digest


def test_another_pretrained_file_trains_again(transferred: tuple[Project, dict]) -> None:
    project, _ = transferred
    path = project.root / "data/transfer/digits-0-4.h5"
    before = path.read_bytes()
    assert project.paredown("plan", "pipeline.yaml", "--json", *LESS).json()["nodes"][0]["cached"]

    def waiting() -> set[str]:
        outcome = project.paredown("plan", "pipeline.yaml", "--json", *LESS)
        return {node["id"] for node in outcome.json()["nodes"] if not node["cached"]}

    had = waiting()
    try:
        with h5py.File(path, "a") as file:
            file["model_weights/conv1/conv1/kernel:0"][...] = 0.0
        assert "Trainer" not in had and "Trainer" in waiting()
    finally:
        path.write_bytes(before)
