"""Moves between buckets: what the matrix of roles permits, by program and by hand."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from accounts.approvals import apply_approved
from accounts.audit import acting
from accounts.models import Approval, Bucket, Role
from ledger.bucket_moves import guard_between, matrix, request_rule
from ledger.models import MoveGuard, Release
from ledger.posting import AccountKey, open_accounts
from tests.accounts.people import person
from tests.ledger.book import DESK, Book
from tests.ledger.raw import Owner, Raw, refused_by_hand, run

DAY = date(2026, 2, 5)


def bucket_of_role(book: Book, role: str, *, who: str = "alice", margined: bool = False) -> str:
    """A further bucket of an account; its claims are named `alice/ROLE` from now on."""
    name = f"{who}/{role}"
    with acting(DESK, reason="A bucket for a test"):
        bucket = Bucket.objects.create(
            account=book.buckets[who].account, code=role, role=role, is_margined=margined
        )
        book.buckets[name] = bucket  # type: ignore[index]
        pool = book.pools["CLIENT"].pk
        key = AccountKey(pool, book.assets["USD"].pk, "claim", bucket.pk)
        book.ids[name] = open_accounts([key])[key]
    return name


def permitted(book: Book, asked: UUID, *, checker: Role = Role.RISK) -> Approval:
    book.decide(asked, checker=checker)
    return Approval.objects.get(pk=asked)


def set_rule(book: Book, from_role: str, to_role: str, guard: MoveGuard, day: date = DAY) -> None:
    """Change the matrix with the agreement of two people."""
    asked = request_rule(
        from_role=from_role, to_role=to_role, guard=guard, effective_from=day,
        reason="The desk works like this now.", legal_entity=book.desk.entity,
        actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip
    approved = permitted(book, asked)
    apply_approved(approved, actor=person(book.desk[Role.RISK]))


# ---------------------------------------------------------------- the matrix


def test_the_matrix_names_every_pair_of_roles(db: None) -> None:
    cells = matrix(DAY)
    assert len(cells) == 8 * 9
    said = {pair: cell.guard.value for pair, cell in cells.items() if cell.guard != "never"}
    assert said["FREE", "ISOLATED"] == "free"
    assert said["ISOLATED", "FREE"] == "margin_test"
    assert said["LOCKED", "FREE"] == said["PLEDGED", "FREE"] == "two_people"
    assert ("LOCKED", "OUTSIDE") not in said
    assert ("RESERVE", "OUTSIDE") not in said
    assert all(guard_between(f, t, day=DAY) == cell.guard for (f, t), cell in cells.items())


@pytest.mark.parametrize(
    ("from_role", "to_role"),
    [("LOCKED", "HOLD"), ("FEES", "HOLD"), ("PLEDGED", "LOCKED"), ("HOLD", "LOCKED")],
)
def test_a_move_that_is_not_in_the_matrix_is_refused_by_program_and_by_hand(
    book: Book, owner: Owner, from_role: str, to_role: str
) -> None:
    source = "alice/HOLD" if from_role == "HOLD" else bucket_of_role(book, from_role)
    target = "alice/HOLD" if to_role == "HOLD" else bucket_of_role(book, to_role)
    book.post("bucket_move", ("alice", "100"), (source, "-100"))
    with book.refused("bucket_move_is_permitted"):
        book.post("bucket_move", (source, "10"), (target, "-10"))
    with refused_by_hand(book, "bucket_move_is_permitted"):
        Raw("bucket_move", ((source, "10"), (target, "-10"))).write(owner, book)
    agreed = book.approved(book.draft("agreed_move", (source, "10"), (target, "-10")))
    with book.refused("bucket_move_is_permitted"):
        book.post_drafts(agreed)


def test_a_move_in_the_matrix_is_made(book: Book) -> None:
    fees = bucket_of_role(book, "FEES")
    before = book.balances()
    book.post("bucket_move", ("alice", "100"), (fees, "-100"))
    book.post("bucket_move", (fees, "40"), ("alice", "-40"))
    assert book.moved(before) == {"alice": "60", fees: "-60"}


def test_what_needs_two_people_is_not_moved_by_one(book: Book, owner: Owner) -> None:
    locked = bucket_of_role(book, "LOCKED")
    book.post("bucket_move", ("alice", "100"), (locked, "-100"))
    legs = (locked, "30"), ("alice", "-30")
    with book.refused("bucket_move_is_agreed"):
        book.post("bucket_move", *legs)
    with refused_by_hand(book, "bucket_move_is_agreed"):
        Raw("bucket_move", legs).write(owner, book)
    with book.refused("approval_is_given"):
        book.post("agreed_move", *legs)
    before = book.balances()
    book.post_approved("agreed_move", *legs)
    assert book.moved(before) == {"alice": "-30", locked: "30"}


def test_a_reserve_that_is_no_scope_still_asks_margin(book: Book, owner: Owner) -> None:
    reserve = bucket_of_role(book, "RESERVE")
    book.post("bucket_move", ("alice", "100"), (reserve, "-100"))
    legs = (reserve, "30"), ("alice", "-30")
    with book.refused("bucket_move_is_released"):
        book.post("bucket_move", *legs)
    with refused_by_hand(book, "bucket_move_is_released"):
        Raw("bucket_move", legs).write(owner, book)
    book.post("bucket_move", *legs, release=book.release(reserve, "bucket_move", "30"))


@pytest.mark.parametrize("role", ["RESERVE", "LOCKED", "FEES", "PLEDGED", "INITIAL"])
def test_what_is_set_aside_does_not_leave_the_account(book: Book, owner: Owner, role: str) -> None:
    kept = bucket_of_role(book, role)
    book.post("bucket_move", ("alice", "100"), (kept, "-100"))
    with book.refused("bucket_move_is_permitted"):
        book.post("withdrawal", (kept, "30"), ("client_bank", "-30"))
    with refused_by_hand(book, "bucket_move_is_permitted"):
        Raw("withdrawal", ((kept, "30"), ("client_bank", "-30"))).write(owner, book)
    agreed = book.approved(book.draft("client_transfer", (kept, "30"), ("carol", "-30")))
    with book.refused("bucket_move_is_permitted"):
        book.post_drafts(agreed)


def test_a_hold_is_paid_out_or_given_back(book: Book) -> None:
    book.post("bucket_move", ("alice", "100"), ("alice/HOLD", "-100"))
    book.post("withdrawal", ("alice/HOLD", "60"), ("client_bank", "-60"))
    book.post("bucket_move", ("alice/HOLD", "40"), ("alice", "-40"))
    assert book.balance("alice/HOLD") == 0


def test_two_buckets_of_one_account_meet_in_a_move_alone(book: Book) -> None:
    locked = bucket_of_role(book, "LOCKED")
    book.post("bucket_move", ("alice", "100"), (locked, "-100"))
    agreed = book.approved(book.draft("client_transfer", (locked, "30"), ("alice", "-30")))
    with book.refused("bucket_move_is_permitted"):
        book.post_drafts(agreed)


def test_a_move_goes_one_way(book: Book) -> None:
    book.post("bucket_move", ("alice", "100"), ("alice/HOLD", "-100"))
    with book.refused("bucket_move_is_permitted"):
        book.post(
            "bucket_move",
            ("alice/HOLD", "50"), ("alice", "-50"), ("alice:BTC", "1"), ("alice/HOLD:BTC", "-1"),
        )  # fmt: skip


# ---------------------------------------------------------------- positions


def test_a_position_moves_at_its_cost_and_realises_nothing(book: Book) -> None:
    quantity = Decimal("0.5")
    book.post("derivative_trade", *book.contracts("alice", quantity, "9000"))
    release = book.release("alice", "position_move", "0.2", asset="BTC-PERP")
    book.post(
        "position_move",
        book.leg("alice:BTC-PERP", "0.2", price="9000"),
        book.leg("alice/ISO:BTC-PERP", "-0.2", price="9000"),
        release=release,
    )
    assert book.balance("alice:BTC-PERP") == Decimal("-0.3")
    assert book.balance("alice/ISO:BTC-PERP") == Decimal("-0.2")
    assert Release.objects.get(pk=release).use.entry_id > 0


@pytest.mark.parametrize(
    ("amount", "price"),
    [("0.6", "9000"), ("0.2", "9001"), ("-0.2", "9000")],
    ids=["more than there is", "at another price", "the other way"],
)
def test_a_position_does_not_move_otherwise(
    book: Book, owner: Owner, amount: str, price: str
) -> None:
    book.post("derivative_trade", *book.contracts("alice", Decimal("0.5"), "9000"))
    other = amount.removeprefix("-") if amount.startswith("-") else f"-{amount}"
    with pytest.raises(Exception, match="position") as refused:
        book.post(
            "position_move",
            book.leg("alice:BTC-PERP", amount, price=price),
            book.leg("alice/ISO:BTC-PERP", other, price=price),
            release=book.release(
                "alice", "position_move", amount.removeprefix("-"), asset="BTC-PERP"
            ),
        )
    assert refused.value.rule in {  # type: ignore[attr-defined]
        "position_moves_at_its_cost", "release_is_for_this", "bucket_move_is_permitted",
        "custody_follows_the_trade",
    }  # fmt: skip
    assert book.balance("alice:BTC-PERP") == Decimal("-0.5")


def test_a_position_is_not_moved_without_a_release(book: Book) -> None:
    book.post("derivative_trade", *book.contracts("alice", Decimal("0.5"), "9000"))
    with book.refused("entry_has_its_release"):
        book.post(
            "position_move",
            book.leg("alice:BTC-PERP", "0.2", price="9000"),
            book.leg("alice/ISO:BTC-PERP", "-0.2", price="9000"),
        )


def test_an_isolated_bucket_takes_its_own_instrument_alone(book: Book) -> None:
    book.post(
        "security_trade",
        book.leg("alice:SPY", "-2", price="100"), ("custodian:SPY", "2"),
        ("alice", "200"), ("venue", "-200"),
    )  # fmt: skip
    release = book.release("alice", "position_move", "1", asset="SPY")
    with book.refused("isolated_bucket_keeps_its_instrument"):
        book.post(
            "position_move",
            book.leg("alice:SPY", "1", price="100"),
            book.leg("alice/ISO:SPY", "-1", price="100"),
            release=release,
        )


# ---------------------------------------------------------------- changing the matrix


def test_two_people_change_the_matrix_from_a_day_on(book: Book) -> None:
    book.post("bucket_move", ("alice", "100"), ("alice/HOLD", "-100"))
    set_rule(book, "HOLD", "FREE", MoveGuard.NEVER)
    assert guard_between("HOLD", "FREE", day=date(2026, 2, 4)) == MoveGuard.FREE
    assert guard_between("HOLD", "FREE", day=DAY) == MoveGuard.NEVER
    with book.refused("bucket_move_is_permitted"):
        book.post("bucket_move", ("alice/HOLD", "10"), ("alice", "-10"))


def test_nobody_changes_the_matrix_alone(
    book: Book, owner: Owner, connect: Callable[[str], psycopg.Connection[object]]
) -> None:
    rule = (
        "INSERT INTO ledger_moverule (from_role, to_role, guard, effective_from)"
        " VALUES ('LOCKED', 'OUTSIDE', 'free', '2026-02-05')"
    )
    with refused_by_hand(book, "move_rule_is_set_by_two"):
        run(owner, rule)
    with refused_by_hand(book, "history_is_append_only"):
        run(owner, "UPDATE ledger_moverule SET guard = 'free'")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connect("runtime").execute(rule)
