"""Groups of accounts that are margined as one: how they stand, and what a change of members does.

Both are the evaluation of the next run. Stand-alone figures are those of each member by itself
under the group's own terms, so that what differs is only that they are together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from accounts.agreed_terms import account_terms
from accounts.approvals import FieldChange
from accounts.figures import grouped
from accounts.group_changes import GroupLook, Membership, register_group_look
from accounts.groups import accounts_of
from accounts.models import AccountGroup, AgreementVersion, Bucket, MarginAccount
from ledger.models import Asset
from margin.book.now import MarketNow, market_now
from margin.engine.exact import ZERO, exact
from margin.free import FreeAmount, free_amount
from margin.holding import newest_gate
from margin.market.marks import BASE
from margin.mode_switch import Asked, standings_of
from margin.models import MarginCall, Mark
from margin.scope_frame import holder_name, holding_of
from margin.scope_holding import Holding
from margin.scope_standing import Side
from margin.what_if_ground import WhatIfRefusedError, newest_as_of

BREACH = "group_keeps_initial_margin"
FROM_TODAY = "members_change_from_today_on"
OPEN_CALL = "open_call_stays_where_it_is"


@dataclass(frozen=True, slots=True)
class GroupPreview:
    """Every scope that a change of members touches, now and after, by name.

    Attributes:
        day: from which it holds.
    """

    change: Membership
    day: date
    as_of: datetime
    now: Mapping[str, Side]
    after: Mapping[str, Side]

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Rule and sentence where a scope would not keep its initial margin."""
        for name, side in self.after.items():
            if side.equity < side.initial_margin:
                return BREACH, (
                    f"{name} would have {side.equity:,.2f} equity against"
                    f" {side.initial_margin:,.2f} initial margin."
                )
        return None


@dataclass(frozen=True, slots=True)
class MemberStanding:
    """One member by itself, under the group's terms, and what may leave it.

    Attributes:
        free: the least of what the member owns and what the group has beyond its need.
    """

    account: MarginAccount
    side: Side
    free: tuple[tuple[Bucket, FreeAmount], ...]


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """A group at the newest marks, and each of its members as it would be alone.

    Attributes:
        alone_initial, alone_maintenance: what members would need apart, added up.
    """

    group: AccountGroup
    day: date
    as_of: datetime
    terms: AgreementVersion
    side: Side
    members: tuple[MemberStanding, ...]
    alone_initial: Decimal
    alone_maintenance: Decimal

    @property
    def saved(self) -> Decimal:
        """What being together takes from the initial margin."""
        with exact():
            return self.alone_initial - self.side.initial_margin

    @property
    def loan(self) -> Decimal:
        return self.side.holding.loan

    @property
    def collateral(self) -> Decimal:
        """What loans stand against: equity before they are taken off."""
        with exact():
            return self.side.equity + self.loan

    @property
    def loan_to_value(self) -> Decimal | None:
        """Loans as a share of what they stand against; None where that is nothing."""
        if self.collateral <= 0:
            return None
        return (self.loan / self.collateral).quantize(Decimal("0.000001"))


def pooled_of(account: MarginAccount) -> list[Bucket]:
    """The buckets of an account that a group would hold: margined, and not isolated."""
    return list(
        Bucket.objects.filter(account=account, is_margined=True)
        .exclude(role=Bucket.Role.ISOLATED)
        .select_related("account")
        .order_by("code")
    )


def holding_of_group(group: AccountGroup, accounts: Iterable[MarginAccount]) -> Holding:
    """What a group of these accounts would hold, with what its own account holds."""
    assert group.account is not None, "the group is margined"
    return Holding.together(
        {
            holder_name(bucket): holding_of(bucket)
            for account in (group.account, *accounts)
            for bucket in pooled_of(account)
        }
    )


def preview_members(change: Membership) -> GroupPreview:
    """Every scope that a change of members touches, at the newest marks.

    The next run says the same of that day if nothing is booked and no price moves.

    Raises:
        WhatIfRefusedError: `no_agreement`, `no_mark`, or what keeps a model from saying what it
            requires.
    """
    group, said = change.group, market_now()
    as_of = newest_as_of(said)
    assert group.account is not None, "the group is margined"
    today = as_of.astimezone(UTC).date()
    day = max(change.day, today)
    leaving = {account.pk for account in change.leave}
    before = accounts_of(group, day=today)
    then_there = accounts_of(group, day=day)
    stay = [account for account in then_there if account.pk not in leaving]
    after = [*stay, *change.join]
    name = f"group {group.code}"
    now = {name: holding_of_group(group, before)}
    then = {name: holding_of_group(group, after)}
    return GroupPreview(
        change=change,
        day=day,
        as_of=as_of,
        now={
            **(_sides(group.account, now, said, today) if before else {}),
            **_sides_alone(change.join, said=said, day=today),
        },
        after={
            **_sides(group.account, then, said, day),
            **_sides_alone(change.leave, said=said, day=day),
        },
    )


def _sides_alone(
    accounts: Sequence[MarginAccount], *, said: MarketNow, day: date
) -> dict[str, Side]:
    """Scopes of accounts under their own terms."""
    found: dict[str, Side] = {}
    for account in accounts:
        held = {holder_name(bucket): holding_of(bucket) for bucket in pooled_of(account)}
        found.update(_sides(account, held, said, day))
    return found


def _sides(
    account: MarginAccount, holdings: Mapping[str, Holding], said: MarketNow, day: date
) -> Mapping[str, Side]:
    """How these stand under an account's terms of a day.

    Raises:
        WhatIfRefusedError: `no_agreement`, or as `standings_of`.
    """
    terms = account_terms(account.pk, day=day)
    if terms is None:
        detail = f"{account.code} has no agreement in force on {day}."
        raise WhatIfRefusedError("no_agreement", detail)
    asked = Asked(account, holdings, said, has_points=False)
    return standings_of(asked, terms, day=day).sides


def standing_of_group(group: AccountGroup, *, has_free: bool = True) -> GroupStanding:
    """A group as it stands at the newest marks, with its members.

    Args:
        has_free: whether what may leave each member is looked for.

    Raises:
        WhatIfRefusedError: as `preview_members`.
    """
    said = market_now()
    as_of = newest_as_of(said)
    day = as_of.astimezone(UTC).date()
    assert group.account is not None, "the group is margined"
    terms = account_terms(group.account.pk, day=day)
    if terms is None:
        raise WhatIfRefusedError("no_agreement", f"{group.code} has no agreement in force.")
    accounts = accounts_of(group, day=day)
    apart = {
        account.code: Holding.together(
            {holder_name(bucket): holding_of(bucket) for bucket in pooled_of(account)}
        )
        for account in accounts
    }
    everything = {"": holding_of_group(group, accounts), **apart}
    sides = standings_of(Asked(group.account, everything, said, False), terms, day=day).sides
    with exact():
        initial = sum((sides[account.code].initial_margin for account in accounts), ZERO)
        maintenance = sum((sides[account.code].maintenance_margin for account in accounts), ZERO)
    free = _free_of(accounts) if has_free else {}
    return GroupStanding(
        group=group,
        day=day,
        as_of=as_of,
        terms=terms,
        side=sides[""],
        members=tuple(
            MemberStanding(account, sides[account.code], free.get(account.pk, ()))
            for account in accounts
        ),
        alone_initial=initial,
        alone_maintenance=maintenance,
    )


def _free_of(
    accounts: Sequence[MarginAccount],
) -> dict[int, tuple[tuple[Bucket, FreeAmount], ...]]:
    """What may leave the buckets of members, in the currency."""
    gate, asset = newest_gate(), Asset.objects.get(code=BASE)
    return {
        account.pk: tuple(
            (bucket, free_amount(bucket, asset, gate=gate)) for bucket in pooled_of(account)
        )
        for account in accounts
    }


# ---------------------------------------------------------------- before two people agree


def look_at_members(change: Membership) -> GroupLook:
    """What a change of members makes of all scopes that it touches, and why it must not be.

    Where a model does not say what it requires nobody can know that margin is kept.
    """
    if not Mark.objects.exists():
        return GroupLook(None)
    wrong = _too_early(change) or _called(change)
    try:
        seen = preview_members(change)
    except WhatIfRefusedError as refused:
        return GroupLook(wrong or (refused.rule, refused.detail))
    return GroupLook(wrong or seen.refusal, tuple(fields_of(seen)))


def _too_early(change: Membership) -> tuple[str, str] | None:
    today = newest_as_of().astimezone(UTC).date()
    if change.day < today:
        return FROM_TODAY, f"Members change from {today} on, not before."
    return None


def _called(change: Membership) -> tuple[str, str] | None:
    """An open call is answered by the scope that it was made on, before that scope changes."""
    scopes = [bucket.pk for account in change.join for bucket in pooled_of(account)]
    if change.leave and change.group.account is not None:
        scopes += [bucket.pk for bucket in pooled_of(change.group.account)]
    found = (
        MarginCall.objects.open()
        .filter(scope__bucket__in=scopes)
        .select_related("scope__bucket__account")
        .order_by("pk")
        .first()
    )
    if found is None:
        return None
    assert found.scope.bucket is not None, "calls are made on buckets"
    return OPEN_CALL, f"{found.scope.bucket.account.code} has the open call {found.number}."


def fields_of(seen: GroupPreview) -> Iterable[FieldChange]:
    """What changes, as a person decides on it."""
    for name in [*seen.after, *(name for name in seen.now if name not in seen.after)]:
        now, after = seen.now.get(name), seen.after.get(name)
        yield FieldChange(f"{name}: state", _state(now), _state(after))
        yield FieldChange(f"{name}: equity", _said(now, "equity"), _said(after, "equity"))
        for label, part in (
            ("initial margin", "initial_margin"),
            ("maintenance margin", "maintenance_margin"),
        ):
            yield FieldChange(f"{name}: {label}", _said(now, part), _said(after, part))


def _state(side: Side | None) -> str:
    return "not a scope of its own" if side is None else side.state


def _said(side: Side | None, part: str) -> str:
    return "none" if side is None else grouped(getattr(side, part), decimals=2)


def register() -> None:
    """Have changes of members looked at before and when they count."""
    register_group_look(look_at_members)
