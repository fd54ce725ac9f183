"""What the exit codes of the commands mean."""

from __future__ import annotations

EXIT_PUSHED = 0
EXIT_CHANGED = 1
EXIT_INVALID = 2
EXIT_NODE_FAILED = 3
EXIT_NONE_PASSED = 4
EXIT_UNWATCHED = 5  # a run was started, and how it ends is not known
EXIT_INTERRUPTED = 130
