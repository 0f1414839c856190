"""Residual interest: after yesterday's statement, within the share, above the target.

The firm of these tests has 100.00 of its own in the client pool as stated for 4 February 2026;
withdrawals count on the 5th. A quarter of it is 25.00.
"""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from json import dumps
from typing import Any
from uuid import UUID

import pytest
from psycopg import IsolationLevel

from accounts.approvals import AskRefusedError, apply_approved, decide, describe
from accounts.audit import RefusedError, acting
from accounts.models import Approval, Role
from ledger.models import ResidualNotice, SegregationStatement
from ledger.posting import Draft
from ledger.residual import request_rule, request_target, state_segregation, write_notice
from ledger.residual_standing import standing_of
from ledger.transfers import TRANSFERS, request_transfer
from tests.accounts.people import person
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import WHY, agreed, refused, standing
from tests.ledger.book import DAY_BEFORE, DESK, NOON, Book
from tests.ledger.raw import Owner, Raw, insert, refused_by_hand, run

TODAY = NOON.date()


def asked(book: Book, amount: str, *, recipients: str = "", complies: bool = False) -> UUID:
    """Somebody of treasury asks for a withdrawal."""
    return request_transfer(
        kind=TRANSFERS["residual_withdrawal"], asset=book.assets["USD"], amount=Decimal(amount),
        gives=book.locations["client_bank"], takes=book.locations["house_bank"], reference="",
        reason=WHY, effective_at=NOON, legal_entity=book.desk.entity,
        actor=person(book.desk[Role.TREASURY]), recipients=recipients, complies=complies,
    )  # fmt: skip


def taken(book: Book, amount: str, *, checker: Role = Role.RISK) -> Approval:
    """A withdrawal that a second person agrees to and that is applied."""
    return agreed(asked(book, amount), book.desk[checker])


def legs(amount: str) -> tuple[tuple[str, str], ...]:
    minus = f"-{amount}"
    return (
        ("residual", amount), ("client_bank", minus), ("house_bank", amount),
        ("house_equity", minus),
    )  # fmt: skip


def test_exactly_the_share_needs_no_principal(book: Book) -> None:
    before = book.balances()
    assert taken(book, "25.00").used_xid is not None
    assert book.moved(before) == {
        "client_bank": "-25", "house_bank": "25", "house_equity": "-25", "residual": "25",
    }  # fmt: skip
    standing = standing_of(book.pools["CLIENT"], book.assets["USD"], day=TODAY)
    assert (standing.taken, standing.left_of_share) == (Decimal(25), Decimal(0))


def test_a_cent_beyond_the_share_needs_a_notice_and_a_principal(book: Book) -> None:
    with pytest.raises(AskRefusedError) as refusal:
        asked(book, "25.01")
    assert refusal.value.field == "recipients"
    with pytest.raises(AskRefusedError) as refusal:
        asked(book, "25.01", recipients="The house")
    assert refusal.value.field == "complies"
    assert not Approval.objects.exists()
    pk = asked(book, "25.01", recipients="The house", complies=True)
    with refused("residual_series_has_a_principal"):
        agreed(pk, book.desk[Role.RISK])
    assert Approval.objects.get(pk=pk).decision == ""
    before = book.balances()
    agreed(pk, book.desk[Role.PRINCIPAL])
    assert book.moved(before)["residual"] == "25.01"
    notice = ResidualNotice.objects.get()
    assert (notice.amount, notice.residual_interest) == (Decimal("25.01"), Decimal(100))
    assert (notice.recipients, notice.reasons) == ("The house", WHY)


def test_a_series_in_steps_is_one_series(book: Book) -> None:
    taken(book, "15")
    taken(book, "10")
    with refused("residual_series_has_a_principal"):
        book.post_approved("residual_withdrawal", *legs("0.01"))
    with pytest.raises(AskRefusedError):
        asked(book, "0.01")


def test_two_requests_that_fit_alone_do_not_fit_together(book: Book) -> None:
    first, second = asked(book, "15"), asked(book, "15")
    checker = person(book.desk[Role.RISK])
    decided = [decide(pk, verdict="approved", reason=WHY, actor=checker) for pk in (first, second)]
    apply_approved(decided[0], actor=checker)
    with refused("residual_series_has_a_principal"):
        apply_approved(decided[1], actor=checker)


def test_both_in_one_statement_are_counted_together(book: Book) -> None:
    drafts = [book.approved(book.draft("residual_withdrawal", *legs("15"))) for _ in range(2)]
    with refused("residual_series_has_a_principal"):
        book.post_drafts(*drafts)
    book.post_drafts(drafts[0])


def test_a_reversal_that_takes_residual_interest_counts_too(book: Book) -> None:
    paid_in = book.post_approved(
        "residual_deposit", ("house_equity", "40"), ("house_bank", "-40"), ("client_bank", "40"),
        ("residual", "-40"),
    )  # fmt: skip
    with refused("residual_series_has_a_principal"):
        book.reverse(paid_in)
    withdrawn = book.post_approved("residual_withdrawal", *legs("20"))
    book.reverse(withdrawn)
    standing = standing_of(book.pools["CLIENT"], book.assets["USD"], day=TODAY)
    assert standing.taken == 0, "what was brought back is taken no more"


def test_a_principal_without_a_notice_is_not_enough(book: Book) -> None:
    draft = book.draft("residual_withdrawal", *legs("30"))
    approval = book.request(draft)
    with refused("residual_series_has_a_notice"):
        book.decide(approval, checker=Role.PRINCIPAL)
    with acting(person(book.desk[Role.OPERATIONS]), reason="Adds the notice"):
        write_notice(
            approval, pool=book.pools["CLIENT"], asset=book.assets["USD"], amount=Decimal(30),
            reasons=WHY, recipients="The house",
        )  # fmt: skip
    book.decide(approval, checker=Role.PRINCIPAL)
    book.post_drafts(Draft(**{**vars(draft), "approval_id": approval}))


@pytest.mark.parametrize(
    "changed",
    [{"amount": Decimal(29)}, {"recipients": " "}, {"reasons": ""}],
    ids=["another amount", "no recipients", "no reasons"],
)
def test_a_notice_says_all_and_what_is_asked(book: Book, changed: dict[str, object]) -> None:
    approval = book.request(book.draft("residual_withdrawal", *legs("30")))
    said = {
        "pool": book.pools["CLIENT"], "asset": book.assets["USD"], "amount": Decimal(30),
        "reasons": WHY, "recipients": "The house",
    } | changed  # fmt: skip
    rule = "notice_says_what_is_asked" if "amount" in changed else "notice_has_its_five_items"
    with refused(rule), acting(person(book.desk[Role.OPERATIONS]), reason="A notice"):
        write_notice(approval, **said)  # type: ignore[arg-type]


def test_somebody_else_writes_no_notice(book: Book) -> None:
    approval = book.request(book.draft("residual_withdrawal", *legs("30")))
    with (
        refused("notice_says_what_is_asked"),
        acting(person(book.desk[Role.TREASURY]), reason="A notice of somebody else's"),
    ):
        write_notice(
            approval, pool=book.pools["CLIENT"], asset=book.assets["USD"], amount=Decimal(30),
            reasons=WHY, recipients="The house",
        )  # fmt: skip


# ---------------------------------------------------------------- statements


def test_without_yesterdays_statement_nothing_is_taken(book: Book) -> None:
    late = NOON + timedelta(days=1)
    with refused("residual_withdrawal_follows_a_statement"):
        book.post_approved("residual_withdrawal", *legs("1"), at=late)
    book.state(TODAY)
    book.post_approved("residual_withdrawal", *legs("1"), at=late)


def test_a_day_that_has_been_stated_is_not_taken_from(book: Book) -> None:
    draft = book.approved(book.draft("residual_withdrawal", *legs("1")))
    book.state(TODAY)
    with refused("residual_withdrawal_follows_a_statement"):
        book.post_drafts(draft)


def test_monday_follows_fridays_statement(book: Book) -> None:
    book.state(date(2026, 2, 6))
    monday = NOON.replace(day=9)
    book.post_approved("residual_withdrawal", *legs("1"), at=monday)


def test_a_statement_says_what_stood_on_its_day(book: Book) -> None:
    stated = SegregationStatement.objects.get(asset__code="USD")
    assert stated.business_day == DAY_BEFORE.date()
    assert (stated.requirement, stated.resource) == (Decimal(3800), Decimal(3900))
    assert (stated.residual_interest, stated.shortfall) == (Decimal(100), Decimal(0))
    assert book.state(stated.business_day) == 0, "a day is stated once"


def test_statements_are_made_of_the_book_and_in_order(book: Book, owner: Owner) -> None:
    right = {
        "pool_id": book.pools["CLIENT"].pk, "asset_id": book.assets["USD"].pk,
        "business_day": TODAY, "requirement": 3800, "resource": 3900, "unallocated": 0,
        "residual_interest": 100, "shortfall": 0, "residual_seq": 1,
    }  # fmt: skip
    for wrong in ({"residual_interest": 1000}, {"residual_seq": 0}, {"requirement": 1}):
        with refused_by_hand(book, "statement_says_what_the_book_says"):
            run(owner, insert("ledger_segregationstatement", right | wrong))
    run(owner, insert("ledger_segregationstatement", right))
    with refused_by_hand(book, "segregation_is_stated_once_a_day"):
        run(owner, insert("ledger_segregationstatement", right))
    with refused("statements_follow_each_other"), acting(DESK, reason="An older day"):
        state_segregation(book.desk.entity.pk, day=date(2026, 2, 3))


# ---------------------------------------------------------------- targets and rules


def target(book: Book, amount: str, *, role: Role = Role.TREASURY) -> UUID:
    return request_target(
        pool=book.pools["CLIENT"], asset=book.assets["USD"], amount=Decimal(amount),
        effective_from=TODAY, analysis="Twice the worst day of the year",
        actor=person(book.desk[role]),
    )  # fmt: skip


def test_nothing_is_taken_below_the_target(book: Book) -> None:
    agreed(target(book, "90"), book.desk[Role.COMPLIANCE])
    with pytest.raises(RefusedError) as refusal:
        asked(book, "10.01")
    assert refusal.value.rule == "residual_interest_keeps_its_target"
    taken(book, "10")


def test_a_target_set_meanwhile_holds_too(book: Book) -> None:
    draft = book.approved(book.draft("residual_withdrawal", *legs("10.01")))
    agreed(target(book, "90"), book.desk[Role.COMPLIANCE])
    with refused("residual_interest_keeps_its_target"):
        book.post_drafts(draft)


def test_targets_and_rules_are_not_set_by_hand(book: Book, owner: Owner) -> None:
    row = {
        "pool_id": book.pools["CLIENT"].pk, "asset_id": book.assets["USD"].pk,
        "effective_from": TODAY, "amount": 0, "analysis": "none",
    }  # fmt: skip
    with refused_by_hand(book, "residual_target_is_set_by_two"):
        run(owner, insert("ledger_residualtarget", row))
    rule = {
        "code": "residual_share", "regime": "", "effective_from": date(2200, 1, 1), "value": 1,
        "source": "nowhere",
    }  # fmt: skip
    with refused_by_hand(book, "conduct_rule_is_set_by_two"):
        run(owner, insert("ledger_conductrule", rule))


def test_a_rule_changes_from_its_day_and_not_before(book: Book) -> None:
    def asks(day: date) -> UUID:
        return request_rule(
            legal_entity=book.desk.entity, code="residual_share", regime="", value=Decimal("0.5"),
            effective_from=day, source="Board of May", reason=WHY,
            actor=person(book.desk[Role.RISK]),
        )  # fmt: skip

    with refused("conduct_rule_begins_today_or_later"):
        agreed(asks(TODAY), book.desk[Role.COMPLIANCE])
    pk = asks(date(2199, 1, 1))
    assert describe(Approval.objects.get(pk=pk)).fields[0].before == "0.25"
    agreed(pk, book.desk[Role.COMPLIANCE])
    pool, asset = book.pools["CLIENT"], book.assets["USD"]
    assert standing_of(pool, asset, day=TODAY).share == Decimal("0.25")
    assert standing_of(pool, asset, day=date(2199, 1, 2)).share == Decimal("0.5")


def test_the_owner_of_the_tables_takes_nothing_past_the_rules(book: Book, owner: Owner) -> None:
    raw = Raw("residual_withdrawal", legs("1"))
    # Guards fire in the order of their names; whichever comes first, nothing moves.
    with refused_by_hand(book, "entry_has_its_approval"):
        raw.write(owner, book)


def test_targets_and_rules_are_set_once_a_day_and_are_numbers(book: Book, owner: Owner) -> None:
    row = {
        "pool_id": book.pools["CLIENT"].pk, "asset_id": book.assets["USD"].pk,
        "effective_from": TODAY, "amount": 90, "analysis": "x",
    }  # fmt: skip
    with refused_by_hand(book, "residual_target_is_not_negative"):
        run(owner, insert("ledger_residualtarget", row | {"amount": -1}))
    agreed(target(book, "90"), book.desk[Role.COMPLIANCE])
    with refused_by_hand(book, "residual_target_is_set_once_a_day"):
        run(owner, insert("ledger_residualtarget", row))
    rule = {
        "code": "residual_share", "regime": "", "effective_from": date(1970, 1, 1), "value": 1,
        "source": "nowhere",
    }  # fmt: skip
    with refused_by_hand(book, "conduct_rule_is_set_once_a_day"):
        run(owner, insert("ledger_conductrule", rule))
    with refused_by_hand(book, "conduct_rule_is_a_number"):
        run(owner, insert("ledger_conductrule", rule | {"regime": "X", "value": -1}))


def test_the_series_is_read_as_it_stands(book: Book, connect: Callable[[str], Any]) -> None:
    draft = book.approved(book.draft("residual_withdrawal", *legs("1")))
    batch = dumps([draft.content() | {"approval": str(draft.approval_id)}])
    runtime = connect("runtime")
    runtime.isolation_level = IsolationLevel.REPEATABLE_READ
    before = standing()
    with raw_refused("entry_sees_closed_periods"), act(runtime):
        runtime.execute("SELECT ledger.post_entries(%s::jsonb)", [batch])
    assert standing() == before
    book.post_drafts(draft)
