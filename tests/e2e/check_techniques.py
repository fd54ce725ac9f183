"""Checks a finished run of configs/mnist/techniques.yaml: `python tests/e2e/check_techniques.py`.

Reads the files with LiteRT's interpreter alone. Holds against what was asked for: the number of training
nodes, zeros and distinct values of every kernel, size and accuracy of PCQAT, and the sizes that
`paredown explain` predicts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

CONFIG = "configs/mnist/techniques.yaml"
ROOT = Path(".paredown/mnist-techniques")
# Number of weights → a kernel of that many, in the baseline's files.
WEIGHTS = {144, 4608, 802816, 5120}


def main() -> int:
    """Prints each check with its figures; returns how many failed."""
    plan = paredown("plan")
    explained = paredown("explain")["candidates"]
    reports = sorted((ROOT / "Selector/report").iterdir(), key=lambda path: int(path.name))
    candidates = json.loads((reports[-1] / "report.json").read_text(encoding="utf-8"))["candidates"]
    print_table(candidates)

    trained = [node["id"] for node in plan["nodes"] if node["trains"]]
    chains = [entry["steps"] for entry in explained.values()]
    prefixes = {json.dumps(chain[:end]) for chain in chains for end in range(1, len(chain))}
    failed = check(
        f"{len(candidates)} candidates, {len(trained)} training nodes: the baseline and "
        f"{len(prefixes)} distinct prefixes",
        len(candidates) >= 14 and len(trained) == 1 + len(prefixes),
    )
    for name, entry in candidates.items():
        failed += check_kernels(name, entry, tflite(plan, name))
    measured = candidates["pcqat"]["measured"]
    times = measured["size"]["baseline"]["file"] / measured["size"]["candidate"]["gzip"]
    failed += check(f"the gzip file of pcqat is 1/{times:.1f} of the baseline's file", times >= 13)
    drop = measured["accuracy"]["baseline"] - measured["accuracy"]["candidate"]
    failed += check(f"pcqat is {drop:+.4f} worse than the baseline", drop <= 0.01)
    for name, entry in explained.items():
        real = tflite(plan, name).stat().st_size
        error = entry["predicted_bytes"] / real - 1
        text = f"{name}: {entry['predicted_bytes']:,} B predicted, {real:,} B real, {error:+.1%}"
        failed += check(text, abs(error) <= 0.1)
    return failed


def paredown(command: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", command, CONFIG, "--json"], capture_output=True, text=True
    )
    return json.loads(done.stdout)


def check(text: str, holds: bool) -> int:
    print("ok    " if holds else "FAILED", text)
    return not holds


def tflite(plan: dict[str, Any], candidate: str) -> Path:
    """The newest file of a candidate."""
    (node,) = [
        node["id"]
        for node in plan["nodes"]
        if candidate in node["candidates"]
        and "convert" in node["id"]
        and not node["id"].endswith(("-measure", "-evaluate", "-predict"))
    ]
    found = max((ROOT / node / "model").iterdir(), key=lambda path: int(path.name))
    return found / "Format-Serving/tflite"


def kernels(path: Path) -> list[np.ndarray]:
    """Constants that are as large as a kernel of the baseline."""
    interpreter = Interpreter(model_path=str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    written = {int(index) for op in interpreter._get_ops_details() for index in op["outputs"]}
    return [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if detail["index"] not in written and int(np.prod(detail["shape"])) in WEIGHTS
    ]


def check_kernels(name: str, entry: dict[str, Any], path: Path) -> int:
    """Holds every kernel against the steps of a candidate; nothing to do for students."""
    steps = {step["technique"]: step for step in entry["measured"]["steps"]}
    if "distill" in steps or steps["convert"].get("sparse"):
        return 0
    failed = 0
    found = kernels(path)
    if steps.get("prune", {}).get("sparsity"):
        zeros = [round(float(np.mean(kernel == 0)), 4) for kernel in found]
        wanted = steps["prune"]["sparsity"]
        close = [abs(share - wanted) <= 0.005 for share in zeros]
        failed += check(f"{name}: zeros {zeros}", len(zeros) == 4 and all(close))
    elif "prune" in steps:
        # 2:4 along the input channels, of which the first layer has only one.
        blocks = [kernel.reshape(-1, 4) == 0 for kernel in found if kernel.shape[-1] % 4 == 0]
        holds = [bool((block.sum(axis=1) >= 2).all()) for block in blocks]
        failed += check(f"{name}: 2:4 in every block of {len(holds)} kernels", holds == [True] * 3)
    if "cluster" in steps:
        values = [int(np.unique(kernel).size) for kernel in found]
        failed += check(
            f"{name}: distinct values {values}",
            len(values) == 4 and max(values) <= steps["cluster"]["clusters"],
        )
    return failed


def print_table(candidates: dict[str, Any]) -> None:
    """The figures of every candidate, as Markdown."""
    print("| candidate | accuracy | drop | file | gzip | latency ratio | sparsity | clusters | verdict |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, entry in candidates.items():
        measured = entry["measured"]
        accuracy, size = measured["accuracy"], measured["size"]["candidate"]
        asked = measured["invariants"]
        sparsity = asked.get("least_layer_sparsity")
        print(
            f"| {name} | {accuracy['candidate']:.4f} | {accuracy['baseline'] - accuracy['candidate']:+.4f} "
            f"| {size['file']:,} | {size['gzip']:,} | {measured['latency']['ratio']:.2f} "
            f"| {'' if sparsity is None else f'{sparsity:.1%}'}{'2:4' if 'least_m_by_n' in asked else ''} "
            f"| {asked.get('most_layer_clusters', '')} "
            f"| {'passed' if entry['blessed'] else 'failed: ' + '; '.join(entry['reasons'])} |"
        )


if __name__ == "__main__":
    sys.exit(main())
