"""The register of debts: agreed by two, nothing pledged twice, no owner classes mixed, rings."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connections

from accounts.approvals import apply_approved
from accounts.audit import RefusedError, acting
from accounts.models import AccountGroup, Approval, GroupMember, MarginAccount, Role
from ledger.debts import (
    Asked,
    group_exposures,
    links_of,
    pledged_in,
    request_end,
    request_obligation,
    rings,
)
from ledger.models import Obligation
from tests.accounts.people import person
from tests.ledger.book import DESK, Book
from tests.ledger.raw import Owner, Raw, refused_by_hand, run

DAY = date(2026, 2, 5)


def account(book: Book, who: str) -> MarginAccount:
    return book.buckets[who].account


def pledge(book: Book, who: str, amount: str, **changed: Any) -> Asked:
    """A pledge of an account's USD to the house, for the account's own debt."""
    said: dict[str, Any] = {
        "reference": f"P-{who}-{amount}",
        "kind": "pledge",
        "by": account(book, who),
        "to": book.desk.entity,
        "asset": book.assets["USD"],
        "amount": Decimal(amount),
        "effective_on": DAY,
        "secures": account(book, who),
        "bucket": book.buckets[who],
    }
    return Asked(**said | changed)


def guarantee(book: Book, giver: str, taker: str, amount: str = "100") -> Asked:
    return Asked(
        reference=f"G-{giver}-{taker}", kind="guarantee", by=account(book, giver),
        to=book.desk.entity, asset=book.assets["USD"], amount=Decimal(amount),
        effective_on=DAY, secures=account(book, taker),
    )  # fmt: skip


def ask(book: Book, asked: Asked) -> UUID:
    return request_obligation(
        asked, legal_entity=book.desk.entity, reason="The contract is signed.",
        actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip


def agree(book: Book, approval: UUID) -> None:
    book.decide(approval, checker=Role.RISK)
    apply_approved(Approval.objects.get(pk=approval), actor=person(book.desk[Role.RISK]))


def registered(book: Book, asked: Asked) -> Obligation:
    agree(book, ask(book, asked))
    return Obligation.objects.named().get(reference=asked.reference)


def test_two_people_register_an_obligation_and_end_it(book: Book) -> None:
    found = registered(book, pledge(book, "alice", "400"))
    assert pledged_in(book.buckets["alice"].pk, book.assets["USD"].pk) == 400
    ended = request_end(
        found, ended_on=DAY, reason="The debt is repaid.",
        actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip
    agree(book, ended)
    assert pledged_in(book.buckets["alice"].pk, book.assets["USD"].pk) == 0
    assert not Obligation.objects.live().exists()


def test_a_lot_is_not_pledged_twice(book: Book) -> None:
    registered(book, pledge(book, "alice", "700"))
    with pytest.raises(RefusedError) as refused:
        ask(book, pledge(book, "alice", "300.01"))
    assert refused.value.rule == "lot_is_pledged_once"
    registered(book, pledge(book, "alice", "300"))


def test_of_two_pledges_of_one_lot_at_once_one_is_registered(book: Book) -> None:
    asked = [ask(book, pledge(book, "alice", amount)) for amount in ("600", "601")]
    for each in asked:
        book.decide(each, checker=Role.RISK)
    actors = [person(book.desk[Role.RISK]) for _ in asked]

    def apply(number: int) -> str:
        try:
            apply_approved(Approval.objects.get(pk=asked[number]), actor=actors[number])
        except RefusedError as refused:
            return refused.rule
        else:
            return "registered"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(threads.map(apply, range(2)))
    assert outcomes == ["lot_is_pledged_once", "registered"]
    assert Obligation.objects.count() == 1


def test_what_is_pledged_does_not_leave_the_bucket(book: Book, owner: Owner) -> None:
    registered(book, pledge(book, "alice", "400"))
    with book.refused("pledged_assets_stay"):
        book.post("withdrawal", ("alice", "600.01"), ("client_bank", "-600.01"))
    with book.refused("pledged_assets_stay"):
        book.post("bucket_move", ("alice", "600.01"), ("alice/ISO", "-600.01"))
    with refused_by_hand(book, "pledged_assets_stay"):
        Raw("withdrawal", (("alice", "600.01"), ("client_bank", "-600.01"))).write(owner, book)
    book.post("withdrawal", ("alice", "600"), ("client_bank", "-600"))
    assert book.balance("alice") == -400


@pytest.mark.parametrize("side", ["secures", "bucket", "to"])
def test_a_clients_collateral_is_never_pledged_for_the_house(book: Book, side: str) -> None:
    house = account(book, "prop")
    changed: dict[str, Any] = {
        "secures": {"secures": house},
        "bucket": {"bucket": book.buckets["prop"]},
        "to": {"by": house, "to": account(book, "alice")},
    }[side]
    with pytest.raises(RefusedError) as refused:
        ask(book, pledge(book, "alice", "100", **changed))
    assert refused.value.rule == "owner_classes_do_not_meet"
    assert not Approval.objects.filter(action="obligation.register").exists()


@pytest.mark.parametrize(("giver", "taker"), [("alice", "prop"), ("prop", "alice")])
def test_no_guarantee_joins_two_owner_classes(book: Book, giver: str, taker: str) -> None:
    with pytest.raises(RefusedError) as refused:
        ask(book, guarantee(book, giver, taker))
    assert refused.value.rule == "owner_classes_do_not_meet"


def test_the_house_lends_to_a_client_and_no_client_to_the_house(book: Book) -> None:
    loan = Asked(
        reference="L-1", kind="loan", by=account(book, "bob"), to=book.desk.entity,
        asset=book.assets["USD"], amount=Decimal(50), effective_on=DAY,
    )  # fmt: skip
    registered(book, loan)
    back = Asked(
        reference="L-2", kind="loan", by=book.desk.entity, to=account(book, "bob"),
        asset=book.assets["USD"], amount=Decimal(50), effective_on=DAY,
    )  # fmt: skip
    with pytest.raises(RefusedError) as refused:
        ask(book, back)
    assert refused.value.rule == "owner_classes_do_not_meet"


def by_hand(book: Book, **changed: Any) -> str:
    said = {
        "legal_entity_id": book.desk.entity.pk, "reference": "'by hand'", "kind": "'pledge'",
        "by_account_id": account(book, "alice").pk, "to_entity_id": book.desk.entity.pk,
        "secures_account_id": account(book, "alice").pk, "bucket_id": book.buckets["alice"].pk,
        "asset_id": book.assets["USD"].pk, "amount": 100, "effective_on": "'2026-02-05'",
        "document_sha256": "''", "note": "''", "approval_id": "gen_random_uuid()",
    } | changed  # fmt: skip
    values = ", ".join(str(value) for value in said.values())
    return f"INSERT INTO ledger_obligation ({', '.join(said)}) VALUES ({values})"


def test_nobody_writes_the_register_past_its_rules(
    book: Book, owner: Owner, connect: Callable[[str], psycopg.Connection[Any]]
) -> None:
    prop = account(book, "prop").pk
    for changed, rule in (
        ({"secures_account_id": prop}, "owner_classes_do_not_meet"),
        ({"bucket_id": book.buckets["prop"].pk}, "owner_classes_do_not_meet"),
        ({"bucket_id": book.buckets["bob"].pk}, "pledge_is_of_ones_own"),
        ({"amount": "100.001"}, "obligation_fits_its_asset"),
        ({}, "obligation_is_agreed_by_two"),
    ):
        with refused_by_hand(book, rule):
            run(owner, by_hand(book, **changed))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connect("runtime").execute(by_hand(book))
    found = registered(book, pledge(book, "alice", "400"))
    with refused_by_hand(book, "history_is_append_only"):
        run(owner, "UPDATE ledger_obligation SET amount = 1")
    with refused_by_hand(book, "obligation_is_ended_by_two"):
        run(
            owner,
            "INSERT INTO ledger_obligationend (obligation_id, ended_on, reason, approval_id)"
            f" VALUES ({found.pk}, '2026-02-05', '', gen_random_uuid())",
        )


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"by_client_id": "1"}, "obligation_has_two_sides"),
        ({"to_entity_id": "NULL", "to_account_id": "by_alice"}, "nobody_owes_themselves"),
        ({"bucket_id": "NULL"}, "pledge_names_its_lot"),
        ({"amount": "0"}, "obligation_has_an_amount"),
    ],
)
def test_an_obligation_says_who_owes_whom_what(
    book: Book, superuser: Owner, changed: dict[str, Any], rule: str
) -> None:
    alice = account(book, "alice").pk
    named = {key: alice if value == "by_alice" else value for key, value in changed.items()}
    superuser.execute("ALTER TABLE ledger_obligation DISABLE TRIGGER obligation_is_registered")
    with refused_by_hand(book, rule):
        run(superuser, by_hand(book, **named))


def test_a_ring_of_guarantees_shows(book: Book) -> None:
    for giver, taker in (("alice", "bob"), ("bob", "carol"), ("carol", "alice")):
        registered(book, guarantee(book, giver, taker))
    links = links_of(Obligation.objects.named().live())
    (ring,) = rings(links)
    assert [party.code for party in ring] == ["alice", "bob", "carol"]
    assert rings(links[:2]) == []


def test_a_group_nets_registered_loans_and_nothing_else(book: Book) -> None:
    with acting(DESK, reason="Two accounts of one client are linked"):
        accounts = [
            MarginAccount.objects.create(
                legal_entity=book.desk.entity, code=code, owner_class="CLIENT",
                client=book.clients["alice"], mode="cross", opened_on=DAY,
            )
            for code in ("a1", "a2")
        ]  # fmt: skip
        group = AccountGroup.objects.create(
            legal_entity=book.desk.entity, code="g", owner_class="CLIENT",
            client=book.clients["alice"],
        )  # fmt: skip
        for each in accounts:
            GroupMember.objects.create(group=group, account=each, joined_on=DAY)
    one, two = accounts
    for number, (by, to, amount) in enumerate(((one, two, "70"), (two, one, "30.50"))):
        registered(
            book,
            Asked(
                reference=f"L-{number}", kind="loan", by=by, to=to, asset=book.assets["USD"],
                amount=Decimal(amount), effective_on=DAY,
            ),
        )  # fmt: skip
    registered(
        book,
        Asked(
            reference="G-1", kind="guarantee", by=one, to=book.desk.entity, secures=two,
            asset=book.assets["USD"], amount=Decimal(1000), effective_on=DAY,
        ),
    )  # fmt: skip
    (found,) = group_exposures(group.pk, day=DAY)
    assert (found.first.code, found.second.code) == ("a1", "a2")
    assert (found.first_owes, found.second_owes, found.net) == (
        70,
        Decimal("30.5"),
        Decimal("39.5"),
    )
    assert group_exposures(group.pk, day=date(2026, 2, 4)) == []
