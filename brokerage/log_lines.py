"""Lines of the log: one record is one line, whatever somebody put into an address or a name."""

import logging
import re

# All but the tab: what ends a line here or elsewhere, or moves the cursor of whoever reads.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class OneLine(logging.Formatter):
    """Shows control characters as text, so that nobody can write a line that is not theirs.

    The lines of a traceback stay lines, each behind a mark.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line of a record."""
        return CONTROL.sub(_shown, super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """A traceback, set off from the lines of records."""
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(f"  | {CONTROL.sub(_shown, line)}" for line in text.split("\n"))


def _shown(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()
