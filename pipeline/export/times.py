"""When a message was sent, of all that an export says about it."""

from datetime import UTC, datetime, tzinfo

CONTRADICTION = "a date that contradicts date_unixtime, which wins"
LOCAL = "a local time without an offset"

_LATEST = 2**33  # the year 2242
_DAY = 24 * 3600
_FARTHEST = 15 * 3600  # no zone is farther from UTC


class Times:
    """Reads times in the order of the file; `date` alone is local to the exporting computer.

    Where a clock was set back an hour happened twice: its second half is told by a time that
    would be before the message above it.
    """

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._days: dict[str, int] = {}
        self._latest = 0

    def sent(self, unix: object, date: object) -> tuple[int, str | None]:
        """Return seconds since 1970, and what was mended.

        Raises:
            ValueError: Neither is a time.
        """
        if (seconds := _seconds(unix)) is not None:
            self._latest = seconds
            return seconds, CONTRADICTION if self._differs(seconds, date) else None
        seconds = self._local(date)
        if seconds <= 0:
            raise ValueError(f"date {date!r}")
        self._latest = seconds
        return seconds, LOCAL

    def edited(self, unix: object, date: object) -> int:
        """Return when it was edited, in seconds since 1970; 0 for never or where it is no time."""
        if (seconds := _seconds(unix)) is not None:
            return seconds
        try:
            seconds = self._local(date) if date is not None else 0
        except ValueError:
            return 0
        return seconds if seconds > _DAY else 0  # up to v2.1.8 never was 1970

    def _local(self, date: object) -> int:
        if not isinstance(date, str):
            raise ValueError(f"date {date!r}")  # noqa: TRY004  the reader's one exception
        try:
            read = datetime.fromisoformat(date)
            if read.tzinfo is None:
                read = read.replace(tzinfo=self._zone) if self._zone else read
                first, second = (int(read.replace(fold=n).timestamp()) for n in (0, 1))
                return second if first < self._latest <= second + 60 else first
            return int(read.timestamp())
        except (OverflowError, OSError, ValueError) as error:
            raise ValueError(f"date {date!r}") from error

    def _differs(self, seconds: int, date: object) -> bool:
        """Whether a date is of another day than any zone allows."""
        if not isinstance(date, str):
            return False
        start = self._days.get(date[:10])
        if start is None:
            try:
                start = int(datetime.fromisoformat(date[:10]).replace(tzinfo=UTC).timestamp())
            except (ValueError, OverflowError):
                return False
            self._days[date[:10]] = start
        return not -_FARTHEST <= seconds - start < _DAY + _FARTHEST


def _seconds(unix: object) -> int | None:
    """Return a date_unixtime, a string of digits, as a number; None where it is none."""
    if isinstance(unix, str) and unix.isdecimal() and unix.isascii():
        seconds = int(unix[:20])
    elif isinstance(unix, int) and not isinstance(unix, bool):
        seconds = unix
    else:
        return None
    return seconds if 0 < seconds < _LATEST else None
