"""The one way a folder is refused as a whole."""

LONGEST_QUOTE = 40


class FolderRefusedError(Exception):
    """A folder cannot be read at all; nothing of it was read, let alone written.

    Attributes:
        file: the file as the sender named it, relative to the folder; for a fault of the folder
            itself, the folder's name.
        line: line of the file, the first is 1; None where no line is to blame.
        field: column of a CSV file or path of keys in reference.yaml; None where there is none.
    """

    def __init__(
        self, what: str, *, file: str, line: int | None = None, field: str | None = None
    ) -> None:
        place = file if line is None else f"{file} line {line}"
        place = place if field is None else f"{place}, {field}"
        super().__init__(f"{place}: {what}. Nothing was read.")
        self.file = file
        self.line = line
        self.field = field


def quoted(text: str, *, longest: int = LONGEST_QUOTE) -> str:
    """The sender's text in quotes, on one line and short enough for a sentence."""
    if len(text) <= longest:
        return repr(text)
    return f"{text[:longest]!r} and {len(text) - longest:,} characters more"
