"""An account under another way of margining, seen before anybody agrees to it.

What decides on an account's scopes is in its agreement: house rules, or a portfolio model with its
parameters. So a switch to portfolio margin, or back, puts the account under another agreement from
a day on, asked by one person and agreed to by another, and is refused where a scope would not keep
its initial margin. Whether positions are pooled or each has a bucket of its own is not in the
agreement: which buckets are scopes is fixed for ever, since past runs are computed again by it. So
cross margin can be looked at for an isolated account, and is had by opening another account.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

from accounts.agreed_terms import account_terms
from accounts.agreement_checks import SignatureLook
from accounts.approvals import FieldChange
from accounts.figures import WIDE, grouped
from accounts.models import Agreement, AgreementVersion, Bucket, MarginAccount
from ledger.positions import Position
from margin.asking import ModelRefusedError, model_of
from margin.book.now import MarketNow, market_now
from margin.engine.exact import ZERO, exact
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.models import Mark
from margin.moving_levels import levels_at
from margin.pools import Pools
from margin.scope_frame import holding_of, together_with
from margin.scope_holding import Holding
from margin.scope_standing import Side, side_of
from margin.what_if_ground import WhatIfRefusedError, asked_market, ground_at, newest_as_of

BREACH = "switch_keeps_initial_margin"
PORTFOLIO = "portfolio"


@dataclass(frozen=True, slots=True)
class Standings:
    """An account's scopes under one set of terms.

    Attributes:
        sides: by the name of the scope.
        mode: how it is margined, in a word.
    """

    terms: AgreementVersion
    mode: str
    sides: Mapping[str, Side]


class Asked(NamedTuple):
    """What is looked at: scopes of an account by name, at the newest marks of what is said now."""

    account: MarginAccount
    holdings: Mapping[str, Holding]
    said: MarketNow
    has_points: bool = True


@dataclass(frozen=True, slots=True)
class Switch:
    """An account as it is margined, and as it would be from a day on, at the newest marks.

    Attributes:
        can_be_asked: whether a signature brings it about; else it can only be looked at.
    """

    account: MarginAccount
    day: date
    as_of: datetime
    now: Standings
    after: Standings
    can_be_asked: bool = True

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Rule and sentence where a scope would not keep its initial margin."""
        for name, side in self.after.sides.items():
            if side.equity < side.initial_margin:
                return BREACH, (
                    f"{self.account.code} {name} would have {side.equity:,.2f} equity against"
                    f" {side.initial_margin:,.2f} initial margin."
                )
        return None


def mode_of(account: MarginAccount, terms: AgreementVersion) -> str:
    """How an account is margined: portfolio where a model decides, else as its buckets are."""
    return account.mode if terms.model == HOUSE_RULES else PORTFOLIO


def preview_switch(
    account: MarginAccount, agreement: Agreement, *, day: date, has_points: bool = True
) -> Switch:
    """An account now, and under another agreement from a day on.

    The next run says the same of that day if nothing is booked and no price moves.

    Args:
        has_points: whether liquidation points are looked for.

    Raises:
        WhatIfRefusedError: `no_agreement`, `no_mark`, or what keeps a model from saying what it
            requires: `model_not_in_use`, `model_refused`, `unpriced_position`.
    """
    said = market_now()
    as_of = newest_as_of(said)
    today = as_of.astimezone(UTC).date()
    day = max(day, today)
    after = agreement.versions.filter(effective_from__lte=day).order_by("-effective_from").first()
    if after is None:
        raise WhatIfRefusedError("no_agreement", f"{agreement.code} has no terms on {day}.")
    asked = Asked(account, holdings_of(account), said, has_points)
    return Switch(
        account=account,
        day=day,
        as_of=as_of,
        now=standings_of(asked, terms_now(account, today), day=today),
        after=standings_of(asked, after, day=day),
    )


def preview_pooled(account: MarginAccount) -> Switch:
    """An isolated account now, and as one scope of all that its buckets hold; only to look at.

    Raises:
        WhatIfRefusedError: as `preview_switch`; `not_isolated`.
    """
    if account.mode != MarginAccount.Mode.ISOLATED:
        raise WhatIfRefusedError("not_isolated", f"{account.code} is no isolated account.")
    said = market_now()
    as_of = newest_as_of(said)
    day = as_of.astimezone(UTC).date()
    terms = terms_now(account, day)
    apart = Asked(account, holdings_of(account), said)
    everything = pooled(holding_of(bucket) for bucket in buckets_of(account))
    together = apart._replace(holdings={"all buckets": everything})
    return Switch(
        account=account,
        day=day,
        as_of=as_of,
        now=standings_of(apart, terms, day=day),
        after=standings_of(together, terms, day=day),
        can_be_asked=False,
    )


def look_at_signature(account: MarginAccount, agreement: Agreement, day: date) -> SignatureLook:
    """What a signature makes of an account whose model it changes; nothing where it changes none.

    An account that has no terms yet, and one in a book without marks, is not looked at. Where a
    model does not say what it requires nobody can know that margin is kept, so it is refused.
    """
    before = account_terms(account.pk, day=day)
    after = agreement.versions.filter(effective_from__lte=day).order_by("-effective_from").first()
    if before is None or after is None or not Mark.objects.exists():
        return SignatureLook(None)
    if (before.model, before.parameters) == (after.model, after.parameters):
        return SignatureLook(None)
    try:
        switch = preview_switch(account, agreement, day=day, has_points=False)
    except WhatIfRefusedError as refused:
        return SignatureLook((refused.rule, refused.detail))
    return SignatureLook(switch.refusal, tuple(fields_of(switch)))


def fields_of(switch: Switch) -> Iterable[FieldChange]:
    """What changes, as a person decides on it."""
    yield FieldChange("Margin", switch.now.mode, switch.after.mode)
    for name, after in switch.after.sides.items():
        now = switch.now.sides[name]
        yield FieldChange(f"{name}: state", now.state, after.state)
        for label, before, then in (
            ("initial margin", now.initial_margin, after.initial_margin),
            ("maintenance margin", now.maintenance_margin, after.maintenance_margin),
        ):
            yield FieldChange(
                f"{name}: {label}", grouped(before, decimals=2), grouped(then, decimals=2)
            )


def buckets_of(account: MarginAccount) -> list[Bucket]:
    """All buckets of an account, in the order of their codes."""
    return list(Bucket.objects.filter(account=account).select_related("account").order_by("code"))


def holdings_of(account: MarginAccount) -> dict[str, Holding]:
    """What each scope of an account holds, by its bucket's code.

    Of an account that a group is margined as, what the whole group holds.
    """
    pools = Pools.newest()
    return {
        bucket.code: Holding.together(together_with(bucket, pools=pools))
        if pools.group_of(bucket.pk) == bucket.pk
        else holding_of(bucket)
        for bucket in buckets_of(account)
        if bucket.is_margined
    }


def pooled(holdings: Iterable[Holding]) -> Holding:
    """All of it together; a position that is held twice has the average cost of both."""
    claims: dict[str, Decimal] = {}
    positions: dict[str, Position] = {}
    loan = ZERO
    with exact():
        for held in holdings:
            loan += held.loan
            for code, amount in held.claims.items():
                claims[code] = claims.get(code, ZERO) + amount
            for code, position in held.positions.items():
                positions[code] = _together(positions.get(code), position)
    return Holding(claims, positions, loan)


def _together(one: Position | None, other: Position) -> Position:
    if one is None or not one.quantity:
        return other
    quantity = one.quantity + other.quantity
    cost = one.quantity * one.average_cost + other.quantity * other.average_cost
    return Position(quantity, WIDE.divide(cost, quantity) if quantity else ZERO)


def terms_now(account: MarginAccount, day: date) -> AgreementVersion:
    terms = account_terms(account.pk, day=day)
    if terms is None:
        raise WhatIfRefusedError("no_agreement", f"{account.code} has no agreement in force.")
    return terms


def standings_of(asked: Asked, terms: AgreementVersion, *, day: date) -> Standings:
    """The scopes under terms, with the parameters of a day.

    Raises:
        WhatIfRefusedError: something held has no mark, or a model does not say what it requires.
    """
    codes = set().union(*(held.assets for held in asked.holdings.values()))
    now, as_of = asked.said, newest_as_of(asked.said)
    ground, assets = ground_at(as_of, codes=codes, day=day, now=now)
    try:
        used = None if terms.model == HOUSE_RULES else model_of(terms, day=day, now=now)
        if used is not None:
            besides = [asset.pk for asset in assets.values()]
            market = asked_market(as_of, day=day, used=[used], besides=besides, now=now)
            ground = replace(ground, asked=market)
        levels = levels_at(terms, day=day, at=as_of, terms=now.moving_terms(day))
        sides = {
            name: side_of(
                held,
                ground=ground,
                agreement=levels,
                is_cash_account=asked.account.mode == MarginAccount.Mode.CASH,
                used=used,
                has_points=asked.has_points,
            )
            for name, held in asked.holdings.items()
        }
    except ModelRefusedError as refused:
        raise WhatIfRefusedError(refused.rule, refused.detail) from refused
    return Standings(terms, mode_of(asked.account, terms), sides)
