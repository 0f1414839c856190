"""Custody of other kinds, and money on its way: apart by class, aged, alarmed."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from accounts.approvals import apply_approved
from accounts.audit import RefusedError, acting
from accounts.models import Approval, Role
from ledger.models import LedgerAccount
from ledger.posting import AccountKey, open_accounts
from ledger.transit import late_lots, request_rule, transit_lots
from tests.accounts.people import person
from tests.ledger.book import DESK, Book
from tests.ledger.raw import Owner, Raw, refused_by_hand, run

THURSDAY = date(2026, 2, 12)


def at(day: int) -> datetime:
    return datetime(2026, 2, day, 12, tzinfo=UTC)


def lots(book: Book, day: date) -> list[tuple[date, str, int, bool]]:
    found = transit_lots(day, entities=[book.desk.entity.pk])
    return [(lot.left_on, format(lot.open.normalize(), "f"), lot.age, lot.is_late) for lot in found]


def place(book: Book, name: str, location: str, account_class: str, asset: str = "USD") -> None:
    """Open a ledger account of another kind of custody and call it by a name."""
    where = book.locations[location]
    key = AccountKey(where.pool_id, book.assets[asset].pk, account_class, location_id=where.pk)
    with acting(DESK, reason="Opens custody of another kind"):
        book.ids[name] = open_accounts([key])[key]


def test_money_on_its_way_is_aged_by_lot_and_the_oldest_arrives_first(book: Book) -> None:
    for day, amount in ((9, "100"), (10, "50"), (11, "30")):
        book.post_approved(
            "transit_out", ("client_transit", amount), ("client_bank", f"-{amount}"), at=at(day)
        )
    book.post("transit_in", ("client_transit", "-120"), ("client_bank", "120"), at=at(12))
    assert lots(book, THURSDAY) == [
        (date(2026, 2, 10), "30", 2, False), (date(2026, 2, 11), "30", 1, False),
    ]  # fmt: skip
    # A weekend does not age it.
    assert lots(book, date(2026, 2, 15)) == [
        (date(2026, 2, 10), "30", 3, True), (date(2026, 2, 11), "30", 2, False),
    ]  # fmt: skip
    assert lots(book, date(2026, 2, 11)) == [
        (date(2026, 2, 9), "100", 2, False), (date(2026, 2, 10), "50", 1, False),
        (date(2026, 2, 11), "30", 0, False),
    ]  # fmt: skip


def test_two_people_change_when_it_alarms(book: Book, owner: Owner) -> None:
    book.post_approved("transit_out", ("client_transit", "1"), ("client_bank", "-1"), at=at(9))
    assert late_lots(THURSDAY, entities=[book.desk.entity.pk])
    asked = request_rule(
        business_days=5, effective_from=THURSDAY, reason="This bank is slow on Thursdays.",
        legal_entity=book.desk.entity, actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip
    book.decide(asked, checker=Role.RISK)
    apply_approved(Approval.objects.get(pk=asked), actor=person(book.desk[Role.RISK]))
    assert not late_lots(THURSDAY, entities=[book.desk.entity.pk])
    with refused_by_hand(book, "transit_rule_is_set_by_two"):
        run(
            owner,
            "INSERT INTO ledger_transitrule (effective_from, business_days)"
            " VALUES ('2026-02-06', 100)",
        )


def test_a_loan_may_be_on_its_way_and_arrives(book: Book) -> None:
    before = book.balances()
    book.post(
        "borrow_in_transit",
        ("client_transit", "50"), ("bob", "-50"), ("house_bank", "-50"), ("loan/bob", "50"),
    )  # fmt: skip
    book.post("transit_in", ("client_transit", "-50"), ("client_bank", "50"))
    assert book.moved(before) == {
        "bob": "-50", "client_bank": "50", "house_bank": "-50", "loan/bob": "50",
    }  # fmt: skip


def test_what_is_on_its_way_is_what_left(book: Book, owner: Owner) -> None:
    legs = ("client_transit", "70"), ("bob", "-70"), ("house_bank", "-50"), ("loan/bob", "50")
    with book.refused("transit_carries_what_left"):
        book.post("borrow_in_transit", *legs)
    with refused_by_hand(book, "transit_carries_what_left"):
        Raw("borrow_in_transit", legs).write(owner, book)


@pytest.mark.parametrize(
    ("kind", "gets"),
    [("residual_deposit_in_transit", "residual"), ("shortfall_funding_in_transit", "shortfall")],
)
def test_a_top_up_may_be_on_its_way(book: Book, kind: str, gets: str) -> None:
    if gets == "shortfall":
        book.post_approved("bank_error", ("shortfall", "20"), ("client_bank", "-20"))
    before = book.balances()
    book.post_approved(
        kind, ("house_equity", "20"), ("house_bank", "-20"), ("client_transit", "20"), (gets, "-20")
    )
    assert book.moved(before) == {
        "client_transit": "20", "house_bank": "-20", "house_equity": "20", gets: "-20",
    }  # fmt: skip


def test_delegated_and_mirrored_custody_stand_apart(book: Book) -> None:
    place(book, "delegated", "venue", "delegated")
    place(book, "mirrored", "custodian", "mirrored", "SPY")
    book.ids["mirrored:SPY"] = book.ids["mirrored"]
    before = book.balances()
    book.post("delegation", ("client_bank", "-200"), ("delegated", "200"))
    book.post("mirroring", ("custodian:SPY", "-4"), ("mirrored:SPY", "4"))
    moved = book.moved(before)
    assert moved["client_bank"] == "-200"
    assert moved["delegated"] == "200"
    assert moved["custodian:SPY"] == "-4"
    with book.refused("custody_not_below_zero"):
        book.post("delegation", ("client_bank", "200.01"), ("delegated", "-200.01"))
    book.post("delegation", ("client_bank", "200"), ("delegated", "-200"))
    assert book.balance("delegated") == 0


def test_what_is_mirrored_stays_with_its_custodian(book: Book) -> None:
    place(book, "mirrored:BTC", "client_wallet", "mirrored", "BTC")
    book.post("custody_move", ("client_wallet:BTC", "-0.5"), ("client_vault:BTC", "0.5"))
    with book.refused("mirrored_assets_stay_with_their_custodian"):
        book.post("mirroring", ("client_vault:BTC", "-0.1"), ("mirrored:BTC", "0.1"))


def test_a_bank_delegates_nothing_and_a_venue_mirrors_nothing(book: Book) -> None:
    for location, account_class in (("client_bank", "delegated"), ("venue", "mirrored")):
        with pytest.raises(RefusedError) as refused:
            place(book, "wrong", location, account_class)
        assert refused.value.rule == "ledger_account_is_truthful"
    assert not LedgerAccount.objects.filter(account_class__in=["delegated", "mirrored"]).exists()


def test_a_lot_is_exact(book: Book) -> None:
    book.post_approved("transit_out", ("client_transit", "0.01"), ("client_bank", "-0.01"))
    (lot,) = transit_lots(THURSDAY, entities=[book.desk.entity.pk])
    assert (lot.sent, lot.open, lot.pool, lot.asset) == (
        Decimal("0.01"), Decimal("0.01"), "CLIENT", "USD",
    )  # fmt: skip
