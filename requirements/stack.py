"""Which locked stack this machine installs, and with which Python: `make setup` runs this and installs what it says.

Prints two lines, the stack and the path of its Python, and on standard error one line that says why. If no stack can
be installed, standard error says what to install, and the exit code is 1. STACK=py310 in the environment asks for a
stack, PYTHON=/path/to/python for an interpreter. Standard library only, and runs on any Python from 3.9 on.
"""

from __future__ import annotations

import glob
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

Version = tuple[int, int]
# (3, 13) → why an interpreter cannot be used; None: it can.
PROBE = """
import sys
print("%d.%d" % sys.version_info[:2])
import ctypes, ensurepip, ssl, venv, zlib
print("usable")
"""


class Stack(NamedTuple):
    """A lock file of this folder, and what it needs."""

    name: str
    tfx: str
    pythons: tuple[Version, ...]  # best first
    glibc: Version  # the oldest that its wheels accept


# Best first.
STACKS = (
    Stack("py313", "1.21", ((3, 13), (3, 12), (3, 11)), (2, 39)),
    Stack("py310", "1.16", ((3, 10),), (2, 28)),
)


class NoStackError(Exception):
    """No stack can be installed; the text says why."""


class Machine(NamedTuple):
    """What decides: the system and processor, and the C library's version; None: it is not glibc."""

    system: str
    processor: str
    glibc: Version | None


class Choice(NamedTuple):
    """A stack, the path of an interpreter for it, and why this one, in a line."""

    stack: Stack
    python: str
    why: str


class Interpreter(NamedTuple):
    """What a program said about itself. `fault` is why it cannot be used; empty: it can."""

    version: Version
    fault: str


def this_machine() -> Machine:
    """The machine that this runs on."""
    glibc = None
    try:
        found = re.match(r"glibc (\d+)\.(\d+)", os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (AttributeError, OSError, ValueError):  # macOS, musl
        found = None
    if found:
        glibc = (int(found[1]), int(found[2]))
    return Machine(platform.system(), platform.machine(), glibc)


def interpreter(path: str) -> Interpreter | None:
    """Runs a Python: a shim of pyenv may exist and exit with 127. None: it does not run."""
    try:
        done = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    first, *rest = done.stdout.splitlines() or [""]
    if not re.fullmatch(r"\d+\.\d+", first):
        return None
    major, minor = map(int, first.split("."))
    fault = "" if rest == ["usable"] else (done.stderr.splitlines() or ["it ended early"])[-1]
    return Interpreter((major, minor), fault)


def places(version: Version, environment: Mapping[str, str]) -> Iterator[str]:
    """Programs that may be a Python of this version: on PATH, then of pyenv and of uv."""
    dotted = "{}.{}".format(*version)
    for name in (f"python{dotted}", "python3", "python"):
        found = shutil.which(name, path=environment.get("PATH"))
        if found:
            yield found
    home = environment.get("HOME", "")
    for pattern in (
        f"{environment.get('PYENV_ROOT') or f'{home}/.pyenv'}/versions/{dotted}.*/bin/python{dotted}",
        f"{home}/.pyenv/versions/{dotted}.*/bin/python{dotted}",
        f"{home}/.local/share/uv/python/cpython-{dotted}*/bin/python{dotted}",
    ):
        yield from sorted(glob.glob(pattern), reverse=True)


def _obstacle(stack: Stack, machine: Machine) -> str:
    """Why a stack cannot be installed on a machine whatever its Pythons; empty: it can."""
    if machine.system != "Linux" or machine.processor not in ("x86_64", "AMD64"):
        return f"its packages are locked for Linux on x86-64, and this is {machine.system} on {machine.processor}"
    if machine.glibc is None:
        return "its packages need glibc, and this system has another C library"
    if machine.glibc < stack.glibc:
        return "its packages need glibc {}.{}, and this system has {}.{}".format(
            *stack.glibc, *machine.glibc
        )
    return ""


def choose(machine: Machine, environment: Mapping[str, str]) -> Choice:
    """The best stack that the machine can install.

    Raises:
        NoStackError: If it can install none, or not the one that STACK asks for.
    """
    wanted, asked = environment.get("STACK", ""), environment.get("PYTHON", "")
    stacks = [stack for stack in STACKS if wanted in ("", stack.name)]
    if not stacks:
        names = " or ".join(f"STACK={stack.name}" for stack in STACKS)
        raise NoStackError(f"There is no stack {wanted}; write {names}")
    reasons = []
    possible = []
    for stack in stacks:
        obstacle = _obstacle(stack, machine)
        if obstacle:
            reasons.append(f"{stack.name} cannot be installed: {obstacle}")
        else:
            possible.append(stack)
    faults = []
    if asked:
        given = interpreter(asked)
        for stack in possible:
            if given and not given.fault and given.version in stack.pythons:
                return Choice(stack, asked, "PYTHON names this interpreter")
        faults.append(f"PYTHON={asked} cannot be used: {_why_not(given)}")
    for stack in possible:
        for version in stack.pythons:
            for path in places(version, environment):
                found = interpreter(path)
                if found is None or found.version != version:
                    continue
                if found.fault:
                    faults.append(f"{path} cannot be used: {found.fault}")
                    continue
                why = "STACK asks for it" if wanted else "; ".join(reasons) or "the newest for this system"
                return Choice(stack, path, "; ".join([*faults[: bool(asked)], why]))
        pythons = ", ".join("{}.{}".format(*version) for version in stack.pythons)
        reasons.append(f"{stack.name} needs Python {pythons}, and no usable one was found")
    raise NoStackError("\n".join([*dict.fromkeys(faults), *reasons]))


def _why_not(given: Interpreter | None) -> str:
    if given is None:
        return "it does not run as Python"
    return given.fault or "it is Python {}.{}".format(*given.version)


def main() -> int:
    """Prints the choice; see the module."""
    try:
        choice = choose(this_machine(), os.environ)
    except NoStackError as error:
        advice = Path(__file__).with_name("advice.txt").read_text(encoding="utf-8")
        print(f"No stack can be installed.\n{error}\n{advice}", end="", file=sys.stderr)
        return 1
    stack, python, why = choice
    print(f"Stack {stack.name} (TFX {stack.tfx}) with {python}: {why}.", file=sys.stderr)
    print(stack.name, python, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
