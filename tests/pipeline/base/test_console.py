"""What files and configs say is shown on a terminal, and not obeyed by it."""

from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from pipeline.base import streams
from pipeline.base.console import make_console
from pipeline.base.texts import elided, excerpt, printable

EVIL = "a\x1b[2J\x1b]0;title\x07\x9b31mb\u202ec\u2028d"
SHOWN = "a\\x1b[2J\\x1b]0;title\\x07\\x9b31mb\\u202ec\\u2028d"


def test_control_characters_become_escapes() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("a\r\nb\tc\ud800", keep="\t") == "a\\r\\nb\tc\\ud800"
    assert printable("naïve 模型 👩‍🔬 ✓") == "naïve 模型 👩‍🔬 ✓"


def test_long_texts_keep_their_beginning_and_their_fix() -> None:
    assert excerpt("x" * 100, 10) == "xxxxxxx..." and excerpt("short", 10) == "short"
    text = elided("begin" + "x" * 10_000 + "; the fix", 300)
    assert len(text) <= 303 and text.startswith("begin") and text.endswith("; the fix")


def shown(what: object) -> str:
    stream = io.StringIO()
    make_console(stream).print(what)
    return stream.getvalue()


def test_a_console_prints_no_control_character_of_a_text() -> None:
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    table.add_row(Text(EVIL, style="bold red"))
    tree = Tree(Text(EVIL))
    tree.add(EVIL)
    for what in (EVIL, Text(EVIL), table, tree):
        text = shown(what)
        assert text.replace("\n", "").isprintable(), text
        assert "\\x1b[2J" in text


def test_a_console_still_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    text = shown(Text("x\x1b[2Jy", style="red"))
    assert "\x1b[31m" in text and "\x1b[2J" not in text and "x\\x1b[2Jy" in text


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    streams.say("one\nrun is valid\r")
    streams.answer("two\x1b[A")
    said = capsys.readouterr()
    assert (said.err, said.out) == ("one\\nrun is valid\\r\n", "two\\x1b[A\n")
