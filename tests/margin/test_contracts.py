"""What derivatives are written on: said by two people, once, and what it does to a hedged book."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import AskRefusedError, describe
from accounts.models import Approval, Bucket, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from ledger.models import Asset
from margin.contracts import request_contract
from margin.holding import balances_of
from margin.model_registry import request_decision, request_parameters
from margin.models import Contract, MarginRun, Mark, ShadowResult
from margin.runs import replay
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.ledger.agreeing import agreed
from tests.stage import booked_days

D = Decimal
WHY = "As the rules of the venue say"
EXPIRY = datetime(2031, 6, 27, 8, tzinfo=UTC)


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=30, seed=28, days=3, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def asked(desk: Desk, **changes: Any) -> Any:
    return request_contract(
        **{
            "asset": Asset.objects.get(code="BTC-PERP"), "form": "perpetual",
            "underlying": Asset.objects.get(code="BTC"), "multiplier": D(1),
            "legal_entity": desk.entity, "reason": WHY, "actor": person(desk[Role.RISK]),
        } | changes
    )  # fmt: skip


def watch_delta(desk: Desk) -> None:
    """Delta margin of 15 % and nothing for what is hedged, watched from the second day on."""
    shared: dict[str, Any] = {
        "model": "delta", "code": "D1", "effective_from": datetime(2031, 3, 4).date(),  # noqa: DTZ001
        "legal_entity": desk.entity, "reason": WHY, "actor": person(desk[Role.RISK]),
    }  # fmt: skip
    values = {"shock": 0.15, "residual": 0.0, "maintenance_share": 0.5}
    agreed(request_parameters(values=values, **shared), desk[Role.COMPLIANCE])
    agreed(request_decision(standing="shadow", owner="Risk", **shared), desk[Role.COMPLIANCE])


def values(bucket: Bucket, run: MarginRun) -> dict[str, Decimal]:
    """What a scope has of everything that can move, in money, signed."""
    held = balances_of(bucket)
    marks = dict(Mark.objects.filter(as_of=run.as_of).values_list("asset__code", "price"))
    amounts = {code: amount for code, amount in held.claims.items() if code in marks}
    amounts |= {code: quantity for code, (quantity, _) in held.positions.items()}
    return {code: amount * marks[code] for code, amount in amounts.items()}


def test_a_hedge_counts_once_it_is_known_what_it_is_written_on(
    days: list[Path], desk: Desk
) -> None:
    watch_delta(desk)
    run_day(days[1])
    agreed(asked(desk), desk[Role.COMPLIANCE])
    run_day(days[2])
    before, after = MarginRun.objects.filter(business_day__gt="2031-03-03").order_by("as_of")
    hedged = 0
    for shadow in ShadowResult.objects.filter(run=after).select_related("scope__bucket"):
        bucket: Any = shadow.scope.bucket
        moves = values(bucket, after)
        coin, perpetual = moves.pop("BTC", D(0)), moves.pop("BTC-PERP", D(0))
        if coin and perpetual and (coin > 0) != (perpetual > 0):
            hedged += 1
            others = sum(map(abs, moves.values()), D(0))
            net = D("0.15") * (abs(coin + perpetual) + others)
            assert abs(shadow.initial_margin - net) <= D("0.01")
            assert shadow.initial_margin < D("0.15") * (abs(coin) + abs(perpetual) + others)
    assert hedged >= 2
    # The day before did not know of the contract, and never will.
    assert replay(before.number).is_same
    assert replay(after.number).is_same


def test_a_contract_is_said_by_two_and_once(days: list[Path], desk: Desk) -> None:
    approval = asked(desk)
    assert not Contract.objects.exists()
    fields = {each.label: each.after for each in describe(Approval.objects.get(pk=approval)).fields}
    assert fields["Written on"] == "BTC"
    agreed(approval, desk[Role.COMPLIANCE])
    contract = Contract.objects.get()
    assert (contract.asset.code, contract.underlying.code, contract.form) == (
        "BTC-PERP", "BTC", "perpetual",
    )  # fmt: skip
    with pytest.raises(AskRefusedError):
        asked(desk)


def test_terms_that_do_not_fit_the_form_are_refused(days: list[Path], desk: Desk) -> None:
    coin, perpetual = (Asset.objects.get(code=code) for code in ("BTC", "BTC-PERP"))
    option: dict[str, Any] = {
        "form": "option",
        "expires_at": EXPIRY,
        "strike": D(1),
        "is_call": True,
    }
    for wrong in (
        {"asset": coin}, {"underlying": perpetual}, {"multiplier": D(0)}, {"form": "swap"},
        {"multiplier": D(100)}, {"is_inverse": True}, option,
        {"expires_at": EXPIRY}, {"form": "future"}, {"strike": D(1)}, {"is_call": True},
        option | {"strike": None}, option | {"is_call": None}, option | {"strike": D(0)},
        option | {"is_inverse": True}, option | {"expires_at": None}, {"multiplier": D("NaN")},
    ):  # fmt: skip
        with pytest.raises(AskRefusedError):
            asked(desk, **wrong)
    assert not Approval.objects.filter(action="contract.set").exists()


def test_it_is_asked_for_on_screen(days: list[Path], desk: Desk) -> None:
    browser = Browser()
    sign_in(browser, desk[Role.OPERATIONS])
    page = browser.get(reverse("margin:contracts")).content.decode()
    address = reverse("margin:contract-new", args=["BTC-PERP"])
    assert "moves by itself" in page
    assert address in page
    typed = {
        "form": "future", "underlying": "BTC", "multiplier": "1", "reason": WHY,
        "expires_at": "2031-06-27T04:00",
    }  # fmt: skip
    assert browser.post(address, typed | {"form": "perpetual"}).status_code == 422
    assert browser.post(address, typed).status_code == 302
    agreed(Approval.objects.get().pk, desk[Role.COMPLIANCE])
    assert Contract.objects.get().expires_at == EXPIRY
    assert "Future" in browser.get(reverse("margin:contracts")).content.decode()
    assert browser.get(reverse("margin:contract-new", args=["BTC"])).status_code == 404
