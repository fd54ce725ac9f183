"""Output in a log file, and off the terminal."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from pipeline.base import log_file


def test_output_goes_to_the_file_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    before = sys.stdout
    with log_file.output_to(path):
        print("printed \udc80")
        os.write(2, b"from C++\n")
        logging.getLogger("x").info("logged")
    text = path.read_text(encoding="utf-8")
    assert "printed \\udc80\n" in text and "from C++\n" in text and "INFO x: logged\n" in text
    assert sys.stdout is before


def test_a_log_on_a_full_disk_ends_nothing() -> None:
    with log_file.output_to(Path("/dev/full")) as (out, _):
        for _ in range(3):
            print("x" * 100_000)
            sys.stderr.flush()
            logging.getLogger("x").error("logged")
        assert not out.closed
