"""The firm that the bank test works at: more clients than the book of other tests, all with money.

Every client has three buckets: `c1` is free, `c1/HOLD` holds money back, `c1/ISO` is margined and
trades perpetuals. The first clients are poor, so that what is drawn at once is often not there.
"""

from dataclasses import replace
from decimal import Decimal

from accounts.audit import acting
from accounts.models import Bucket, MarginAccount
from ledger.posting import Draft, open_accounts
from tests.ledger.book import DESK, Book, found_book
from tests.ledger.firm import DAY, found_client

POOR = ("c1", "c2")
RICH = ("c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10")
CLIENTS = (*POOR, *RICH)
BUCKETS = (
    ("FREE", "FREE", "", False),
    ("HOLD", "HOLD", "", False),
    ("ISO", "ISOLATED", "BTC-PERP", True),
)
SHARES, SHARE_PRICE = 200, 100


def found_bank(db: None = None) -> Book:
    """Found the firm, and let its clients bring money and buy shares."""
    book = found_book(db)
    with acting(DESK, reason="A bank founds its clients"):
        buckets = dict(book.buckets)
        for name in CLIENTS:
            client = found_client(book.desk.entity, name)
            account = MarginAccount.objects.create(
                legal_entity=book.desk.entity, code=name, owner_class="CLIENT", client=client,
                mode="isolated", opened_on=DAY,
            )  # fmt: skip
            for code, role, instrument, is_margined in BUCKETS:
                buckets[name if code == "FREE" else f"{name}/{code}"] = Bucket.objects.create(
                    account=account, code=code, role=role, instrument_code=instrument,
                    is_margined=is_margined,
                )  # fmt: skip
        book = replace(book, buckets=buckets)
        names = [
            *(
                name if code == "FREE" else f"{name}/{code}"
                for name in CLIENTS
                for code, *_ in BUCKETS
            ),
            *(f"{name}:SPY" for name in CLIENTS),
            *(f"{name}/ISO:BTC-PERP" for name in CLIENTS),
        ]
        ids = open_accounts([book.key(name) for name in names])
        book.ids.update({name: ids[book.key(name)] for name in names})
    book.post_drafts(*(draft for name in CLIENTS for draft in _begins(book, name)))
    book.post("custody_move", ("client_bank", "-60000"), ("venue", "60000"))
    return book


def _begins(book: Book, name: str) -> list[Draft]:
    """A client's first money and shares; poor ones have shares and little else."""
    free = "60" if name in POOR else "20000"
    cost = str(SHARES * SHARE_PRICE)
    return [
        book.draft("deposit", ("client_bank", cost), (name, f"-{cost}")),
        book.draft(
            "security_trade",
            book.leg(f"{name}:SPY", f"-{SHARES}", price=str(SHARE_PRICE)),
            book.leg("custodian:SPY", str(SHARES)),
            (name, cost), ("client_bank", f"-{cost}"),
        ),
        book.draft("deposit", ("client_bank", free), (name, f"-{free}")),
        book.draft("deposit", ("client_bank", "300"), (f"{name}/ISO", "-300")),
        book.draft("deposit", ("client_bank", "500"), (f"{name}/HOLD", "-500")),
    ]  # fmt: skip


def scale_of(book: Book) -> dict[int, Decimal]:
    """By ledger account, how many of its smallest units are one."""
    return {
        pk: Decimal(10) ** book.assets[name.partition(":")[2] or "USD"].scale
        for name, pk in book.ids.items()
    }
