"""The interface of a kind of target to the rest of the program. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from components.common.base.installed import version_or_none
from components.common.base.load_options import LoadOptions
from components.common.base.npu_options import NpuOptions
from components.common.base.options import Options
from components.common.base.runtime import Runtime
from components.common.tflite.arena import Arena

# Sections of the gate that only some targets measure.
DeviceFigure = Literal["memory", "flash", "same_prediction", "throughput", "p99", "brotli_size"]


class TargetOptions(Options):
    """Options of a target. Each subclass has `kind`, a Literal that names it."""

    kind: str

    @property
    def npu_options(self) -> NpuOptions | None:
        """The NPU that candidates are compiled for; None for most targets."""
        return None

    @property
    def load_options(self) -> LoadOptions | None:
        """How candidates are asked on a model server; None for most targets."""
        return None


@dataclass(frozen=True)
class Unsupported:
    """A value of an option of `convert` that gives a file which the target cannot run.

    Attributes:
        option: `quantization`, or another option.
        value: The value; of a list, one of its items.
        why: Why not, and what to write instead.
    """

    option: str
    value: object
    why: str

    def found_in(self, options: Mapping[str, Any]) -> bool:
        """Whether a step's options have it."""
        written = options.get(self.option)
        return self.value in written if isinstance(written, list) else written == self.value


@dataclass(frozen=True)
class Advice:
    """Whether a technique pays on a target.

    Attributes:
        technique: What to write in a chain.
        pays: Whether it does.
        why: What becomes better, or why nothing does.
    """

    technique: str
    pays: bool
    why: str


@dataclass(frozen=True)
class Examined:
    """Result of the target's runtime for a file that was converted before anything is trained.

    Attributes:
        memory: What it takes; None if it does not load.
        operator: The operator at fault; empty if there is none.
        refusal: Why it does not load, and what to write instead; empty if it does.
        flash: Bytes of the file that is deployed; None if it is the plain one, whose bytes are predicted by its types.
        packed: How each kernel is stored if the file is packed, a few words each.
        notes: What may go wrong on the target although the file loads, and what to write.
    """

    memory: Arena | None
    operator: str = ""
    refusal: str = ""
    flash: int | None = None
    packed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A kind of target.

    Attributes:
        options: Model of its options, which names it.
        runtime: What the gate predicts on.
        summary: A short description.
        measures: What the gate measures for it, a phrase each.
        package: The package that has the runtime; empty if every installation has it.
        install: How to install that.
        installation: Dotted path of a module with functions `version` and `key`, which say what is installed, for
            people and for the cache, and `missing`, which says what to run, if that is not a package of Python.
        figures: Sections of the gate that it measures and others do not.
        limits: Figure in bytes → the option that is the default of its `max`.
        unsupported: What `convert` may not be asked for.
        examination: Dotted path of the function that loads a file of an untrained model; it takes the file's bytes
            and the target's NPU, if it has one, and returns an `Examined`. Empty if there is nothing to look at.
        pushes: Option of `push` that belongs to it → dotted path of a function that takes the TFLite file's bytes
            and an existing folder, and writes files into it. If the option is a mapping, it takes that as `options`.
        pushes_example: The options of `push` among these whose function takes eval examples, as `data`: see
            components.pusher.beside.
        advice: Which techniques pay.
        fixed_batch: Whether files are converted with a batch of 1.
        packs: Whether it runs files that `convert: {pack: …}` packs.
        threads: Threads of its runtime, on which latency is measured; None if `gate.latency.threads` sets them.
        searched: Options of `convert` in the space of a search without one of its own, as `search.space` takes them.
        float_layers: What layers in float in an int8 file cost there; empty if nothing beside bytes and time.
    """

    options: type[TargetOptions]
    runtime: Runtime
    summary: str
    measures: tuple[str, ...]
    package: str = ""
    install: str = ""
    installation: str = ""
    figures: tuple[DeviceFigure, ...] = ()
    limits: Mapping[DeviceFigure, str] = field(default_factory=dict)
    unsupported: tuple[Unsupported, ...] = ()
    examination: str = ""
    pushes: Mapping[str, str] = field(default_factory=dict)
    pushes_example: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
    fixed_batch: bool = False
    packs: bool = False
    threads: int | None = None
    searched: Mapping[str, Any] = field(default_factory=lambda: {"quantization": "int8"})
    float_layers: str = ""

    @property
    def kind(self) -> str:
        """Its name in a config."""
        return str(self.options.model_fields["kind"].default)

    def installed(self) -> str | None:
        """Version of its package; empty if it needs none, None if it is not installed."""
        if self.installation:
            return self._asked("version")
        return version_or_none(self.package) if self.package else ""

    def install_command(self) -> str:
        """What to run so that its runtime is installed."""
        if not self.installation:
            return self.install
        commands: list[str] = importlib.import_module(self.installation).missing()
        return "; ".join(commands)

    def cache_version(self) -> str | None:
        """As `installed`, with what else of the runtime decides about results."""
        return self._asked("key") if self.installation else self.installed()

    def _asked(self, function: str) -> str | None:
        answer: str | None = getattr(importlib.import_module(self.installation), function)()
        return answer
