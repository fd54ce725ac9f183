"""Results that show themselves as tables: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import io
from abc import abstractmethod

from rich.console import Console

from pipeline.base.console import make_console

# Columns of a notebook's cell.
_WIDTH = 120
_HTML = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace\">{code}</pre>"
)


class Shown:
    """A result that is shown as the command line prints it."""

    @abstractmethod
    def show(self, console: Console) -> None:
        """Prints it."""

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self._printed().export_text().rstrip().split("\n"))

    def _repr_html_(self) -> str:
        """The table of a notebook (IPython calls this)."""
        return self._printed().export_html(inline_styles=True, code_format=_HTML)

    def _printed(self) -> Console:
        console = make_console(io.StringIO(), width=_WIDTH, record=True)
        self.show(console)
        return console
