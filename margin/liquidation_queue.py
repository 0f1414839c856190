"""Scopes by how near they are to liquidation: by what they can lose, by the hour, by the price.

Three answers, and none stands for another: how much of its equity a scope can lose before it is at
the level; how many hours fees and interest leave it, where they take anything; and by how much a
single price may move, all else held, where house rules give such a price. Under a portfolio model
a price is searched for, on the page of the account, and not here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from django.db.models import ExpressionWrapper, F, QuerySet

from accounts.fields import ExactField
from accounts.figures import WIDE
from margin.depletion import Depletion, burning
from margin.engine.liquidation_points import LiquidationPoints
from margin.levels import LIQUIDATION_LEVEL, levels_of, terms_of
from margin.market.marks import BASE
from margin.models import MarginResult
from margin.pools import Pools
from margin.scope_frame import holding_of
from margin.scope_holding import Holding
from margin.scope_standing import Ground, points_of
from margin.what_if_ground import WhatIfRefusedError, ground_at, newest_as_of

SHOWN: Final = 20
SHARE: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class PriceMove:
    """The nearest single price at which a scope would be at its level, all else held.

    Attributes:
        share: of the mark that it is away; positive where the price rises.
    """

    asset: str
    price: Decimal
    share: Decimal


@dataclass(frozen=True, slots=True)
class Queued:
    """A scope in the queue.

    Attributes:
        headroom: equity above the level of liquidation; 0 or less where it is reached.
        share: of its equity that this is; None where there is no equity.
        hours: until fees and interest have taken it; None where they take nothing or it lasts
            longer than ten years.
        move: None where no single price does it, or none is given here.
        no_move: why there is none; "" where there is.
    """

    result: MarginResult
    headroom: Decimal
    share: Decimal | None
    hours: Decimal | None
    move: PriceMove | None
    no_move: str = ""

    @property
    def is_reached(self) -> bool:
        return self.headroom <= 0


def liquidation_queue(
    results: "QuerySet[MarginResult]", *, at: datetime, by_hours: bool = False
) -> list[Queued]:
    """The scopes that are nearest, those first that can lose the smallest share of their equity.

    Args:
        results: the newest of each scope that is asked about.
        at: until when what was lost is looked at.
        by_hours: those first that fees and interest bring there soonest.
    """
    burns = {each.result.pk: each for each in burning(results, at=at)}
    if by_hours:
        soonest = [each for each in burns.values() if each.to_liquidation is not None]
        nearest = [each.result for each in soonest[:SHOWN]]
    else:
        nearest = list(_by_share(results)[:SHOWN])
    moves = _moves(nearest)
    return [_queued(each, burns.get(each.pk), moves) for each in nearest]


def _by_share(results: "QuerySet[MarginResult]") -> "QuerySet[MarginResult]":
    """Equity over the level, the least first; a scope that requires nothing is not in it."""
    cover = F("equity") / (F("level") * F("maintenance_margin"))
    return (
        results.annotate(level=LIQUIDATION_LEVEL)
        .filter(maintenance_margin__gt=0, level__gt=0)
        .annotate(cover=ExpressionWrapper(cover, output_field=ExactField()))
        .select_related("agreement_version", "moved", "scope__bucket__account")
        .order_by("cover", "scope")
    )


def _queued(
    result: MarginResult, burn: Depletion | None, moves: "Mapping[int, PriceMove | str]"
) -> Queued:
    headroom = WIDE.subtract(result.equity, levels_of(result).liquidation)
    share = WIDE.divide(headroom, result.equity).quantize(SHARE) if result.equity > 0 else None
    move = moves.get(result.pk, "")
    return Queued(
        result=result,
        headroom=headroom,
        share=share,
        hours=None if burn is None else burn.to_liquidation,
        move=move if isinstance(move, PriceMove) else None,
        no_move=move if isinstance(move, str) else "",
    )


def _moves(results: Sequence[MarginResult]) -> "dict[int, PriceMove | str]":
    """By result the nearest price, or why none is said; one ground for all of them."""
    found: dict[int, PriceMove | str] = {}
    held: dict[int, Holding] = {}
    pools = Pools.newest()
    for each in results:
        bucket = each.scope.bucket
        assert bucket is not None, "runs compute buckets"
        if each.parameter_set_id is not None:
            found[each.pk] = "under a model"
        elif bucket.account.mode == "cash":
            found[each.pk] = "cash account"
        elif pools.together(bucket.pk):
            found[each.pk] = "linked accounts"
        else:
            held[each.pk] = holding_of(bucket)
    try:
        as_of = newest_as_of()
        codes = set().union(*(each.assets for each in held.values())) if held else set()
        ground, _ = ground_at(as_of, codes=codes, day=as_of.astimezone(UTC).date())
    except WhatIfRefusedError as refused:
        return found | dict.fromkeys(held, refused.detail)
    by_pk = {each.pk: each for each in results}
    for pk, holding in held.items():
        found[pk] = _nearest(by_pk[pk], holding, ground)
    return found


def _nearest(result: MarginResult, held: Holding, ground: Ground) -> PriceMove | str:
    moves = [
        move
        for code in sorted(held.assets - {BASE})
        for move in _of(code, points_of(code, held, ground, terms_of(result)), ground)
    ]
    return min(moves, key=lambda move: abs(move.share), default="no single price")


def _of(code: str, points: LiquidationPoints, ground: Ground) -> Iterable[PriceMove]:
    mark = ground.marks[code]
    for price in (
        points.below, points.above, points.jumps_below, points.jumps_above
    ):  # fmt: skip
        if price is not None:
            yield PriceMove(code, price, WIDE.divide(price - mark, mark).quantize(SHARE))
