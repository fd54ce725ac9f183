"""Figures of a model server under load. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from components.measurer.comparison import Interval

Protocol = Literal["REST", "gRPC"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True)
class Mode:
    """How a server is asked.

    Attributes:
        protocol: The protocol of all requests.
        batched: Whether the server makes batches of requests.
    """

    protocol: Protocol
    batched: bool

    @property
    def title(self) -> str:
        """As people read it: `gRPC, batched`."""
        return f"{self.protocol}, {'batched' if self.batched else 'unbatched'}"

    @property
    def key(self) -> str:
        """As a part of a property's name: `grpc_batched`."""
        return self.title.lower().replace(", ", "_")


MODES = tuple(Mode(protocol, batched) for batched in (False, True) for protocol in PROTOCOLS)

# Name of each figure for people → its name as a property in ML Metadata.
FIGURES = {
    **{
        f"{figure} ratio ({mode.title})": f"{figure}_ratio_{mode.key}"
        for mode in MODES
        for figure in ("throughput", "p99")
    },
    **{f"answers by {one} that differ": f"differing_answers_{one.lower()}" for one in PROTOCOLS},
}


@dataclass(frozen=True)
class LoadFigures:
    """A model under load.

    Attributes:
        requests: Requests of one example each.
        throughput: Requests a second.
        p99: 99th percentile of the milliseconds from a request to its answer.
    """

    requests: int
    throughput: float
    p99: float


@dataclass(frozen=True)
class ModeLoad(Mode):
    """Candidate and baseline in one mode, in turns.

    Attributes:
        candidate: The candidate's figures.
        baseline: The baseline's.
        throughput_interval: 95 % interval of the ratio of requests a second.
        p99_interval: The same of the ratio of the 99th percentiles.
        compared: Answers of both that were compared with the interpreter's predictions.
        differing: Of these, the ones that are not the same to the bit.
    """

    candidate: LoadFigures
    baseline: LoadFigures
    throughput_interval: Interval
    p99_interval: Interval
    compared: int
    differing: int

    @property
    def throughput_ratio(self) -> float:
        """The candidate's requests a second / the baseline's."""
        return self.candidate.throughput / self.baseline.throughput

    @property
    def p99_ratio(self) -> float:
        """The candidate's 99th percentile / the baseline's."""
        return self.candidate.p99 / self.baseline.p99


@dataclass(frozen=True)
class ServedLoad:
    """Candidate and baseline on a model server on this machine.

    Attributes:
        clients: Clients that ask all at once, without a pause.
        threads: Batches that the server predicts at once.
        max_batch: Most examples of a batch in the modes that are batched.
        examples: Eval examples that requests are made of.
        modes: Figures of each mode.
    """

    clients: int
    threads: int
    max_batch: int
    examples: int
    modes: tuple[ModeLoad, ...]

    def mode(self, key: str) -> ModeLoad | None:
        """The figures of a mode by its key."""
        return next((mode for mode in self.modes if mode.key == key), None)

    def compared(self, protocol: Protocol) -> int:
        """Answers by a protocol that were compared with the interpreter's predictions."""
        return sum(mode.compared for mode in self.modes if mode.protocol == protocol)

    def differing(self, protocol: Protocol) -> int:
        """The answers among these that are not bit-identical."""
        return sum(mode.differing for mode in self.modes if mode.protocol == protocol)

    def properties(self) -> dict[str, float]:
        """The figures by the names that `FIGURES` gives them."""
        found: dict[str, float] = {}
        for mode in self.modes:
            found[f"throughput_ratio_{mode.key}"] = mode.throughput_ratio
            found[f"p99_ratio_{mode.key}"] = mode.p99_ratio
        return {**found, **{f"differing_answers_{one.lower()}": self.differing(one) for one in PROTOCOLS}}

    @property
    def text(self) -> str:
        """The candidate's figures in one line."""
        shown = [
            f"{mode.title} {mode.candidate.throughput:,.0f} requests/s ({mode.throughput_ratio:.3f} ×), "
            f"p99 {mode.candidate.p99:.1f} ms ({mode.p99_ratio:.3f} ×)"
            for mode in self.modes
        ]
        return f"served to {self.clients} clients: {'; '.join(shown)}"
