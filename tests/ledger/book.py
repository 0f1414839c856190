"""A small firm for tests of the book: three pools, a few clients, money in every pool.

Ledger accounts have short names:

- `alice`, `alice:BTC`: what her FREE bucket is owed; `alice:SPY`, `alice:BTC-PERP`: her positions;
- `alice/ISO`, `alice/ISO:BTC-PERP`: the same of her isolated bucket, which is margined;
- `client_bank`, `venue:BTC-PERP`: what a location holds;
- `residual`, `shortfall`, `unallocated`, `client_transit`, `house_equity`, `insurance_equity`,
  `house_transit`: the firm's own sides of the pools;
- `loan/bob`: what the house lent to Bob; `opening/CLIENT`: a pool's opening clearing.

The asset is USD where none is named. As everywhere in the book a positive amount is a debit.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import Sum

from accounts.audit import Actor, RefusedError, acting
from accounts.models import Bucket, Client, LegalEntity, Role
from ledger.models import Asset, Balance, EntryKind, Location, Pool, Release
from ledger.posting import (
    AccountKey,
    Draft,
    Leg,
    LossParts,
    open_accounts,
    plain,
    post_entries,
    reversal_draft,
)
from ledger.residual import state_segregation
from tests.accounts.people import Desk, found_desk, person
from tests.ledger.firm import (
    FIRM_SIDES,
    LOCATIONS,
    account_key,
    found_accounts,
    found_assets,
    found_client,
    found_locations,
)
from tests.stage import staged

DESK = Actor.job("test-desk")
NOON = datetime(2026, 2, 5, 12, tzinfo=UTC)
DAY_BEFORE = NOON - timedelta(days=1)

OPENING = {
    "client_bank": "2600", "carol_bank": "300", "venue": "1000", "client_wallet:BTC": "1.5",
    "custodian:SPY": "10", "alice": "-1000", "alice/ISO": "-500", "bob": "-2000",
    "carol": "-300", "alice:BTC": "-1.5", "residual": "-100", "bob:SPY": "-10",
    "house_bank": "5000", "house_savings": "700", "house_equity": "-5700",
    "insurance_bank": "100", "insurance_equity": "-100",
}  # fmt: skip
AVERAGES = {"bob:SPY": "280"}


@dataclass(frozen=True)
class Book:
    """The firm, and what a test says to its book."""

    desk: Desk
    pools: Mapping[str, Pool]
    assets: Mapping[str, Asset]
    locations: Mapping[str, Location]
    clients: Mapping[str, Client]
    buckets: Mapping[str, Bucket]
    ids: dict[str, int]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __getitem__(self, name: str) -> int:
        """Id of a ledger account by its name."""
        return self.ids[name]

    def key(self, name: str) -> AccountKey:
        """What makes the ledger account of this name."""
        return account_key(
            name,
            pools=self.pools,
            assets=self.assets,
            locations=self.locations,
            buckets=self.buckets,
        )

    # ------------------------------------------------------------------ posting

    def leg(
        self,
        name: str,
        amount: str,
        *,
        price: str | None = None,
        average: str | None = None,
        reference: str | None = None,
    ) -> Leg:
        """One side of an entry."""
        return Leg(
            account_id=self[name],
            amount=Decimal(amount),
            reference=reference,
            price=None if price is None else Decimal(price),
            average=None if average is None else Decimal(average),
        )

    def contracts(self, who: str, quantity: Decimal, price: str) -> tuple[Leg, Leg]:
        """Perpetuals bought at the venue, or sold where the quantity is negative."""
        return (
            self.leg(f"{who}:BTC-PERP", plain(-quantity), price=price),
            self.leg("venue:BTC-PERP", plain(quantity)),
        )

    def draft(
        self,
        kind: str,
        *legs: Leg | tuple[str, str],
        key: str | None = None,
        reference: str = "R-1",
        at: datetime = NOON,
        approval: UUID | None = None,
        release: UUID | None = None,
        loss: LossParts | None = None,
        reverses: int | None = None,
        narrative: str = "",
    ) -> Draft:
        """An entry as it is asked for, under a key of its own unless one is given."""
        return Draft(
            key=f"test:{next(self.numbers)}" if key is None else key,
            kind=kind,
            effective_at=at,
            reference=reference,
            legs=[leg if isinstance(leg, Leg) else self.leg(*leg) for leg in legs],
            approval_id=approval,
            release_id=release,
            loss=loss,
            reverses=reverses,
            narrative=narrative,
        )

    def post(self, kind: str, *legs: Leg | tuple[str, str], **draft: Any) -> int:
        """Post one entry in an act of its own; returns its id."""
        return self.post_drafts(self.draft(kind, *legs, **draft))[0]

    def post_drafts(self, *drafts: Draft) -> list[int]:
        """Post entries in one act; returns their ids."""
        with acting(DESK, reason="A test posts"):
            return [posted.entry_id for posted in post_entries(drafts)]

    def approved(self, draft: Draft) -> Draft:
        """The draft with the approval of a second person."""
        return Draft(**{**vars(draft), "approval_id": self.approve(draft)})

    def post_approved(self, kind: str, *legs: Leg | tuple[str, str], **draft: Any) -> int:
        """Post one entry that two people have agreed to."""
        return self.post_drafts(self.approved(self.draft(kind, *legs, **draft)))[0]

    def settle(self, kind: str, *legs: Leg | tuple[str, str], **draft: Any) -> int:
        """Post one entry, with the approval of a second person where its kind needs one."""
        if EntryKind.objects.get(pk=kind).needs_approval:
            return self.post_approved(kind, *legs, **draft)
        return self.post(kind, *legs, **draft)

    def reversal(self, entry_id: int) -> Draft:
        """The entry that undoes another, with the approval of a second person."""
        undone = reversal_draft(
            entry_id,
            key=f"test:{next(self.numbers)}",
            effective_at=NOON,
            reference="R-1",
            narrative="A test undoes it",
        )
        return self.approved(undone)

    def reverse(self, entry_id: int) -> int:
        """Undo an entry; returns the id of the reversal."""
        return self.post_drafts(self.reversal(entry_id))[0]

    # ------------------------------------------------------------------ leave to post

    def approve(
        self, draft: Draft, *, maker: Role = Role.OPERATIONS, checker: Role = Role.TREASURY
    ) -> UUID:
        """Have exactly this entry asked for by one person and approved by another."""
        approval = self.request(draft, maker=maker)
        self.decide(approval, checker=checker)
        return approval

    def request(self, draft: Draft, *, maker: Role = Role.OPERATIONS) -> UUID:
        """Have somebody ask for exactly this entry."""
        payload = json.dumps(draft.content())
        with acting(person(self.desk[maker]), reason="Asks"), connection.cursor() as cursor:
            cursor.execute(
                "SELECT accounts.request_approval(%s, %s, %s, %s::jsonb, %s)",
                [self.desk.entity.pk, f"entry.{draft.kind}", draft.key, payload, "It is in order."],
            )
            return UUID(str(cursor.fetchone()[0]))

    def decide(self, approval: UUID, *, checker: Role, decision: str = "approved") -> None:
        """Have somebody decide a request."""
        with acting(person(self.desk[checker]), reason="Decides"), connection.cursor() as cursor:
            cursor.execute(
                "SELECT accounts.decide_approval(%s, %s, %s)",
                [approval, decision, "I have looked at it."],
            )

    def version(self, bucket: str) -> int:
        """Postings to a bucket so far."""
        owned = Balance.objects.filter(account__bucket=self.buckets[bucket])
        return int(owned.aggregate(postings=Sum("seq"))["postings"] or 0)

    def release(
        self, bucket: str, kind: str, amount: str, *, asset: str = "USD", version: int | None = None
    ) -> UUID:
        """Margin's leave to lower a bucket once, as it stands now unless a version is given."""
        with acting(DESK, reason="A test releases"):
            given = Release.objects.create(
                bucket=self.buckets[bucket],
                kind_id=kind,
                asset=self.assets[asset],
                amount=Decimal(amount),
                price_snapshot="test",
                scope_version=self.version(bucket) if version is None else version,
                binding_term="initial_margin",
            )
        return given.pk

    def state(self, day: date) -> int:
        """State the segregation of the firm's client pools for a business day."""
        with acting(DESK, reason="A test states segregation"):
            return state_segregation(self.desk.entity.pk, day=day)

    # ------------------------------------------------------------------ what stands

    def balance(self, name: str) -> Decimal:
        """The balance as stored: debit positive."""
        return Balance.objects.get(account_id=self[name]).amount

    def balances(self) -> dict[str, Decimal]:
        """Every balance other than zero, by name."""
        amounts = dict(Balance.objects.values_list("account_id", "amount"))
        return {name: amounts[pk] for name, pk in self.ids.items() if amounts[pk]}

    def moved(self, before: Mapping[str, Decimal]) -> dict[str, str]:
        """By how much each balance differs from what it was."""
        after = self.balances()
        names = sorted(before.keys() | after.keys())
        changes = {name: after.get(name, Decimal(0)) - before.get(name, 0) for name in names}
        return {name: plain(change) for name, change in changes.items() if change}

    def digest(self) -> str:
        """One sha256 over every row of every table."""
        return digest()

    @contextmanager
    def refused(self, rule: str) -> Iterator[None]:
        """Prove that what is done inside is refused by this rule and that nothing moved."""
        before = self.digest()
        with pytest.raises(RefusedError) as refusal:
            yield
        assert refusal.value.rule == rule, f"{refusal.value.rule}: {refusal.value.detail}"
        assert self.digest() == before, "a refusal moved something"


def digest() -> str:
    """One sha256 over every row of every table of the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        parts = " UNION ALL ".join(
            f"SELECT '{table}' AS name,"
            f" string_agg(t::text, E'\\n' ORDER BY t::text) AS content FROM public.{table} t"
            if size
            else f"SELECT '{table}' AS name, NULL::text AS content"  # an empty file holds no row
            for table, size in cursor.fetchall()
        )
        cursor.execute(
            "SELECT encode(sha256(convert_to(string_agg(name || E'\\n' || coalesce(content, ''),"
            f" E'\\n' ORDER BY name), 'UTF8')), 'hex') FROM ({parts}) tables"
        )
        return str(cursor.fetchone()[0])


def found_book(db: None = None, *, opened: bool = True) -> Book:
    """Found the firm with its people, and open its book unless it shall stay empty.

    Args:
        db: the fixture, so that nobody forgets to ask for a database of the test's own.
        opened: whether the opening balances are posted.
    """
    return staged("a book" if opened else "an empty book", lambda: _found_book(opened=opened))


def _found_book(*, opened: bool) -> Book:
    desk = found_desk()
    with acting(DESK, reason="A test founds a book"):
        assets = found_assets()
        pools = {
            code: Pool.objects.create(legal_entity=desk.entity, code=code, owner_class=code)
            for code in ("CLIENT", "HOUSE", "INSURANCE")
        }
        other = LegalEntity.objects.create(code="OTHER", name="Another firm")
        pools["OTHER"] = Pool.objects.create(legal_entity=other, code="HOUSE", owner_class="HOUSE")
        clients = {name: found_client(desk.entity, name) for name in ("alice", "bob", "carol")}
        buckets = found_accounts(desk.entity, clients)
        locations = found_locations(pools, assets, carol=clients["carol"])
        book = Book(desk, pools, assets, locations, clients, buckets, ids={})
        names = [
            *(f"{place}:{a}" for place, (_, _, _, codes) in LOCATIONS.items() for a in codes),
            *(f"{bucket}:{code}" for bucket in buckets for code in assets),
            *FIRM_SIDES,
            *(f"loan/{bucket}" for bucket in ("alice", "bob", "carol")),
            *(f"opening/{pool}:{code}" for pool in pools for code in assets),
        ]
        ids = open_accounts([book.key(name) for name in names])
        for name in names:
            base, _, code = name.partition(":")
            book.ids[base if code == "USD" else name] = ids[book.key(name)]
    if opened:
        book.post_drafts(*_opening(book))
        book.state(DAY_BEFORE.date())
    return book


def _opening(book: Book) -> list[Draft]:
    """What is held first, then what is owed; each against the clearing of its pool."""
    drafts = []
    pool_codes = {pool.pk: code for code, pool in book.pools.items()}
    for name, amount in sorted(OPENING.items(), key=lambda item: item[1].startswith("-")):
        asset = name.partition(":")[2]
        clearing = f"opening/{pool_codes[book.key(name).pool_id]}" + (f":{asset}" if asset else "")
        other = amount.removeprefix("-") if amount.startswith("-") else f"-{amount}"
        drafts.append(
            book.draft(
                "opening",
                book.leg(name, amount, average=AVERAGES.get(name)),
                (clearing, other),
                key=f"opening:{name}",
                at=DAY_BEFORE,
            )
        )
    return drafts
