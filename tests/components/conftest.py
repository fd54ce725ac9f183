"""What the steps' tests share: jobs, user modules, and the models of the commonest chains."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import MNIST_HPARAMS, MNIST_MODULE, SEED, Trained
from tests.shared import Shared

MakeJob = Callable[..., Any]
MakeModule = Callable[[str], str]

_numbers = itertools.count()


def make_job(
    base_model: Path | str, output: Path | str, options: Any, examples: Any, **changes: Any
) -> Any:
    """A step's job as the pipeline would give it, on MNIST, unless `changes` say otherwise.

    Args:
        base_model: Folder to begin with.
        output: Folder to write.
        options: A params object with every default filled in.
        examples: An `Examples`.
        **changes: Other fields of `StepJob`.
    """
    from components.common.models.model_definition import ModelDefinition
    from components.common.steps.step_executor import StepJob

    job = StepJob(
        base_model=str(base_model),
        output=str(output),
        options=options,
        examples=examples,
        definition=ModelDefinition(MNIST_MODULE, MNIST_HPARAMS),
        seed=SEED,
    )
    return dataclasses.replace(job, **changes)


def must_keep(
    sparsity: float | None = None,
    m_by_n: tuple[int, int] | None = None,
    clusters: int | None = None,
    per_channel: bool = False,
) -> list[Any]:
    """What a layer must keep: those invariants that are given."""
    from components.clusterer.invariants import Clusters
    from components.pruner.invariants import MByN, Sparsity

    zeros = [] if sparsity is None else [Sparsity(least=sparsity)]
    blocks = [] if m_by_n is None else [MByN(m=m_by_n[0], n=m_by_n[1])]
    values = [] if clusters is None else [Clusters(most=clusters, per_channel=per_channel)]
    return [*zeros, *blocks, *values]


def run_step(work: Callable[[Any], Any], job: Any) -> Any:
    """Runs a step's function as its executor does: seeded, in a folder that exists."""
    from components.common.training import seeding

    Path(job.output).mkdir(parents=True, exist_ok=True)
    seeding.seed_everything(job.seed)
    return work(job)


KERNEL_SHAPES = {
    "conv1": (4, 3, 3, 1),
    "conv2": (8, 3, 3, 4),
    "dense": (16, 392),
    "probabilities": (10, 16),
}


def stored_kernels(uri: Path | str) -> dict[str, np.ndarray]:
    """Layer of the MNIST model → its kernel as the TFLite file of an artifact stores it.

    Read by LiteRT's interpreter and identified by shape, without the project's code. Zero is stored as 0 in
    int8 kernels, which are symmetric.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(Path(uri) / "Format-Serving" / "tflite"))
    interpreter.allocate_tensors()
    layers = {shape: name for name, shape in KERNEL_SHAPES.items()}
    found: dict[str, np.ndarray] = {}
    for detail in interpreter.get_tensor_details():
        layer = layers.get(tuple(int(size) for size in detail["shape"]))
        # A float16 kernel has a float32 copy, which the interpreter makes.
        if layer is None or "batch" in detail["name"] or layer in found:
            continue
        found[layer] = interpreter.get_tensor(detail["index"])
        assert not np.any(detail["quantization_parameters"]["zero_points"])
    assert sorted(found) == sorted(KERNEL_SHAPES)
    return found


@dataclasses.dataclass(frozen=True)
class Step:
    """A step that ran: the folder that it wrote, the facts that it returned."""

    uri: str
    facts: dict[str, Any]


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeModule:
    """Writes a module with the given source and returns its name."""

    def make(source: str) -> str:
        name = f"user_module_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return name

    monkeypatch.syspath_prepend(tmp_path)
    return make


@pytest.fixture(scope="session")
def pruned(trained: Trained, mnist_examples: Any, shared: Shared) -> Step:
    """The baseline, pruned to 80 % by the polynomial schedule."""

    def make(output: Path) -> Step:
        from components.pruner.executor import prune
        from components.pruner.params import PruneOptions

        options = PruneOptions(sparsity=0.8, epochs=2, batch_size=50)
        return Step(str(output), run_step(prune, make_job(trained.uri, output, options, mnist_examples)))

    return shared.make("pruned", make)


@pytest.fixture(scope="session")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small data set before and after Transform; see tests.components.transformed."""
    from tests.components.transformed import transform

    return transform(tmp_path_factory.mktemp("transformed"))


@pytest.fixture(scope="session")
def served(transformed: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model on its features, converted to float32 and to int8; see tests.components.transformed."""
    from tests.components.transformed import serve

    return serve(transformed, tmp_path_factory.mktemp("served"))


def _cluster(base: str, examples: Any, shared: Shared, name: str) -> Step:
    def make(output: Path) -> Step:
        from components.clusterer.executor import cluster
        from components.clusterer.params import ClusterOptions

        options = ClusterOptions(clusters=16, steps=10, batch_size=50, learning_rate=0.001)
        return Step(str(output), run_step(cluster, make_job(base, output, options, examples)))

    return shared.make(name, make)


@pytest.fixture(scope="session")
def clustered(trained: Trained, mnist_examples: Any, shared: Shared) -> Step:
    """The baseline with 16 values for each layer."""
    return _cluster(trained.uri, mnist_examples, shared, "clustered")


@pytest.fixture(scope="session")
def pruned_clustered(pruned: Step, mnist_examples: Any, shared: Shared) -> Step:
    """The pruned baseline with 16 values for each layer, zero among them."""
    return _cluster(pruned.uri, mnist_examples, shared, "pruned-clustered")


def _qat(base: str, examples: Any, shared: Shared, name: str) -> Step:
    def make(output: Path) -> Step:
        from components.quantization_aware_trainer.executor import train_quantization_aware
        from components.quantization_aware_trainer.params import QatOptions

        options = QatOptions(epochs=1, batch_size=50, learning_rate=0.001)
        return Step(
            str(output), run_step(train_quantization_aware, make_job(base, output, options, examples))
        )

    return shared.make(name, make)


@pytest.fixture(scope="session")
def quantization_aware(trained: Trained, mnist_examples: Any, shared: Shared) -> Step:
    """The baseline after quantization-aware training."""
    return _qat(trained.uri, mnist_examples, shared, "qat")


@pytest.fixture(scope="session")
def pruned_quantization_aware(pruned: Step, mnist_examples: Any, shared: Shared) -> Step:
    """The pruned baseline after quantization-aware training."""
    return _qat(pruned.uri, mnist_examples, shared, "pqat")


@pytest.fixture(scope="session")
def clustered_quantization_aware(clustered: Step, mnist_examples: Any, shared: Shared) -> Step:
    """The clustered baseline after quantization-aware training."""
    return _qat(clustered.uri, mnist_examples, shared, "cqat")


@pytest.fixture(scope="session")
def pruned_clustered_quantization_aware(
    pruned_clustered: Step, mnist_examples: Any, shared: Shared
) -> Step:
    """The pruned and clustered baseline after quantization-aware training."""
    return _qat(pruned_clustered.uri, mnist_examples, shared, "pcqat")


@pytest.fixture(scope="session")
def converted(mnist_examples: Any, shared: Shared) -> Callable[..., Step]:
    """Converts an artifact's model; the same options on the same model only once."""
    from components.tflite_converter.executor import convert_model
    from components.tflite_converter.params import ConvertOptions

    def convert(base: str, quantization: str, io: str = "float32", **more: Any) -> Step:
        options = ConvertOptions(quantization=quantization, io=io, calibration_examples=50, **more)

        def make(output: Path) -> Step:
            job = make_job(base, output, options, mnist_examples)
            return Step(str(output), run_step(convert_model, job))

        key = hashlib.sha256(f"{base} {options.canonical_json()}".encode()).hexdigest()[:12]
        return shared.make(f"{quantization}-{io}-{key}", make)

    return convert


@pytest.fixture(scope="session")
def saved_files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One model in every format: `tests.components.saved_files.SavedFiles`."""
    from tests.components import saved_files

    return saved_files.make(tmp_path_factory.mktemp("saved"))
