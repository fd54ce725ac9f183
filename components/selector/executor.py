"""Picks the winner among the candidates that passed."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.common.base import file_hashes
from components.common.base.blessing import bless
from components.common.base.errors import ParedownError
from components.evaluator.judgement import Failure, FailureKind
from components.evaluator.judging import conclude
from components.evaluator.verdict import VERDICT_FILE, Verdict
from components.selector.choice import select
from components.selector.params import SelectOptions
from components.selector.report import REPORT_FILE, SelectorReport


class NotJudgedError(ParedownError):
    """It is not known which files a verdict is on."""


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
                and `evaluation_<name>` (ModelEvaluation), with `_` for `-` in names. A candidate whose evaluation
                is missing did not pass: a node before it failed.
            output_dict: `model` (Model), a copy of the winner, with the SHA-256 of its files as `files` and
                `judged`;
                `blessing` (ModelBlessing), not blessed if there is none; `report` (OptimizationReport).
            exec_properties: `candidates` and `select`, both JSON.
        """
        options = SelectOptions.model_validate_json(exec_properties["select"])
        verdicts, blessed, models = {}, {}, {}
        for name in json.loads(exec_properties["candidates"]):
            key = name.replace("-", "_")
            if not input_dict.get(f"evaluation_{key}"):
                failure = Failure(
                    FailureKind.NODE_FAILED, "it was not judged, because an earlier node failed"
                )
                verdicts[name] = conclude((), failures=[failure])
                blessed[name] = False
                continue
            evaluation = artifact_utils.get_single_uri(input_dict[f"evaluation_{key}"])
            verdicts[name] = Verdict.read(os.path.join(evaluation, VERDICT_FILE))
            blessing = artifact_utils.get_single_instance(input_dict[f"blessing_{key}"])
            blessed[name] = blessing.get_int_custom_property("blessed") == 1
            models[name] = artifact_utils.get_single_uri(input_dict[f"model_{key}"])
        winner = select(verdicts, blessed, options)
        self._write_report(output_dict, SelectorReport(winner, options, verdicts))
        bless(artifact_utils.get_single_instance(output_dict["blessing"]), winner is not None)
        model = artifact_utils.get_single_instance(output_dict["model"])
        os.makedirs(model.uri, exist_ok=True)
        model.set_string_custom_property("candidate", winner or "")
        if winner:
            judged = verdicts[winner].judged
            if not judged:
                raise NotJudgedError(
                    f"the verdict on {winner} does not say which files were judged; run again"
                )
            shutil.copytree(models[winner], model.uri, dirs_exist_ok=True)
            # Hashes of the copy, which is used from here on; the winner's own files may change at any time.
            digests = file_hashes.model_digests(model.uri)
            file_hashes.refuse_change(
                models[winner],
                judged,
                digests,
                f"{winner} was judged with other files; run again, and the changed node runs again",
            )
            model.set_string_custom_property(file_hashes.FILES, file_hashes.as_property(digests))
            model.set_string_custom_property(file_hashes.JUDGED, file_hashes.as_property(judged))

    def _write_report(self, output_dict: dict[str, list[Any]], report: SelectorReport) -> None:
        artifact = artifact_utils.get_single_instance(output_dict["report"])
        report.write(os.path.join(artifact.uri, REPORT_FILE))
        artifact.set_string_custom_property("winner", report.winner or "")
        artifact.set_int_custom_property("candidates", len(report.candidates))
        artifact.set_int_custom_property("passed", len(report.passed))
