"""reference.yaml as a tree of text that remembers its lines.

Less than YAML on purpose: no anchors, aliases or tags (a short file could otherwise stand for an
endless one), no key twice (the later would silently win), no nesting beyond what the format has.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from brokerage.inbox.refusal import FolderRefusedError, quoted

FILE = "reference.yaml"
DEEPEST = 8

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers


class Text(NamedTuple):
    """A scalar as written; `is_quoted` tells "1" from 1."""

    text: str
    is_quoted: bool
    line: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all stands there, as after a key without a value."""
        return not self.text and not self.is_quoted

    @property
    def is_string(self) -> bool:
        """Whether YAML takes it as text; a plain 1, on, ~ or 2018-01-31 is something else."""
        if self.is_quoted:
            return True
        return not any(rule.match(self.text) for _, rule in _RESOLVERS.get(self.text[:1], []))


class Items(NamedTuple):
    """A list."""

    items: list["Node"]
    line: int


class Fields(NamedTuple):
    """A mapping; the line of a value is the line of its key."""

    fields: dict[str, "Node"]
    line: int


Node = Text | Items | Fields


def refused(what: str, *, line: int, path: str) -> FolderRefusedError:
    """The refusal of one place in reference.yaml."""
    return FolderRefusedError(what, file=FILE, line=line, field=path or None)


def read_tree(text: str) -> Node:
    """The only document of the text.

    Raises:
        FolderRefusedError: not YAML, or YAML beyond what this module reads.
    """
    try:
        return _Builder(yaml.parse(text, Loader=_Loader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        what = f"this is not YAML ({error.problem})"
        raise FolderRefusedError(what, file=FILE, line=line) from error
    except yaml.reader.ReaderError as error:
        # The position counts bytes or characters, depending on the parser; so find it ourselves.
        line = text.count("\n", 0, text.find(chr(error.character))) + 1
        what = f"this is not YAML ({error.reason})"
        raise FolderRefusedError(what, file=FILE, line=line) from error


class _Builder:
    """Builds the tree from the parser's events, and knows where it stands for a refusal."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self.events = events
        self.path: list[str | int] = []

    def document(self) -> Node:
        next(self.events)  # the stream starts
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            raise self.refused("the file is empty", 1)
        root = self.node(next(self.events))
        next(self.events)  # the document ends
        following = next(self.events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise self.refused("a second document starts here", line_of(following))
        return root

    def node(self, event: yaml.Event, *, key_line: int | None = None) -> Node:
        line = key_line or line_of(event)
        if isinstance(event, yaml.AliasEvent):
            raise self.refused(f"aliases are not read (*{event.anchor})", line)
        assert isinstance(event, yaml.NodeEvent), "the parser yields nodes between its brackets"
        if event.anchor is not None:
            raise self.refused(f"anchors are not read (&{event.anchor})", line)
        if getattr(event, "tag", None) is not None:
            raise self.refused("tags are not read", line)
        if isinstance(event, yaml.ScalarEvent):
            return Text(event.value, event.implicit[1], line)
        if len(self.path) >= DEEPEST:
            raise self.refused(f"nested more than {DEEPEST} levels deep", line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.items(line)
        return self.fields(line)

    def items(self, line: int) -> Items:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            self.path.append(len(items))
            items.append(self.node(event))
            self.path.pop()
        return Items(items, line)

    def fields(self, line: int) -> Fields:
        fields: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.node(event)
            if not isinstance(key, Text):
                raise self.refused("a key must be text", key.line)
            self.path.append(key.text)
            if key.text in fields:
                raise self.refused("this key stands here twice", key.line)
            fields[key.text] = self.node(next(self.events), key_line=key.line)
            self.path.pop()
        return Fields(fields, line)

    def refused(self, what: str, line: int) -> FolderRefusedError:
        steps = [f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in self.path]
        return refused(what, line=line, path="".join(steps).removeprefix("."))


def line_of(event: yaml.Event) -> int:
    """Line of the file on which the event starts; the first is 1."""
    assert event.start_mark is not None, "only made-up events have no place"
    return event.start_mark.line + 1


def shown(key: str) -> str:
    """A key as part of a path: itself if it is a plain word, quoted if not."""
    return key if key.isidentifier() and len(key) <= 40 else quoted(key)
