"""Paredown in Python, for notebooks and tests: `import paredown` is this package.

What is here is imported when it is used: `import paredown` imports neither TensorFlow nor TFX. See docs/api.md.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.common.base.errors import ParedownError as ParedownError
    from components.evaluator.judgement import Judgement as Judgement
    from components.evaluator.verdict import Verdict as Verdict
    from pipeline.api.configs import load as load
    from pipeline.api.explaining import Explained as Explained
    from pipeline.api.explaining import explain as explain
    from pipeline.api.inspecting import Inspected as Inspected
    from pipeline.api.inspecting import inspect as inspect
    from pipeline.api.listing import Runs as Runs
    from pipeline.api.listing import runs as runs
    from pipeline.api.planning import Planned as Planned
    from pipeline.api.planning import plan as plan
    from pipeline.api.reviewing import read_run as read_run
    from pipeline.api.reviewing import write_report as write_report
    from pipeline.api.running import FinishedOnEach as FinishedOnEach
    from pipeline.api.running import RunStopped as RunStopped
    from pipeline.api.running import run as run
    from pipeline.api.running import run_each as run_each
    from pipeline.api.searching import search as search
    from pipeline.api.targeting import Targets as Targets
    from pipeline.api.targeting import targets as targets
    from pipeline.config.config_file import ConfigFile as ConfigFile
    from pipeline.config.problem import ConfigError as ConfigError
    from pipeline.config.problem import InvalidInput as InvalidInput
    from pipeline.report.data import ReportData as ReportData
    from pipeline.run.session import Finished as Finished
    from pipeline.search.search import Searched as Searched
    from pipeline.store.records import Run as Run

# Name → the module that has it. Modules go by their whole names: installed as `paredown`, this file is not in
# the package `pipeline`, and each class must exist once.
_MODULES = {
    "ConfigError": "pipeline.config.problem",
    "ConfigFile": "pipeline.config.config_file",
    "Explained": "pipeline.api.explaining",
    "Finished": "pipeline.run.session",
    "FinishedOnEach": "pipeline.api.running",
    "Inspected": "pipeline.api.inspecting",
    "InvalidInput": "pipeline.config.problem",
    "Judgement": "components.evaluator.judgement",
    "ParedownError": "components.common.base.errors",
    "Planned": "pipeline.api.planning",
    "ReportData": "pipeline.report.data",
    "Run": "pipeline.store.records",
    "RunStopped": "pipeline.api.running",
    "Runs": "pipeline.api.listing",
    "Searched": "pipeline.search.search",
    "Targets": "pipeline.api.targeting",
    "Verdict": "components.evaluator.verdict",
    "explain": "pipeline.api.explaining",
    "inspect": "pipeline.api.inspecting",
    "load": "pipeline.api.configs",
    "plan": "pipeline.api.planning",
    "read_run": "pipeline.api.reviewing",
    "run": "pipeline.api.running",
    "run_each": "pipeline.api.running",
    "runs": "pipeline.api.listing",
    "search": "pipeline.api.searching",
    "targets": "pipeline.api.targeting",
    "write_report": "pipeline.api.reviewing",
}

__all__ = list(_MODULES)

# TFMOT refuses Keras 3 models, and TensorFlow decides for one of the two when it is imported.
os.environ["TF_USE_LEGACY_KERAS"] = "1"


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
