"""Which processes do Beam's work: the task itself, or workers elsewhere."""

from __future__ import annotations

_LOCAL = frozenset(
    {
        "BundleBasedDirectRunner",
        "DirectRunner",
        "FnApiRunner",
        "PrismRunner",
        "SwitchingDirectRunner",
    }
)


def remote_runner(beam_args: list[str]) -> str | None:
    """The Beam runner in Beam's pipeline options, if its workers are other processes than the task."""
    runner = None
    for argument in beam_args:
        name, _, value = argument.partition("=")
        if name == "--runner":
            runner = value.rpartition(".")[2]
    return None if runner is None or runner in _LOCAL else runner


def asks_for_workers(beam_args: list[str]) -> bool:
    """Whether Beam's pipeline options ask for more processes than the task's own."""
    direct = ("--direct_num_workers", "--direct_running_mode")
    return remote_runner(beam_args) is not None or any(one.startswith(direct) for one in beam_args)
