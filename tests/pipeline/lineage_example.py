"""A lineage graph with the shape and the facts of a real run: two candidates, one pushed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from components.evaluator.judgement import Figure, Judgement, Kind, accuracy_figure, size_figure
from components.evaluator.judging import conclude, judge_figure
from components.evaluator.verdict import VERDICT_FILE
from components.measurer.measured import Accuracy, Measured, SliceValue
from components.registry import TECHNIQUES
from pipeline.lineage.graph import Graph
from pipeline.store.records import Artifact, Edge, Execution, Run
from pipeline.store.state import State

BEGAN = datetime(2026, 11, 22, 12, 45, 56, 849000, tzinfo=timezone.utc)
RUN, EARLIER = "2026-11-22T12:45:56.849179", "2026-11-22T08:49:28.755139"
DIGEST = hashlib.sha256(b"the pushed model").hexdigest()
TRAIN, TEST = hashlib.sha256(b"train").hexdigest(), hashlib.sha256(b"test").hexdigest()
HPARAMS = {"filters": [16, 32], "units": 512}
CONFIG = {"name": "mnist", "candidates": {"pruned-int8": [{"prune": {"m_by_n": None}}]}}
FINGERPRINT = "\n".join(
    f"split:{split},num_files:1,total_bytes:{size},xor_checksum:1795333977,sum_checksum:1795333977"
    for split, size in (("train", 12364345), ("eval", 2050611))
)
LAYERS = {
    "conv1": {"dtype": "int8", "weights": 144, "sparsity": 0.798611, "unique": 15},
    "dense": {"dtype": "int8", "weights": 802816, "sparsity": 0.800001, "unique": 210},
}
JUDGEMENTS = (
    Judgement.on(size_figure("file"), "max_ratio", 0.3, 0.25167),
    Judgement.on(
        Figure("sparsity[conv1]", Kind.INVARIANT, aspect="sparsity", layer="conv1"),
        "min",
        0.8,
        0.7986,
        tolerance=0.005,
    ),
    Judgement.on(Figure("input[image]", Kind.TYPE, aspect="input", tensor="image"), "type", None, None),
    Judgement.on(
        accuracy_figure("SparseCategoricalAccuracy", slice=(SliceValue("label", "2"),)),
        "max_drop",
        0.02,
        -0.001,
    ),
)
(FAILED,) = judge_figure(
    accuracy_figure("SparseCategoricalAccuracy"), {"min": 0.975}, 0.9678, None, ascending=True
)
MEASURED = Measured(accuracy=Accuracy("SparseCategoricalAccuracy", True, examples=10000))
SCHEMA = """\
feature { name: "image" type: INT shape { dim { size: 784 } } }
feature { name: "label" type: INT shape { dim { size: 1 } } }
"""


@dataclass(frozen=True)
class Example:
    """A graph with what is known about its run; attributes of the graph's artifacts are their ids."""

    graph: Graph
    run: Run
    documents: dict[str, dict[str, Any]]

    def artifact(self, node: str, key: str) -> Artifact:
        """The artifact that a node made."""
        made = next(e for e in self.graph.executions.values() if e.node == node)
        return self.graph.outputs(made.id)[key][0]


class GraphBuilder:
    """Makes executions and artifacts with ids in the order in which they are made."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.artifacts: dict[int, Artifact] = {}
        self.executions: dict[int, Execution] = {}
        self.edges: list[Edge] = []

    def node(
        self,
        node: str,
        kind: str,
        inputs: dict[str, int],
        outputs: dict[str, tuple[str, dict[str, Any]]],
        properties: dict[str, Any] | None = None,
        run: str = RUN,
        state: State = State.RAN,
    ) -> list[int]:
        """Adds an execution with outputs (key → type and properties); returns the ids of the outputs."""
        number = len(self.executions) + 1
        started = BEGAN + timedelta(seconds=10 * number)
        self.executions[number] = Execution(
            id=number,
            type=kind,
            node=node,
            pipeline="mnist",
            runs=(run,),
            state=state,
            properties=properties or {},
            started=started,
            finished=None if state == "running" else started + timedelta(seconds=8, milliseconds=500),
        )
        self.edges += [Edge(number, artifact, key, False) for key, artifact in inputs.items()]
        made = []
        for key, (name, facts) in outputs.items():
            artifact = len(self.artifacts) + 1
            uri = self.folder / node / key / str(number)
            uri.mkdir(parents=True)
            self.artifacts[artifact] = Artifact(
                artifact, name, str(uri), True, {"tfx_version": "1.16.0", **facts}
            )
            self.edges.append(Edge(number, artifact, key, True))
            made.append(artifact)
        return made

    def graph(self, *roots: int) -> Graph:
        """All that was added."""
        return Graph(roots, self.artifacts, self.executions, tuple(sorted(self.edges)))

    def uri(self, artifact: int) -> Path:
        """Folder of an artifact."""
        return Path(self.artifacts[artifact].uri)


def step(technique: str, **options: Any) -> dict[str, Any]:
    """Parameters of a step's execution."""
    asked = TECHNIQUES[technique].options.model_validate(options)
    return {
        "params": asked.canonical_json(),
        "hparams": json.dumps(HPARAMS),
        "model_module": "configs.mnist.model",
        "code_version": "28c65dbc72c9",
        "seed": 42,
    }


def example(folder: Path, winner: str = "pruned-int8", measured: bool = False) -> Example:
    """The graph of a run that compared `pruned-int8`, which passed, with `distilled-int8`, which did not.

    Args:
        folder: Gets the artifacts' folders, with schema, statistics and verdicts.
        winner: Empty for a run that found none: then pruned-int8 misses the limit on accuracy, too.
        measured: Whether candidates are measured by nodes of their own; before, the Evaluator measured.
    """
    build = GraphBuilder(folder)
    (examples,) = build.node(
        "ImportExampleGen",
        "ImportExampleGen",
        {},
        {"examples": ("Examples", {"input_fingerprint": FINGERPRINT, "data_hash": "d" * 64})},
        {"input_base": "/data/mnist"},
        run=EARLIER,
    )
    (statistics,) = build.node(
        "StatisticsGen",
        "StatisticsGen",
        {"examples": examples},
        {"statistics": ("ExampleStatistics", {"split_names": '["train", "eval"]'})},
        run=EARLIER,
    )
    (inferred,) = build.node(
        "SchemaGen", "SchemaGen", {"statistics": statistics}, {"schema": ("Schema", {})}, run=EARLIER
    )
    (schema,) = build.node(
        "AnomalyGate", "AnomalyGate", {"inferred_schema": inferred}, {"schema": ("Schema", {})}
    )
    for split, count in (("train", 60000), ("eval", 10000)):
        message = statistics_pb2.DatasetFeatureStatisticsList()
        message.datasets.add().num_examples = count
        file = build.uri(statistics) / f"Split-{split}" / "FeatureStats.pb"
        file.parent.mkdir()
        file.write_bytes(message.SerializeToString())
    for made in (inferred, schema):
        (build.uri(made) / "schema.pbtxt").write_text(SCHEMA, encoding="utf-8")
    data = {"examples": examples, "schema": schema}
    config = {
        "model_module": "configs.mnist.model",
        "module_version": "7a388b04e4da",
        "hparams": json.dumps(HPARAMS),
        "params": '{"epochs": 4, "batch_size": 128}',
        "seed": 42,
        "code_version": "09e7f3ec7311",
    }
    (baseline,) = build.node(
        "Trainer",
        "Trainer",
        data,
        {"model": ("Model", {"final_val_accuracy": 0.9871})},
        {"custom_config": json.dumps(config)},
    )
    float32 = _convert(build, baseline, data, "convert-float32", "float32", {"bytes": 3255868})
    (pruned,) = build.node(
        "prune-a4a3d3",
        "Pruner",
        {"base_model": baseline, **data},
        {
            "model": (
                "Model",
                {"technique": "prune", "layers": json.dumps(LAYERS), "final_val_accuracy": 0.9883},
            )
        },
        step("prune", sparsity=0.8),
    )
    (distilled,) = build.node(
        "distill", "Distiller", {"base_model": baseline, **data}, {"model": ("Model", {})}, step("distill")
    )
    facts = {"bytes": 819416, "gzip_bytes": 254698, "quantization": "int8", "layers": json.dumps(LAYERS)}
    first = _convert(
        build, pruned, data, "prune-convert", "int8", {**facts, "files": json.dumps({"tflite": DIGEST})}
    )
    second = _convert(
        build, distilled, data, "distill-convert", "int8", {"bytes": 6536, "gzip_bytes": 4299}
    )
    compared = {"pruned-int8": first, "distilled-int8": second}
    inputs: dict[str, int] = {}
    predicted: dict[str, int] = {}
    if measured:
        (predictions,) = build.node(
            "convert-float32-predict",
            "Predictor",
            {"model": float32, **data},
            {"predictions": ("components.BaselinePredictions", {})},
            {"code_version": "5e6f7a8b9c0d"},
        )
        predicted = {"predictions": predictions}
    for name, model in compared.items():
        verdict = conclude([*JUDGEMENTS, FAILED] if name != winner else JUDGEMENTS, MEASURED)
        blessed = int(verdict.blessed)
        models = {"model": model, "baseline": float32}
        judged = {**models, **data}
        if measured:
            (measurement,) = build.node(
                f"{name}-measure",
                "Measurer",
                {**judged, **predicted},
                {"measurement": ("components.ModelMeasurement", {"cpu": "AMD EPYC", "cores": 2})},
                {"code_version": "0a1b2c3d4e5f"},
            )
            judged = {**models, "measurement": measurement}
        evaluation, blessing = build.node(
            f"{name}-evaluate",
            "Evaluator",
            judged,
            {
                "evaluation": ("ModelEvaluation", {"blessed": blessed, "accuracy": 0.987}),
                "blessing": ("ModelBlessing", {"blessed": blessed}),
            },
        )
        verdict.write(build.uri(evaluation) / VERDICT_FILE)
        key = name.replace("-", "_")
        inputs |= {f"model_{key}": model, f"evaluation_{key}": evaluation, f"blessing_{key}": blessing}
    selected, blessing, report = build.node(
        "Selector",
        "Selector",
        inputs,
        {
            "model": ("Model", {"candidate": winner}),
            "blessing": ("ModelBlessing", {"blessed": int(bool(winner))}),
            "report": ("components.OptimizationReport", {"winner": winner, "candidates": 2}),
        },
        {"candidates": json.dumps(list(compared)), "select": '{"maximize": null, "minimize": "gzip_size"}'},
    )
    root = report
    if winner:
        (root,) = build.node(
            "Pusher",
            "Pusher",
            {"model": selected, "model_blessing": blessing},
            {
                "pushed_model": (
                    "PushedModel",
                    {
                        "pushed": 1,
                        "pushed_destination": "/serving/mnist/1795352218",
                        "pushed_version": "1795352218",
                        "files": json.dumps({"tflite": DIGEST}),
                    },
                )
            },
        )
    return Example(build.graph(root), _run(winner), _documents())


def _convert(
    build: GraphBuilder,
    base: int,
    data: dict[str, int],
    node: str,
    quantization: str,
    facts: dict[str, Any],
) -> int:
    inputs = {"base_model": base, **data}
    outputs = {"model": ("Model", {"quantization": quantization, **facts})}
    (made,) = build.node(
        node, "TFLiteConverter", inputs, outputs, step("convert", quantization=quantization)
    )
    return made


def _run(winner: str) -> Run:
    return Run(
        id=RUN,
        pipeline="mnist",
        context_id=63,
        started=BEGAN,
        finished=BEGAN + timedelta(minutes=10),
        status=State.PUSHED if winner else State.NONE_PASSED,
        config_path="/work/configs/mnist/pipeline.yaml",
        config_hash=hashlib.sha256(json.dumps(CONFIG, sort_keys=True).encode()).hexdigest(),
        environment_hash="e" * 64,
        data_hash="d" * 64,
        git_commit="ef409aaaa3ae1a483bac64473e283631ae4814cc",
        git_dirty=True,
        seed=42,
        version="0.1.0",
        winner=winner or None,
        pushed="/serving/mnist/1795352218" if winner else None,
        pushed_now=bool(winner),
        ran=14,
    )


def _documents() -> dict[str, dict[str, Any]]:
    return {
        hashlib.sha256(json.dumps(CONFIG, sort_keys=True).encode()).hexdigest(): CONFIG,
        "e" * 64: {
            "python": "3.10.14",
            "platform": "Linux",
            "cpu": "AMD EPYC",
            "cores": 2,
            "packages": {"tfx": "1.16.0", "tensorflow": "2.16.2"},
        },
        "d" * 64: {
            "train": [{"file": "train.tfrecord.gz", "bytes": 12364345, "sha256": TRAIN}],
            "eval": [{"file": "test.tfrecord.gz", "bytes": 2050611, "sha256": TEST}],
        },
    }
