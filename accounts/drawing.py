"""Bars, rulers and lines drawn as SVG attributes, so that no page needs an inline style.

Amounts become coordinates here, and only here; every drawing has the same figures in words beside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from accounts.figures import grouped

ZERO = Decimal(0)
GAP = 2


class Rect(NamedTuple):
    """A coloured stretch of a bar."""

    tone: str
    x: str
    width: str


class Share(NamedTuple):
    """An amount and the tone it is drawn in."""

    tone: str
    amount: Decimal


def coordinate(value: Decimal) -> str:
    return f"{value:.1f}"


def laid_out(shares: Sequence[Share], *, total: Decimal, length: int) -> list[Rect]:
    """Shares one after another on a bar of `length` that stands for `total`."""
    rects, start = [], ZERO
    if total <= 0:
        return []
    for share in shares:
        width = max(share.amount, ZERO) / total * length
        if width > 0:
            rects.append(
                Rect(share.tone, coordinate(start), coordinate(max(width - GAP, Decimal(1))))
            )
        start += width
    return rects


@dataclass(frozen=True)
class Beam:
    """Two bars of one scale, over each other: what is held, and to whom it belongs."""

    upper: list[Rect]
    lower: list[Rect]
    words: str


def beam(upper: Sequence[Share], lower: Sequence[Share], *, words: str) -> Beam:
    """Both bars are as long as the greater sum; they end together where the sums are equal."""
    total = max(sum((s.amount for s in upper), ZERO), sum((s.amount for s in lower), ZERO))
    return Beam(
        laid_out(upper, total=total, length=1000), laid_out(lower, total=total, length=1000), words
    )


@dataclass(frozen=True)
class StackedBar:
    """One bar of counts: scopes by state."""

    parts: list[Rect]
    words: str


def stacked_bar(counts: Sequence[tuple[str, str, int]]) -> StackedBar:
    """A bar from `(tone, word, count)`: the words are what a reader hears."""
    shares = [Share(tone, Decimal(count)) for tone, _, count in counts]
    total = sum((share.amount for share in shares), ZERO)
    words = ", ".join(f"{grouped(count)} {word}" for _, word, count in counts)
    return StackedBar(laid_out(shares, total=total, length=600), words)


@dataclass(frozen=True)
class MiniBar:
    """Equity as part of initial margin, with ticks at maintenance and at liquidation."""

    tone: str
    width: str
    maintenance: str
    liquidation: str


def mini_bar(
    equity: Decimal, *, initial: Decimal, maintenance: Decimal, liquidation: Decimal, tone: str
) -> MiniBar:
    """The bar of a table's row; full where equity covers initial margin."""

    def across(amount: Decimal) -> Decimal:
        return min(max(amount / initial, ZERO), Decimal(1)) * 72 if initial > 0 else Decimal(72)

    width = across(equity)
    return MiniBar(
        tone,
        coordinate(width) if width else "",
        coordinate(across(maintenance)),
        coordinate(across(liquidation)),
    )


class Levels(NamedTuple):
    """The levels of a scope, from the least; each begins the state above it."""

    liquidation: Decimal
    call: Decimal
    initial: Decimal


@dataclass(frozen=True)
class Ruler:
    """Bands from deficit to OK with a pointer at equity."""

    bands: list[Rect]
    pointer: str
    words: str


def ruler(equity: Decimal, levels: Levels) -> Ruler:
    """A ruler that always holds zero, all levels and the pointer."""
    reach = max(levels.initial, Decimal(1))
    low = min(reach * Decimal("-0.12"), equity * Decimal("1.1"))
    high = max(reach * Decimal("1.18"), equity * Decimal("1.05"))
    scale = 1000 / (high - low)
    edges = [low, ZERO, levels.liquidation, levels.call, levels.initial, high]
    tones = ["def", "liq", "call", "watch", "ok"]
    bands = [
        Rect(tone, coordinate((start - low) * scale), coordinate((end - start) * scale - GAP))
        for tone, start, end in zip(tones, edges[:-1], edges[1:], strict=True)
        if (end - start) * scale > GAP
    ]
    words = (
        f"Equity {grouped(equity, decimals=2)}; liquidation level "
        f"{grouped(levels.liquidation, decimals=2)}; call level "
        f"{grouped(levels.call, decimals=2)}; initial margin {grouped(levels.initial, decimals=2)}"
    )
    return Ruler(bands, coordinate((equity - low) * scale), words)


class Rung(NamedTuple):
    """One line of a ladder: a state and the level it begins at, or the present."""

    state: str
    words: str
    level: Decimal
    is_now: bool = False


def ladder(equity: Decimal, rungs: Sequence[Rung], *, now: str) -> list[Rung]:
    """The levels in falling order with "Now" in its place. `now` says what stands there."""
    falling = sorted(rungs, key=lambda rung: rung.level, reverse=True)
    above = [rung for rung in falling if rung.level > equity]
    below = falling[len(above) :]
    return [*above, Rung("", now, equity, is_now=True), *below]


class Line(NamedTuple):
    """A drawn line; `tone` is eq, im, mm or lq."""

    tone: str
    path: str


class GridLine(NamedTuple):
    """A horizontal line of the grid; the one at zero is darker."""

    tone: str
    y: str


@dataclass(frozen=True)
class Chart:
    """Lines over days, with their grid and labels."""

    lines: list[Line]
    dots: list[str]
    grid: list[GridLine]
    y_labels: list[str]
    x_labels: list[str]
    words: str


def chart(
    series: Sequence[tuple[str, Sequence[Decimal]]], *, days: Sequence[str], words: str
) -> Chart:
    """Lines from `(tone, values)`, one value a day; those toned "eq" carry dots."""
    values = [value for _, line in series for value in line] or [ZERO]
    step = round_step(max(*values, ZERO) - min(*values, ZERO))
    low = (min(*values, ZERO) / step).to_integral_value("ROUND_FLOOR") * step
    high = max((max(*values, ZERO) / step).to_integral_value("ROUND_CEILING") * step, low + step)
    ticks = [low + step * place for place in range(int((high - low) / step) + 1)]

    def down(value: Decimal) -> str:
        return coordinate((high - value) / (high - low) * 180)

    def points(line: Sequence[Decimal]) -> list[str]:
        width = Decimal(600) / max(len(line) - 1, 1)
        return [f"{coordinate(width * place)} {down(value)}" for place, value in enumerate(line)]

    return Chart(
        lines=[Line(tone, "M" + " L".join(points(line))) for tone, line in series if line],
        dots=[point for tone, line in series if tone == "eq" for point in points(line)],
        grid=[GridLine("zero" if tick == 0 else "grid", down(tick)) for tick in ticks],
        y_labels=[short(tick) for tick in reversed(ticks)],
        x_labels=list(days),
        words=words,
    )


def round_step(reach: Decimal) -> Decimal:
    """The step of a grid of some six lines over `reach`: 1, 2 or 5 times a power of ten."""
    if reach <= 0:
        return Decimal(1)
    power = Decimal(10) ** (reach / 6).adjusted()
    return next(m * power for m in (1, 2, 5, 10) if m * power * 6 >= reach)


def short(value: Decimal) -> str:
    """A label of an axis: "20k", "1.5m"."""
    for size, letter in ((1_000_000_000, "bn"), (1_000_000, "m"), (1_000, "k")):
        if abs(value) >= size:
            return f"{grouped((value / size).normalize())}{letter}"
    return grouped(value.normalize() if value else ZERO)


class Spark(NamedTuple):
    """A small line in a row: where it runs, where the level lies, where it ends."""

    path: str
    level: str
    end: str
    tone: str


SPARK_WIDTH, SPARK_HEIGHT = 64, 16


def spark(values: Sequence[Decimal], *, level: Decimal, most: Decimal, tone: str) -> Spark | None:
    """A line through the values, oldest first, with a level; none for fewer than two values.

    The level is always inside; what is beyond `most` on either side runs along the edge.
    """
    if len(values) < 2:
        return None
    shown = [float(min(max(value, -most), most)) for value in values]
    low, high = min(*shown, float(level)), max(*shown, float(level))
    reach = (high - low) or 1.0
    step = SPARK_WIDTH / (len(shown) - 1)

    def down(value: float) -> str:
        return f"{1 + (high - value) / reach * (SPARK_HEIGHT - 2):.1f}"

    points = [f"{place * step:.1f} {down(value)}" for place, value in enumerate(shown)]
    return Spark("M" + " L".join(points), down(float(level)), points[-1], tone)
