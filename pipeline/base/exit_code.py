"""Exit codes of the commands."""

from __future__ import annotations

EXIT_PUSHED = 0
EXIT_CHANGED = 1
EXIT_INVALID = 2
EXIT_NODE_FAILED = 3
EXIT_NONE_PASSED = 4
EXIT_UNWATCHED = 5  # a run was started; its end is not known
EXIT_CANDIDATE_FAILED = 6  # a winner is pushed, but other candidates could not be built
EXIT_INTERRUPTED = 130
EXIT_CLOSED_OUTPUT = 141  # as a shell shows a program that SIGPIPE ended
