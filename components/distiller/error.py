"""What `distill` refuses."""


class DistillationError(Exception):
    """Teacher and student do not go together; the message says why."""
