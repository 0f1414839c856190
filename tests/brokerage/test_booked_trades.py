"""Trades that the desk books: calls are settled with them to the cent, and close-only means it."""

import csv
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.audit import RefusedError, acting
from accounts.models import Agreement, Bucket, LegalEntity, Role
from brokerage.booked_trades import book_trade
from brokerage.inbox.cycle import run_day
from brokerage.inbox.rows import TradeRow
from ledger.models import Entry, Location
from margin.calls.acts import carry_on
from margin.calls.settling import settle_run
from margin.close_only import buckets_that_may_only_close, reduces
from margin.engine.inputs import SecurityTerms
from margin.holding import balances_of, newest_gate, standing_of
from margin.models import CallEvent, MarginCall, MarginRun, Task
from tests.accounts.people import found_desk, person, sign_in
from tests.ledger.agreeing import standing
from tests.margin.firm import PERPETUAL, crash
from tests.margin.living import DESK, WHY, Life, PastFirm, open_calls, past_firm, terms_for
from tests.stage import booked_days

D = Decimal
CENT = D("0.01")


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PastFirm:
    return past_firm(tmp_path / "firm")


def trade(bucket: Bucket, code: str, *, side: str, quantity: str, price: Decimal, key: str) -> Any:
    place = Location.objects.filter(
        pool__owner_class=bucket.account.owner_class, carried__asset__code=code,
        kind="venue" if code == PERPETUAL else "custodian", individual_client=None,
    ).order_by("code")[0]  # fmt: skip
    row = TradeRow(
        line=0, trade_id=key, executed_at=timezone.now(), account=bucket.account.code,
        bucket=bucket.code, instrument=code, side=side, quantity=D(quantity), price=price,
        fee_usd=D(0), location=place.code,
    )  # fmt: skip
    return book_trade(row, actor=DESK, reason=WHY)


def sellable() -> tuple[MarginCall, Bucket, str]:
    """A call of a scope that holds at least three units of a security."""
    gate = newest_gate()
    for call in open_calls():
        bucket = call.scope.bucket
        assert bucket is not None
        for code, (quantity, _) in balances_of(bucket).positions.items():
            if quantity >= 3 and isinstance(gate.terms[code], SecurityTerms):
                return call, bucket, code
    raise AssertionError("the invented firm no longer has a called scope with securities")


def curing_price(bucket: Bucket, code: str) -> Decimal:
    """The price, to the cent, at which selling one unit just restores initial margin."""
    gate = newest_gate()
    stands = standing_of(bucket, balances_of(bucket), gate=gate)
    terms, mark = gate.terms[code], gate.marks[code]
    assert isinstance(terms, SecurityTerms)
    exact = mark * (1 - terms.initial_rate) + stands.initial_margin - stands.equity
    return exact.quantize(CENT, ROUND_CEILING)


def test_a_sale_meets_its_call_in_its_own_transaction_and_a_cent_less_leaves_a_cent(
    firm: PastFirm,
) -> None:
    call, bucket, code = sellable()
    price = curing_price(bucket, code)
    posted = trade(bucket, code, side="sell", quantity="1", price=price - CENT, key="T-1")
    call.refresh_from_db()
    assert (call.state, call.amount) == ("partially_met", CENT)
    entry = Entry.objects.get(pk=posted.entry_id)
    event = CallEvent.objects.filter(call=call).latest("pk")
    assert (event.event, event.amount_after, event.xid) == ("partially_met", CENT, entry.xid)
    last = trade(
        bucket, code, side="sell", quantity="1", price=curing_price(bucket, code), key="T-2"
    )
    call.refresh_from_db()
    assert (call.state, call.end_reason) == ("met", "position_reduced")
    met = CallEvent.objects.filter(call=call).latest("pk")
    assert met.xid == Entry.objects.get(pk=last.entry_id).xid
    # The same number is booked once.
    again = trade(bucket, code, side="sell", quantity="1", price=price, key="T-2")
    assert again == (last.entry_id, False)


def test_an_initial_call_is_not_met_by_a_sale(firm: PastFirm) -> None:
    _, bucket, code = sellable()
    initial = Life(firm).draft(bucket.scope)
    carry_on(initial.number, "issue", actor=person(firm.desk[Role.OPERATIONS]), words=WHY)
    initial.refresh_from_db()
    before = (initial.state, initial.amount)
    trade(bucket, code, side="sell", quantity="2", price=curing_price(bucket, code), key="T-3")
    initial.refresh_from_db()
    assert (initial.state, initial.amount) == before


# ---------------------------------------------------------------- close-only


def put_on_ladders(firm: Any) -> None:
    """Give every agreement a close-only level, and have the newest run settle it."""
    for agreement in Agreement.objects.all():
        terms_for(firm, agreement, notice_level="3", close_only_level="0.9", hysteresis="0.05")
    with acting(DESK, reason="Levels"):
        settle_run(MarginRun.objects.order_by("-as_of")[0])


def closing_bucket() -> Bucket:
    """A cross bucket of a client that may only close."""
    return Bucket.objects.select_related("account__client").filter(
        pk__in=buckets_that_may_only_close(), code="FREE", account__mode="cross",
        account__owner_class="CLIENT", account__client__is_individually_segregated=False,
    ).order_by("account__code")[0]  # fmt: skip


def test_a_scope_that_may_only_close_takes_no_more_risk_from_any_door(firm: PastFirm) -> None:
    put_on_ladders(firm)
    bucket = closing_bucket()
    held = balances_of(bucket).positions.get(PERPETUAL, (D(0), D(0)))[0]
    adds, takes = ("sell", "buy") if held < 0 else ("buy", "sell")
    mark = newest_gate().marks[PERPETUAL].quantize(CENT)
    browser = Browser()
    sign_in(browser, firm.desk[Role.OPERATIONS])
    before = standing()
    with pytest.raises(RefusedError) as refused:
        trade(bucket, PERPETUAL, side=adds, quantity="1", price=mark, key="T-4")
    assert refused.value.rule == "scope_may_only_close"
    assert standing() == before
    place = Location.objects.filter(
        pool__owner_class="CLIENT", carried__asset__code=PERPETUAL, kind="venue"
    ).order_by("code")[0]
    typed = {
        "account": bucket.account.code, "bucket": bucket.code, "instrument": PERPETUAL,
        "side": adds, "quantity": "1", "price": str(mark), "location": place.code, "reason": WHY,
    }  # fmt: skip
    page = browser.post("/trades/new/", typed)
    assert (page.status_code, "scope_may_only_close" in page.content.decode()) == (409, True)
    assert standing() == before
    answer = browser.post("/api/trades/", typed, content_type="application/json")
    assert (answer.status_code, answer.json()["rule"]) == (409, "scope_may_only_close")
    assert standing() == before
    # What it holds may be made smaller, but not turned round.
    for code, (quantity, _) in balances_of(bucket).positions.items():
        if abs(quantity) >= 1 and code == PERPETUAL:
            with pytest.raises(RefusedError):
                trade(
                    bucket, code, side=takes, quantity=str(abs(quantity) * 2), price=mark, key="T-5"
                )
            trade(bucket, code, side=takes, quantity="1", price=mark, key="T-6")


def test_a_trade_of_a_file_is_booked_and_somebody_gets_it(db: None, tmp_path: Path) -> None:
    days = booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)
    crash(days[1] / "prices.csv")
    run_day(days[1])
    firm = PastFirm(found_desk(entity=LegalEntity.objects.get()))
    set_early(firm)
    bucket = closing_bucket()
    held = balances_of(bucket).positions.get(PERPETUAL, (D(0), D(0)))[0]
    side = "sell" if held < 0 else "buy"
    path = days[2] / "trades.csv"
    with path.open(newline="") as file:
        head = next(csv.reader(file))
    place = Location.objects.filter(
        pool__owner_class="CLIENT", carried__asset__code=PERPETUAL, kind="venue"
    ).order_by("code")[0]
    said = {
        "trade_id": "T:LATE", "executed_at": "2031-03-05T00:00:01Z",
        "account": bucket.account.code, "bucket": bucket.code, "instrument": PERPETUAL,
        "side": side, "quantity": "1", "price": "4000.5", "fee_usd": "0.00",
        "location": place.code,
    }  # fmt: skip
    with path.open("a", newline="") as file:
        csv.writer(file).writerow([said[name] for name in head])
    run_day(days[2])
    assert Entry.objects.filter(reference="T:LATE").exists()
    task = Task.objects.get(key="call:T-LATE:traded-while-close-only")
    assert (task.owner_role, task.scope) == ("risk", bucket.scope)
    assert "traded while close-only" in task.subject


def set_early(firm: PastFirm) -> None:
    put_on_ladders(firm)
    assert buckets_that_may_only_close()


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_a_position_is_reduced_towards_nothing_and_not_beyond(before: int, after: int) -> None:
    expected = min(0, before) <= after <= max(0, before) and after != before
    assert reduces(D(before), D(after)) == expected
