from __future__ import annotations

import os
import subprocess
import sys

from pipeline.base import process


def test_a_process_is_alive_until_it_ends() -> None:
    assert process.this_process().is_here()
    assert process.this_process().is_alive()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process._process_start(child.pid)
    seen = process.Process(os.uname().nodename, child.pid, started)
    assert seen.is_alive()
    child.kill()
    child.wait()
    assert not seen.is_alive()


def test_another_process_with_the_same_number_is_distinguished() -> None:
    now = process.this_process()
    boot, _, ticks = now.started.partition(":")
    assert not process.Process(now.host, now.pid, f"{boot}:{int(ticks) - 1}").is_alive()
    assert not process.Process(now.host, now.pid, "").is_alive()
