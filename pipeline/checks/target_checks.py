"""Problems with a target that the config alone shows: steps that it cannot run, limits that it does not have. Imports
neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.common.base.installed import version_or_none
from components.common.base.npu_options import COMPILER
from components.common.tfjs import installation as tfjs_installation
from components.targets.registry import TARGETS
from components.tflite_converter.params import ConvertOptions
from pipeline.config.config import Config
from pipeline.config.problem import Problem


def check(config: Config) -> Iterator[Problem]:
    """A problem for each option of a conversion that gives a file which the target does not load."""
    for name, chain in config.candidates.items():
        steps = chain.steps()
        options = steps[-1].model_dump(mode="json")
        for unsupported in config.target_kind.unsupported:
            if unsupported.found_in(options):
                at = ("candidates", name, len(steps) - 1, steps[-1].technique, unsupported.option)
                yield Problem(f"cannot run on target: {config.target.kind}: {unsupported.why}", at)


def check_packing(config: Config) -> Iterator[Problem]:
    """A problem for each conversion that packs a file which the target does not run packed."""
    if not config.target_kind.packs:
        kinds = " or ".join(kind for kind, target in TARGETS.items() if target.packs)
        why = (
            f"packed files run on target: {kinds}, and the target is {config.target.kind}; write target: {kinds}, or "
            "remove pack"
        )
    elif config.target.npu_options is not None:
        why = "Vela compiles the plain file for the NPU, and compresses its weights itself; remove pack"
    else:
        return
    for name, chain in config.candidates.items():
        steps = chain.steps()
        last = steps[-1]
        if isinstance(last, ConvertOptions) and last.pack is not None:
            yield Problem(why, ("candidates", name, len(steps) - 1, last.technique, "pack"))


def check_tfjs(config: Config, functions: Iterable[str] | None) -> Iterator[Problem]:
    """A problem for each candidate that TensorFlow.js cannot run, if one is pushed for it.

    Args:
        config: A valid config.
        functions: Names that the model module defines, if they are known.
    """
    if config.push.tfjs is None:
        return
    if "preprocessing_fn" in (functions or ()):
        yield Problem(
            "is not for a model module with preprocessing_fn, whose pushed SavedModel takes raw features; remove it",
            ("push", "tfjs"),
        )
    for name, chain in config.candidates.items():
        for index, step in enumerate(chain.steps()):
            if step.quantization_aware:
                yield Problem(
                    "leaves operators that quantize while running, which are not for TensorFlow.js; remove the step, "
                    "or push.tfjs",
                    ("candidates", name, index, step.technique),
                )


def check_installed(config: Config) -> Iterator[Problem]:
    """A problem if the target's runtime is not installed."""
    target = config.target_kind
    if target.installed() is None:
        yield Problem(
            f"{target.kind} needs {target.package}, which is not installed; run: {target.install_command()}",
            ("target",),
        )
    if config.push.tfjs is not None and (commands := tfjs_installation.missing()):
        why = f"needs the converter to TensorFlow.js, which is not installed; run: {'; '.join(commands)}"
        yield Problem(why, ("push", "tfjs"))
    if config.target.npu_options is not None and version_or_none(COMPILER) is None:
        yield Problem(
            f"npu needs {COMPILER}, which is not installed; run: pip install {COMPILER}", ("target", "npu")
        )
