"""Reads what the image is built from: Dockerfile and .dockerignore, by their reference.

https://docs.docker.com/reference/dockerfile/, https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: `RUN`, and what follows it, on one line."""

    name: str
    arguments: str

    def words(self) -> list[str]:
        """The arguments, split at blanks, or those of the JSON form."""
        if self.arguments.startswith("["):
            return json.loads(self.arguments)
        return self.arguments.split()

    def flags(self) -> dict[str, str]:
        """`--from=build` as {"from": "build"}."""
        given = (word[2:].partition("=") for word in self.words() if word.startswith("--"))
        return {name: value for name, _, value in given}


@dataclass
class Stage:
    """A stage: what it begins with, its name and its instructions, FROM left out."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """Its instructions of a name."""
        return [instruction for instruction in self.instructions if instruction.name == name]

    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        pairs = (word.partition("=") for entry in self.all("ENV") for word in entry.words())
        return {name: value for name, _, value in pairs}


@dataclass
class Dockerfile:
    """ARG instructions before the first stage, name → default; and the stages."""

    arguments: dict[str, str]
    stages: list[Stage]


def parse(text: str) -> Dockerfile:
    """Parses a Dockerfile without heredocs, which is refused."""
    found = Dockerfile({}, [])
    for instruction in _instructions(text):
        assert "<<" not in instruction.arguments, "heredocs are not read here"
        if instruction.name == "FROM":
            base, *name = instruction.words()
            assert name[:1] in ([], ["AS"])
            found.stages.append(Stage(base, name[1] if name else ""))
        elif found.stages:
            found.stages[-1].instructions.append(instruction)
        else:
            assert instruction.name == "ARG"
            name, _, default = instruction.arguments.partition("=")
            found.arguments[name] = default
    return found


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, arguments = line.strip().partition(" ")
        assert name.isupper(), line
        yield Instruction(name, arguments.strip())


class Ignored:
    """Which paths of a folder `.dockerignore` keeps from the builder."""

    def __init__(self, text: str):
        lines = [line.strip() for line in text.splitlines()]
        self._rules = [
            (line.startswith("!"), _regex(line.lstrip("!").strip("/")))
            for line in lines
            if line and not line.startswith("#")
        ]

    def __contains__(self, path: str) -> bool:
        """Whether it, or a folder that it is in, is ignored: of all rules that match the last counts."""
        parts = path.split("/")
        prefixes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        ignored = False
        for keeps, regex in self._rules:
            if any(regex.fullmatch(prefix) for prefix in prefixes):
                ignored = not keeps
        return ignored


def _regex(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match, and `**` for any number of folders."""
    out = ""
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            out += "(?:.*/)?"
            position += 3
        elif pattern[position] == "*":
            out += "[^/]*"
            position += 1
        elif pattern[position] == "[":
            end = pattern.index("]", position)
            out += pattern[position : end + 1]
            position = end + 1
        else:
            out += re.escape(pattern[position])
            position += 1
    return re.compile(out)


def copied(instruction: Instruction, root: Path, ignored: Ignored) -> Iterator[tuple[Path, str]]:
    """What a COPY from the folder of the Dockerfile copies.

    Args:
        instruction: It.
        root: That folder.
        ignored: Patterns of its .dockerignore.

    Yields:
        File, and where it goes, relative to the working directory.
    """
    *sources, target = [word for word in instruction.words() if not word.startswith("--")]
    for source in sources:
        path = root / source
        assert path.exists(), f"COPY {source}: there is no such file"
        files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
        for file in files:
            name = file.relative_to(root).as_posix()
            if name not in ignored:
                inside = file.name if path.is_file() else file.relative_to(path).as_posix()
                yield file, f"{target.rstrip('/')}/{inside}"
