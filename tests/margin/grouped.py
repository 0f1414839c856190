"""Accounts that are margined as a group, for tests: opened, joined and left by two people."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from uuid import UUID

from accounts.group_changes import Membership, NewGroup, request_group, request_members
from accounts.models import AccountGroup, Agreement, Bucket, MarginAccount, Role
from ledger.horizons import store_horizon
from margin.book import read_inputs
from margin.runs import Computed, computed
from tests.accounts.people import Desk, person
from tests.ledger.agreeing import agreed
from tests.margin.under import SECOND_DAY, results_of

WHY = "The clients signed the cross guarantee"
DOCUMENT = "CG-2031-07"


def made(
    desk: Desk, first: MarginAccount, agreement: str, day: date, *, code: str = "G1",
    guarantee: str = DOCUMENT,
) -> AccountGroup:  # fmt: skip
    """A group of the owner of an account, without members."""
    asked = request_group(
        NewGroup(
            legal_entity=desk.entity, code=code, owner_class=first.owner_class,
            client=first.client, agreement=Agreement.objects.get(code=agreement),
            effective_from=day, guarantee_reference=guarantee,
            guarantee_dated_on=SECOND_DAY if guarantee else None,
        ),
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])
    return AccountGroup.objects.select_related("account").get(code=code)


def asked_to(
    desk: Desk, group: AccountGroup, day: date, *, join: Sequence[MarginAccount] = (),
    leave: Sequence[MarginAccount] = (),
) -> UUID:  # fmt: skip
    return request_members(
        Membership(group, day, tuple(join), tuple(leave)),
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip


def changed(
    desk: Desk, group: AccountGroup, day: date, *, join: Sequence[MarginAccount] = (),
    leave: Sequence[MarginAccount] = (),
) -> None:  # fmt: skip
    """Accounts join or leave, agreed to by another person."""
    agreed(asked_to(desk, group, day, join=join, leave=leave), desk[Role.COMPLIANCE])


def fit(day: date, *, count: int = 3) -> list[MarginAccount]:
    """Cross accounts of clients that hold something and have what they need, by code."""
    found: dict[str, MarginAccount] = {}
    short: set[str] = set()
    for bucket, result in results_of(day).items():
        account = bucket.account
        if account.owner_class == "CLIENT" and account.mode == "cross":
            if result.equity < result.initial_margin or not result.initial_margin:
                short.add(account.code)
            found[account.code] = account
    return [found[code] for code in sorted(found) if code not in short][:count]


def group_bucket(group: AccountGroup) -> Bucket:
    return Bucket.objects.select_related("account").get(account=group.account)


def run_now(day: date) -> Computed:
    """What a run of a day would say, with all that is known by now."""
    as_of = datetime.combine(day, time(21), tzinfo=UTC)
    return computed(read_inputs(horizon_id=store_horizon("test").pk, as_of=as_of))


def place_of(done: Computed, bucket: Bucket) -> int | None:
    """Where a run speaks of a bucket; None where it does not."""
    scopes = done.charged.read.scopes
    return next((n for n, row in enumerate(scopes) if row.bucket_id == bucket.pk), None)
