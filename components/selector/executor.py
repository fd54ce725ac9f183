"""Picks the winner among the candidates that passed."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.common.base import file_hashes, json_file
from components.common.base.blessing import bless
from components.selector.params import named_by

REPORT_FILE = "report.json"
VERDICT_FILE = "verdict.json"

Verdict = dict[str, Any]


def accuracy_of(verdict: Verdict, of: str | None = None) -> dict[str, Any]:
    """What was measured of the gate's metric, or of the one that `select.of` names; empty where it was not."""
    measured = verdict["measured"]
    figures = measured.get("accuracies")
    if of is None or figures is None:
        return measured.get("accuracy", {})
    found = named_by(figures, of)
    return figures[found[0]] if len(found) == 1 else {}


def figure(verdict: Verdict, name: str, of: str | None = None) -> float | None:
    """A candidate's figure by the name that `select` uses; None where it was not measured."""
    measured = verdict["measured"]
    if name == "accuracy":
        return accuracy_of(verdict, of).get("candidate")
    if name == "latency":
        latency = measured.get("latency", {})
        return latency.get("candidate", {}).get(str(latency.get("percentile")))
    sizes = measured.get("size", {}).get("candidate", {})
    return sizes.get({"size": "file", "gzip_size": "gzip"}[name])


def select(verdicts: dict[str, Verdict], blessed: dict[str, bool], options: dict[str, Any]) -> str | None:
    """Names the winner.

    Args:
        verdicts: Candidate → its verdict.json.
        blessed: Candidate → whether its `ModelBlessing` says so, which is what counts.
        options: As in components.selector.params.

    Returns:
        The blessed candidate that is best at what `options` ask for; ties go to the better accuracy,
        then to the first name. None where no candidate is blessed or has the figure.
    """
    wanted, of = options["minimize"] or options["maximize"], options.get("of")
    rows = []
    for name, verdict in verdicts.items():
        value = figure(verdict, wanted, of)
        if not (blessed[name] and verdict["blessed"]) or value is None:
            continue
        accuracy = figure(verdict, "accuracy", of) or 0.0
        sign = -1 if accuracy_of(verdict, of)["higher_is_better"] else 1
        rank = sign * accuracy
        rows.append((rank if wanted == "accuracy" else value, rank, name))
    return min(rows)[2] if rows else None


def build_report(
    verdicts: dict[str, Verdict], winner: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    """What the report artifact holds: the winner, what it was selected by, and every verdict."""
    return {"winner": winner, "select": options, "candidates": verdicts}


class Executor(base_executor.BaseExecutor):
    """Selects, and hands the winner on as a model that is blessed."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Selects the winner.

        Args:
            input_dict: For each candidate `model_<name>` (Model), `blessing_<name>` (ModelBlessing)
                and `evaluation_<name>` (ModelEvaluation), with `_` for `-` in names.
            output_dict: `model` (Model), a copy of the winner, with the SHA-256 of its files as `files`;
                `blessing` (ModelBlessing), not blessed where there is none; `report` (OptimizationReport).
            exec_properties: `candidates` and `select`, both JSON.
        """
        options = json.loads(exec_properties["select"])
        verdicts, blessed, models = {}, {}, {}
        for name in json.loads(exec_properties["candidates"]):
            key = name.replace("-", "_")
            evaluation = artifact_utils.get_single_uri(input_dict[f"evaluation_{key}"])
            with open(os.path.join(evaluation, VERDICT_FILE), encoding="utf-8") as file:
                verdicts[name] = json.load(file)
            blessing = artifact_utils.get_single_instance(input_dict[f"blessing_{key}"])
            blessed[name] = blessing.get_int_custom_property("blessed") == 1
            models[name] = artifact_utils.get_single_uri(input_dict[f"model_{key}"])
        winner = select(verdicts, blessed, options)
        self._write_report(output_dict, build_report(verdicts, winner, options))
        bless(artifact_utils.get_single_instance(output_dict["blessing"]), winner is not None)
        model = artifact_utils.get_single_instance(output_dict["model"])
        os.makedirs(model.uri, exist_ok=True)
        model.set_string_custom_property("candidate", winner or "")
        if winner:
            shutil.copytree(models[winner], model.uri, dirs_exist_ok=True)
            digests = file_hashes.model_digests(model.uri)
            model.set_string_custom_property(file_hashes.FILES, file_hashes.as_property(digests))

    def _write_report(self, output_dict: dict[str, list[Any]], report: dict[str, Any]) -> None:
        artifact = artifact_utils.get_single_instance(output_dict["report"])
        json_file.write(os.path.join(artifact.uri, REPORT_FILE), report)
        artifact.set_string_custom_property("winner", report["winner"] or "")
        artifact.set_int_custom_property("candidates", len(report["candidates"]))
        passed = sum(verdict["blessed"] for verdict in report["candidates"].values())
        artifact.set_int_custom_property("passed", passed)
