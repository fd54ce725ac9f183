"""Points in time as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse(text: str, now: datetime | None = None) -> datetime:
    """A point in time, aware of its zone.

    Args:
        text: `2026-11-22`, `2026-11-22T14:00` (local time, or with an offset), or an age: `30m`, `12h`,
            `7d`, `2w`.
        now: What ages are counted back from; the current time if it is None.

    Raises:
        ValueError: If it is neither.
    """
    age = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if age:
        moment = now or datetime.now(timezone.utc)
        try:
            return moment - timedelta(**{_UNITS[age[2]]: int(age[1])})
        except OverflowError:
            raise ValueError(f"{text!r} is before the year 1: write a shorter age") from None
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time: write 2026-11-22, 2026-11-22T14:00 or an age such as 12h or 7d"
        ) from None
    return moment if moment.tzinfo else moment.astimezone()
