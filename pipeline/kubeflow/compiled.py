"""A compiled pipeline, and the file that is written of it. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.config.kubeflow_options import Target
from pipeline.kubeflow.parameters import RunParameter

# Texts that YAML 1.1 or 1.2 reads as another type.
_NUMBER_OR_BOOLEAN = re.compile(
    r"[-+]?(\d[\d_]*)?\.?[\d_]*([eE][-+]?\d+)?|[-+]?0[xob][\da-fA-F_]+|[-+]?\.(inf|nan)|[yn]|~",
    re.IGNORECASE | re.ASCII,
)


class _Dumper(yaml.SafeDumper):
    """Writes YAML that both of its versions read alike.

    PyYAML follows YAML 1.1, where 12e34567 is text. KFP's backend reads 1.2, where it is a number, and one version of
    code in 300 looks like that.
    """


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if _NUMBER_OR_BOOLEAN.fullmatch(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        target: What it is compiled for.
        job: As KFP's `PipelineJob`, in JSON values.
        platform: KFP's `PlatformSpec` for Kubernetes, in JSON values; empty if it is not needed.
        parameters: What may differ from run to run.
    """

    target: Target
    job: dict[str, Any]
    platform: dict[str, Any]
    parameters: tuple[RunParameter, ...]

    @property
    def spec(self) -> dict[str, Any]:
        """KFP's `PipelineSpec`, in JSON values."""
        return self.job["pipelineSpec"]

    def text(self) -> str:
        """The file's content: YAML for Kubeflow, JSON for Vertex AI. The same pipeline, the same text."""
        if self.target == "vertex":
            return json.dumps(self.job, indent=2, sort_keys=True) + "\n"
        documents = [self.spec, *([self.platform] if self.platform else [])]
        return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=110)
