"""A small book with clients, money and a perpetual, made through the product's own doors."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from time import monotonic

from django.db import connection

from accounts.audit import Actor, acting
from accounts.models import Act, Bucket, Client, LegalEntity, MarginAccount, PersonKey, SealBlock
from accounts.seals import seal_history
from ledger.models import Asset, Location, LocationAsset, Pool
from ledger.posting import AccountKey, Draft, Leg, open_accounts, post_entries

DESK = Actor.command("test")
NOON = datetime(2026, 2, 5, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Book:
    """Ledger account ids by what they are."""

    entity: LegalEntity
    accounts: dict[tuple[str, str], int]  # (who, asset): "A-1", "A-2", "bank", "residual"

    def deposit(self, who: str, amount: str, *, key: str) -> int:
        """Post one deposit in a transaction of its own; returns the entry's id."""
        with acting(DESK, reason="a deposit"):
            (posted,) = post_entries([self.deposit_draft(who, amount, key=key)])
        return posted.entry_id

    def deposit_draft(self, who: str, amount: str, *, key: str) -> Draft:
        value = Decimal(amount)
        return Draft(
            key=key,
            kind="deposit",
            effective_at=NOON,
            reference=key,
            legs=[
                Leg(self.accounts["bank", "USD"], value, reference=key),
                Leg(self.accounts[who, "USD"], -value),
            ],
        )

    def trade(self, who: str, quantity: str, price: str, *, key: str, realised: str = "0") -> int:
        """A perpetual bought (or sold, with a negative quantity), with the profit it realises."""
        contracts, profit = Decimal(quantity), Decimal(realised)
        legs = [
            Leg(self.accounts[who, "PERP"], -contracts, price=Decimal(price)),
            Leg(self.accounts["venue", "PERP"], contracts, reference=key),
        ]
        if profit:
            legs.append(Leg(self.accounts[who, "USD"], -profit))
            legs.append(Leg(self.accounts["venue", "USD"], profit, reference=key))
        draft = Draft(key=key, kind="derivative_trade", effective_at=NOON, reference=key, legs=legs)
        with acting(DESK, reason="a trade"):
            (posted,) = post_entries([draft])
        return posted.entry_id


def small_book(*, clients: int = 2) -> Book:
    """One legal entity with a client pool, a bank, a venue and as many clients as asked for."""
    with acting(DESK, reason="a small book"):
        entity = LegalEntity.objects.create(code="FIRM", name="Firm")
        pool = Pool.objects.create(legal_entity=entity, code="CLIENT", owner_class="CLIENT")
        usd = Asset.objects.create(code="USD", kind="money", scale=2)
        perp = Asset.objects.create(
            code="PERP", kind="derivative", scale=0, price_scale=2, settles_in=usd
        )
        places = {name: _place(name, pool, [usd, perp]) for name in ("bank", "venue")}
        keys = {
            (name, asset.code): AccountKey(pool.pk, asset.pk, "custody", location_id=place.pk)
            for name, place in places.items()
            for asset in (usd, perp)
        }
        keys["residual", "USD"] = AccountKey(pool.pk, usd.pk, "residual_interest")
        for n in range(1, clients + 1):
            bucket = _bucket(entity, n)
            keys[f"A-{n}", "USD"] = AccountKey(pool.pk, usd.pk, "claim", bucket_id=bucket.pk)
            keys[f"A-{n}", "PERP"] = AccountKey(pool.pk, perp.pk, "position", bucket_id=bucket.pk)
        opened = open_accounts(list(keys.values()))
    return Book(entity, {name: opened[key] for name, key in keys.items()})


def seal() -> SealBlock | None:
    """Seal all that is committed here, once the other tests' transactions are out of the way.

    The horizon is the server's, and other tests work in other databases of the same server.
    """
    newest = Act.objects.order_by("-xid").values_list("xid", flat=True)[0]
    deadline = monotonic() + 60
    with connection.cursor() as cursor:
        is_below = False
        while not is_below and monotonic() < deadline:
            cursor.execute(
                "SELECT pg_snapshot_xmin(pg_current_snapshot()) > %s::xid8", [str(newest)]
            )
            (is_below,) = cursor.fetchone()
    assert is_below, "a transaction of another test holds back the horizon"
    return seal_history()


def _place(name: str, pool: Pool, assets: list[Asset]) -> Location:
    kind = Location.Kind.BANK if name == "bank" else Location.Kind.VENUE
    place = Location.objects.create(
        code=name, pool=pool, kind=kind, title="omnibus", letter_reference="L-1"
    )
    for asset in assets:
        LocationAsset.objects.create(location=place, asset=asset)
    return place


def _bucket(entity: LegalEntity, number: int) -> Bucket:
    client = Client.objects.create(
        legal_entity=entity,
        code=f"C-{number}",
        name_sealed=b"sealed",
        person_key=PersonKey.objects.create(key=bytes(32)),
    )
    account = MarginAccount.objects.create(
        legal_entity=entity,
        code=f"A-{number}",
        owner_class="CLIENT",
        client=client,
        mode="cross",
        opened_on=date(2026, 1, 1),
    )
    return Bucket.objects.create(account=account, code="FREE", role="FREE", is_margined=False)
