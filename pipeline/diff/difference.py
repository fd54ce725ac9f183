"""Differences between two runs, and what is not known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.lineage import run_facts
from pipeline.lineage.run_facts import RunFacts
from pipeline.plan.node import SELECTOR
from pipeline.store.reader import Reader
from pipeline.store.records import Execution, Run

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
EQUAL, DIFFERENT, UNKNOWN = "equal", "different", "unknown"

SECTIONS = ("config", "code", "environment", "data", "seeds", "nodes", "metrics", "verdicts")

_CODE_PARAMETERS = ("code_version", "module_version")
_VERDICT_FIGURES = ("passed", "reasons")


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        group: The node, candidate or split that it is about, in sections about several.
        key: Dotted, as `--set` takes it: `gate.size.max_ratio`, `candidates.int8.0.convert.io`.
        kind: `added` if only the second run has it, `removed` if only the first has, or `changed`.
        before: Value in the first run; None if it has none.
        after: Value in the second.
    """

    group: str
    key: str
    kind: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Section:
    """One aspect of two runs.

    Attributes:
        name: One of SECTIONS.
        changes: The differences.
        unknown: What cannot be compared, and why.
    """

    name: str
    changes: tuple[Change, ...]
    unknown: tuple[str, ...]

    @property
    def state(self) -> str:
        """`different`, `equal`, or `unknown` if no difference is known but not everything could be compared."""
        if self.changes:
            return DIFFERENT
        return UNKNOWN if self.unknown else EQUAL


@dataclass(frozen=True)
class RunDiff:
    """Two runs and what differs.

    Attributes:
        first: The run that is compared with.
        second: The run that is compared.
        sections: One for each of SECTIONS, in that order.
    """

    first: Run
    second: Run
    sections: tuple[Section, ...]

    @property
    def equal(self) -> bool:
        """Whether all is known and nothing differs."""
        return all(section.state == EQUAL for section in self.sections)

    def section(self, name: str) -> Section:
        """The section of a name."""
        return next(section for section in self.sections if section.name == name)


def diff(first_reader: Reader, first: Run, second_reader: Reader, second: Run) -> RunDiff:
    """Compares two runs, of one store or of two.

    Args:
        first_reader: Reader of the store that has the first run.
        first: The run that is compared with.
        second_reader: Reader of the store that has the second run.
        second: The run that is compared.
    """
    return compare(run_facts.read(first_reader, first), run_facts.read(second_reader, second))


def compare(first: RunFacts, second: RunFacts) -> RunDiff:
    """Compares what is known of two runs."""
    compared = {
        "config": _document("config", first, second),
        "code": _code(first, second),
        "environment": _document("environment", first, second),
        "data": _data(first, second),
        "seeds": _seeds(first, second),
        "nodes": (list(_nodes(first, second)), []),
        "metrics": _candidates(first, second, verdicts=False),
        "verdicts": _verdicts(first, second),
    }
    sections = (
        Section(name, tuple(found), tuple(dict.fromkeys(unknown)))
        for name, (found, unknown) in compared.items()
    )
    return RunDiff(first.run, second.run, tuple(sections))


def changes(before: Any, after: Any, key: str = "", group: str = "") -> Iterator[Change]:
    """Compares JSON values key by key.

    Dictionaries are compared by key and lists of dictionaries by index; anything else is one value. What
    only one side has is one change, however much is below it.

    Args:
        before: Value of the first run.
        after: Value in the second.
        key: Dotted key of the values.
        group: For the changes.
    """
    pairs = _pairs(before, after)
    if pairs is None:
        # As in JSON, and unlike Python, 1 and true are different values.
        if before != after or isinstance(before, bool) != isinstance(after, bool):
            yield Change(group, key, CHANGED, before, after)
        return
    for name, (old, new) in pairs.items():
        dotted = f"{key}.{name}" if key else str(name)
        if new is _MISSING:
            yield Change(group, dotted, REMOVED, old, None)
        elif old is _MISSING:
            yield Change(group, dotted, ADDED, None, new)
        else:
            yield from changes(old, new, dotted, group)


_MISSING = object()


def _pairs(before: Any, after: Any) -> dict[Any, tuple[Any, Any]] | None:
    if isinstance(before, list) and isinstance(after, list):
        if not all(isinstance(item, dict) for item in [*before, *after]):
            return None
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    keys = dict.fromkeys([*before, *after])
    return {key: (before.get(key, _MISSING), after.get(key, _MISSING)) for key in keys}


Compared = tuple[Iterable[Change], Iterable[str]]


def _document(kind: str, first: RunFacts, second: RunFacts) -> Compared:
    before, after = getattr(first, kind), getattr(second, kind)
    if _is_same_document(kind, first, second):
        return [], []
    if before is not None and after is not None:
        return changes(before, after), []
    return [], [_not_known(kind, facts) for facts in (first, second) if getattr(facts, kind) is None]


def _is_same_document(kind: str, first: RunFacts, second: RunFacts) -> bool:
    digest = getattr(first.run, f"{kind}_hash")
    return bool(digest) and digest == getattr(second.run, f"{kind}_hash")


def _not_known(kind: str, facts: RunFacts) -> str:
    digest = getattr(facts.run, f"{kind}_hash")
    if digest:
        return f"the {kind} of {facts.run.id}, {digest[:12]}, is not in the store"
    return f"the {kind} of {facts.run.id} was not recorded"


def _code(first: RunFacts, second: RunFacts) -> Compared:
    found: list[Change] = []
    unknown = [
        f"Git commit and Paredown version of {facts.run.id} were not recorded"
        for facts in (first, second)
        if not facts.run.recorded
    ]
    if not unknown:
        for key in ("version", "git_commit", "git_dirty"):
            name = {"version": "paredown", "git_commit": "commit", "git_dirty": "uncommitted changes"}[key]
            found += changes(getattr(first.run, key), getattr(second.run, key), name)
        unknown += [
            f"{facts.run.id} ran outside a Git repository"
            for facts in (first, second)
            if not facts.run.git_commit
        ]
        if first.run.git_dirty and second.run.git_dirty and first.run.git_commit == second.run.git_commit:
            unknown.append("both runs had uncommitted changes, which the commit does not show")
    for node, before, after in _common(first, second):
        mine, other = (
            {key: value for key, value in _flat(each.properties).items() if _is_code(key)}
            for each in (before, after)
        )
        found += changes(mine, other, "", node)
    return found, unknown


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key → value that is not a dictionary."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            found.update(_flat(item, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = item
    return found


def _is_code(key: str) -> bool:
    return key.rpartition(".")[2] in _CODE_PARAMETERS


def _data(first: RunFacts, second: RunFacts) -> Compared:
    found: list[Change] = []
    unknown: list[str] = []
    if _is_same_document("data", first, second):
        pass
    elif first.data is not None and second.data is not None:
        for split in dict.fromkeys([*first.data, *second.data]):
            before, after = _files(first.data, split), _files(second.data, split)
            found += changes(before, after, "", split)
    else:
        unknown += [_not_known("data", facts) for facts in (first, second) if facts.data is None]
    if first.fingerprint is not None and second.fingerprint is not None:
        for change in changes(first.fingerprint, second.fingerprint):
            split, _, key = change.key.partition(".")
            name = f"fingerprint.{key}" if key else "fingerprint"
            found.append(dataclasses.replace(change, group=split, key=name))
    else:
        unknown += [
            f"{facts.run.id} recorded no fingerprint of its data"
            for facts in (first, second)
            if facts.fingerprint is None
        ]
    return found, unknown


def _files(data: dict[str, list[dict[str, Any]]], split: str) -> dict[str, str]:
    return {
        file["file"]: f"{file['bytes']:,} bytes, SHA-256 {file['sha256']}" for file in data.get(split, [])
    }


def _seeds(first: RunFacts, second: RunFacts) -> Compared:
    unknown = [
        f"the seed of {facts.run.id} was not recorded" for facts in (first, second) if facts.seed is None
    ]
    return ([], unknown) if unknown else (changes(first.seed, second.seed, "run.seed"), [])


def _common(first: RunFacts, second: RunFacts) -> Iterator[tuple[str, Execution, Execution]]:
    for name, node in first.nodes.items():
        if name in second.nodes:
            yield name, node, second.nodes[name]


def _nodes(first: RunFacts, second: RunFacts) -> Iterator[Change]:
    """Nodes that only one run has, and parameters that differ; versions of code are in the section `code`."""
    for name in dict.fromkeys([*first.nodes, *second.nodes]):
        if name not in second.nodes:
            yield Change(name, "", REMOVED, first.nodes[name].type, None)
        elif name not in first.nodes:
            yield Change(name, "", ADDED, None, second.nodes[name].type)
    for name, before, after in _common(first, second):
        yield from changes(before.type, after.type, "component", name)
        for change in changes(before.properties, after.properties, "", name):
            if not _is_code(change.key) and change.key != "input_fingerprint":
                yield change


def _candidates(first: RunFacts, second: RunFacts, verdicts: bool) -> Compared:
    missing = [_no_candidates(facts) for facts in (first, second) if facts.candidates is None]
    if missing:
        return [], missing
    found: list[Change] = []
    for name in dict.fromkeys([*(first.candidates or ()), *(second.candidates or ())]):
        before, after = _figures(name, first, second), _figures(name, second, first)
        for change in changes(before, after, "", name):
            if (change.key in _VERDICT_FIGURES) == verdicts:
                found.append(change)
    unknown = [
        f"the report of {facts.run.id} was removed or is damaged; its record in ML Metadata was compared"
        for facts in (first, second)
        if facts.candidates_from == run_facts.PROPERTIES
    ]
    return found, unknown


def _figures(name: str, facts: RunFacts, other: RunFacts) -> dict[str, Any]:
    """A candidate's figures, as far as they can be compared with the other run's."""
    figures = (facts.candidates or {}).get(name, {})
    others = (other.candidates or {}).get(name, {})
    if other.candidates_from == run_facts.PROPERTIES and facts.candidates_from == run_facts.REPORT:
        return run_facts.as_properties_tell(figures, others or figures)
    return figures


def _no_candidates(facts: RunFacts) -> str:
    if SELECTOR in facts.nodes:
        return f"the report of {facts.run.id} was not found"
    return f"{facts.run.id} has no verdict"


def _verdicts(first: RunFacts, second: RunFacts) -> Compared:
    found: list[Change] = []
    for key in ("status", "failed_node", "reason", "winner", "pushed"):
        found += changes(getattr(first.run, key), getattr(second.run, key), key.replace("_", " "))
    of_candidates, unknown = _candidates(first, second, verdicts=True)
    return [*found, *of_candidates], unknown


def to_json(compared: RunDiff) -> dict[str, Any]:
    """The differences as JSON values.

    Returns:
        `first` and `second` (`id`, `pipeline`, `config_path`, `started`, `status`), `equal`, and
        `sections`: name → `state`, `changes` and `unknown`.
    """
    return {
        "first": _run_json(compared.first),
        "second": _run_json(compared.second),
        "equal": compared.equal,
        "sections": {
            section.name: {
                "state": section.state,
                "changes": [vars(change) for change in section.changes],
                "unknown": list(section.unknown),
            }
            for section in compared.sections
        },
    }


def _run_json(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "config_path": run.config_path,
        "started": run.started.isoformat(),
        "status": run.status,
    }
