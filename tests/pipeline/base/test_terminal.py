"""On a terminal, libraries print nothing: not in Python, not in C++, not while something moves on it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.terminal import on_terminal

ROOT = Path(__file__).parents[3]

NOISE = """
import os, sys, time, warnings
def noise(place):
    warnings.warn(f"NOISE of {place}", FutureWarning)
    print("NOISE printed"), print("NOISE to stderr", file=sys.stderr)
    os.write(1, b"NOISE of C\\n"), os.write(2, b"NOISE of C\\n")
    time.sleep(0.3)  # a moving line is drawn again
"""

QUIET = (
    NOISE
    + """
from pipeline.base import log_file
with log_file.quiet("Importing …") as path:
    noise("quiet")
    print(path.read_text().count("NOISE"), file=sys.__stderr__)  # to the log, too
    count = path.read_text().count("NOISE")
print(f"ours: {count}")
"""
)

DISPLAY = (
    NOISE
    + """
from pathlib import Path
from types import SimpleNamespace
from pipeline.base import log_file
from pipeline.base.console import make_console
from pipeline.run.display import RunDisplay
from pipeline.run.launcher import Launched
from pipeline.store.state import State
nodes = SimpleNamespace(nodes=[SimpleNamespace(id="Trainer")])
with log_file.output_to(Path(sys.argv[1])) as (_, err):
    display = RunDisplay(make_console(err), nodes)
    display.before_node("Trainer")
    noise("a node")
    display.after_node("Trainer", Launched(State.RAN, 1.5))
    display.close()
"""
)

MANY = """
from types import SimpleNamespace
from components.common.base.progress import Report
from pipeline.base.console import make_console
from pipeline.run.display import RunDisplay
from pipeline.run.launcher import Launched
from pipeline.store.state import State
names = [f"node{number}" for number in range(150)]
display = RunDisplay(make_console(), SimpleNamespace(nodes=[SimpleNamespace(id=name) for name in names]))
display._progress.live.refresh_per_second = 2000  # as much as can go wrong in a run of hours
for one, other, third in zip(names[::3], names[1::3], names[2::3]):
    display.before_node(one), display.before_node(other)
    display.on_progress(other, 1.0, Report("epoch 1/2", left=12.0))
    display.after_node(one, Launched(State.RAN, 1.5))
    display.before_node(third)
    display.after_node(other, Launched(State.RAN, 1.5)), display.after_node(third, Launched(State.RAN, 1.5))
display.close()
"""

COMMAND = """
import sys, warnings
from pipeline.api import configs
from pipeline.cli import main
def load(*_):
    warnings.warn("NOISE of an import", FutureWarning)
    raise KeyboardInterrupt
configs.load_checked = load
main(["validate", "x.yaml"])
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_nothing_but_ours_is_on_the_screen_while_libraries_are_imported(tmp_path: Path) -> None:
    screen = on_terminal([sys.executable, "-c", QUIET], tmp_path, environment())
    assert "NOISE" not in screen.raw and "Importing …" in screen.said
    assert [line for line in screen.lines if line] == ["ours: 5"]


def test_nothing_but_ours_is_amid_the_progress_and_the_log_has_the_rest(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    screen = on_terminal([sys.executable, "-c", DISPLAY, str(log)], tmp_path, environment())
    assert "NOISE" not in screen.raw
    assert [line.split() for line in screen.lines if line] == [
        ["1/1", "Trainer", "ran", "1.5", "s", "0:00"]
    ]
    text = log.read_text(encoding="utf-8")
    assert text.count("NOISE") == 5 and "FutureWarning: NOISE of a node" in text


def test_no_line_is_erased_while_the_number_of_moving_lines_changes(tmp_path: Path) -> None:
    screen = on_terminal([sys.executable, "-c", MANY], tmp_path, environment())
    assert screen.code == 0, screen.raw[-2000:]
    shown = [line.split()[0] for line in screen.lines if line]
    assert shown == [f"{number}/150" for number in range(1, 151)]


def test_warnings_of_a_command_itself_are_not_shown(tmp_path: Path) -> None:
    screen = on_terminal([sys.executable, "-c", COMMAND], tmp_path, environment())
    assert (screen.code, [line for line in screen.lines if line]) == (130, ["Interrupted."])
