"""The ground of questions about scopes: marks of an instant and terms of a day, as known now."""

from collections.abc import Iterable
from datetime import date, datetime

from ledger.models import Asset
from margin.asking import AskedMarket
from margin.book import read_ground
from margin.book.now import MarketNow, market_now
from margin.crowding import crowded_sides
from margin.engine.exact import ONE
from margin.market.marks import BASE
from margin.market.states import doubt_of
from margin.model_registry import UsedModel
from margin.models import Mark
from margin.parameters import engine_terms
from margin.scope_standing import Ground


class WhatIfRefusedError(ValueError):
    """A change that could not be booked, or a scope of which nothing can be said.

    Attributes:
        rule: what it breaks.
        detail: a sentence for people.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


def newest_as_of(now: MarketNow | None = None) -> datetime:
    """The moment of the newest marks.

    Raises:
        WhatIfRefusedError: `no_mark`: there are none yet.
    """
    newest = (now or market_now()).newest_as_of()
    if newest is None:
        raise WhatIfRefusedError("no_mark", "There are no marks yet; a day's files bring them.")
    return newest


def asked_market(
    as_of: datetime,
    *,
    day: date,
    used: Iterable[UsedModel | None],
    besides: Iterable[int] = (),
    now: MarketNow | None = None,
) -> AskedMarket:
    """The market of all marks of an instant, with the terms of a day.

    Args:
        used: the models that are asked.
        besides: assets that the next run would ask its models about for the first time.
        now: what is said now, where it was looked for before.
    """
    now = now or market_now()
    looks_back = any(each.looks_back for each in used if each is not None)
    return AskedMarket.of(
        read_ground(
            marks=now.marks(as_of), as_of=as_of, day=day, besides=besides, looks_back=looks_back,
            now=now,
        )
    )  # fmt: skip


def ground_at(
    as_of: datetime, *, codes: Iterable[str], day: date, now: MarketNow | None = None
) -> tuple[Ground, dict[str, Asset]]:
    """Marks of an instant and terms of a day, of these assets and of the currency, and the assets.

    Args:
        now: what is said now, where it was looked for before.

    Raises:
        WhatIfRefusedError: `unknown_asset`, `no_mark`.
    """
    now = now or market_now()
    wanted, known = {*codes, BASE}, now.assets_by_code()
    strange = sorted(wanted - known.keys())
    if strange:
        raise WhatIfRefusedError("unknown_asset", f"The book has no {strange[0]}.")
    assets = {code: known[code] for code in wanted}
    of_instant, in_force = now.marks(as_of), now.terms(day)
    marks = {code: of_instant[asset.pk] for code, asset in assets.items() if asset.pk in of_instant}
    said = {
        code: found
        for code, asset in assets.items()
        if (found := engine_terms(in_force, asset_id=asset.pk, kind=asset.kind)) is not None
    }
    bare = sorted(code for code in wanted - {BASE} if code not in marks or code not in said)
    if bare:
        raise WhatIfRefusedError("no_mark", f"{bare[0]} has no mark or no terms.")
    ground = Ground(
        kinds={code: asset.kind for code, asset in assets.items()},
        marks={code: mark.price for code, mark in marks.items()} | {BASE: ONE},
        terms=said,
        carried=frozenset(code for code, mark in marks.items() if mark.state != Mark.State.VALID),
        overridden=frozenset(
            code for code, mark in marks.items() if mark.state == Mark.State.OVERRIDDEN
        ),
        doubts={code: doubt for code, mark in marks.items() if (doubt := doubt_of(mark))},
        crowding=crowded_sides(now.crowded()),
    )
    return ground, assets
