"""The winners of several targets, and why they differ. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.common.base.quantities import bytes_text
from components.selector.choice import accuracy_of, figure
from components.selector.report import SelectorReport


@dataclass(frozen=True)
class Outcome:
    """The result of a run for one target.

    Attributes:
        report: Every verdict, and the winner.
        left_out: Candidate that the target cannot run → why.
        pushed: Folder of the pushed version; None if no candidate passed.
        run: Id of the run.
        page: File of its report, if there is one.
    """

    report: SelectorReport
    left_out: Mapping[str, str]
    pushed: str | None
    run: str
    page: str | None = None

    @property
    def winner(self) -> str | None:
        """The selected candidate; None if none passed."""
        return self.report.winner

    def why(self, candidate: str) -> str:
        """Why a candidate is selected on this target, or why not."""
        if candidate in self.left_out:
            return f"not for this target: {self.left_out[candidate]}"
        verdict = self.report.candidates.get(candidate)
        if verdict is None:
            return "not judged"
        if not verdict.blessed:
            return f"failed: {verdict.reasons[0]}"
        mine = self._value(candidate)
        if candidate == self.winner:
            return f"selected: {self._by} {mine}, best of {len(self.report.passed)} that passed"
        return f"passed: {self._by} {mine}, {self.winner} has {self._value(self.winner or '')}"

    @property
    def _by(self) -> str:
        return self.report.select.minimized or "accuracy"

    def _value(self, candidate: str) -> str:
        verdict, select = self.report.candidates[candidate], self.report.select
        name = select.minimize or "accuracy"
        value = figure(verdict, name, select.of)
        if value is None:
            return "–"
        if name in ("accuracy", "latency"):
            return f"{value:.4f}" if name == "accuracy" else f"{value:.3f} ×"
        accuracy = accuracy_of(verdict, select.of)
        judged = (
            f" (accuracy {accuracy.candidate:.4f})" if accuracy and accuracy.candidate is not None else ""
        )
        return f"{bytes_text(value)}{judged}"


@dataclass(frozen=True)
class Winners:
    """The outcome on each target.

    Attributes:
        targets: Kind → its outcome, in the order of the config.
    """

    targets: dict[str, Outcome]

    def rows(self) -> list[tuple[str, ...]]:
        """Candidate, and for each target why it is selected or not; winners of any target first."""
        names = dict.fromkeys(
            name for one in self.targets.values() for name in (*one.report.candidates, *one.left_out)
        )
        won = {one.winner for one in self.targets.values()}
        ordered = sorted(names, key=lambda name: name not in won)
        return [(name, *(one.why(name) for one in self.targets.values())) for name in ordered]

    def show(self, console: Console) -> None:
        """Prints the winner of each target, and why each candidate is it or not."""
        table = Table(box=box.SIMPLE_HEAD, title="Winner of each target", title_justify="left")
        table.add_column("candidate", overflow="fold")
        for kind, outcome in self.targets.items():
            table.add_column(f"{kind}: {outcome.winner or 'none passed'}", overflow="fold")
        for name, *reasons in self.rows():
            won = [outcome.winner == name for outcome in self.targets.values()]
            cells = [Text(text, "green" if here else "") for text, here in zip(reasons, won, strict=True)]
            table.add_row(Text(name), *cells)
        console.print(table)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            kind: {
                "winner": outcome.winner,
                "pushed": outcome.pushed,
                "run": outcome.run,
                "report": outcome.page,
                "why": {row[0]: outcome.why(row[0]) for row in self.rows()},
            }
            for kind, outcome in self.targets.items()
        }

    def html(self, name: str) -> str:
        """A page with the same table, which links to the report of each target.

        Args:
            name: The pipeline's.
        """
        heads = "".join(
            f"<th>{_link(kind, outcome.page)}: {escape(outcome.winner or 'none passed')}"
            for kind, outcome in self.targets.items()
        )
        rows = "".join(
            f"<tr><th>{escape(candidate)}"
            + "".join(
                f"<td{' class=won' if outcome.winner == candidate else ''}>{escape(text)}"
                for text, outcome in zip(reasons, self.targets.values(), strict=True)
            )
            for candidate, *reasons in self.rows()
        )
        return _PAGE.format(name=escape(name), heads=heads, rows=rows)


def _link(kind: str, page: str | None) -> str:
    if page is None:
        return escape(kind)
    return f'<a href="{escape(page.rpartition("/")[2])}">{escape(kind)}</a>'


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{name}: winner of each target</title>
<style>
  body {{font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark}}
  table {{border-collapse: collapse}}
  th, td {{border-bottom: 1px solid #8888; padding: .4rem 1rem .4rem 0; text-align: left; vertical-align: top}}
  .won {{font-weight: bold}}
</style>
<h1>{name}: winner of each target</h1>
<table><thead><tr><th>candidate{heads}</thead><tbody>{rows}</tbody></table>
</html>
"""
