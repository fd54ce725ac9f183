"""Judging a model server under load; see components.measurer.server_load."""

from __future__ import annotations

from components.evaluator.judgement import Judgement, answers_figure, load_figure
from components.evaluator.judging import judge_figure
from components.evaluator.params import Gate
from components.measurer.served_load import MODES, PROTOCOLS, ServedLoad


def judge(found: ServedLoad | None, gate: Gate) -> list[Judgement]:
    """A judgement for each limit in each mode, and for each protocol one on its answers.

    Args:
        found: The figures; None if the target is not a server, or they were not measured.
        gate: The limits.
    """
    judgements: list[Judgement] = []
    for protocol in PROTOCOLS if found else ():
        value = found.differing(protocol) if found and found.compared(protocol) else None
        judgements += judge_figure(answers_figure(protocol), {"max": 0.0}, value, None, ascending=False)
    for section, of, limits in gate.load():
        for mode in MODES:
            load = found.mode(mode.key) if found else None
            judgements += judge_figure(
                load_figure(of, mode.title),
                limits.bounds(),
                getattr(load.candidate, of) if load else None,
                getattr(load.baseline, of) if load else None,
                ascending=of == "throughput",
                ratio=getattr(load, f"{of}_interval") if load else None,
                section=section,
            )
    return judgements
