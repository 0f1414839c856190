"""What time takes from scopes, and how long they last."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
from django.test import Client as Browser
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.audit import Actor, acting
from accounts.models import LegalEntity, Role
from ledger.corrections import request_reversal
from ledger.models import Asset, Balance, LedgerAccount
from ledger.posting import Draft, Leg, post_entry
from margin.book.decay import hourly_decay
from margin.book.market_data import MarketData
from margin.book.options import option_prices
from margin.depletion import burn_by_bucket, burning
from margin.engine.depletion import HOURS, HOURS_MAX, hours_until
from margin.engine.pricing import black_76
from margin.levels import levels_of
from margin.market.rows import HEADER, load_market
from margin.models import Contract, MarginResult, MarginRun, Mark
from margin.running_costs import holding_costs
from margin.standing_results import standing_results
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import agreed
from tests.margin.firm import PERPETUAL, SmallFirm

D = Decimal
MONEY = st.decimals(-1_000_000, 1_000_000, places=2)


@given(equity=MONEY, level=MONEY, burn=st.decimals("0.0001", 10_000, places=4))
def test_after_the_hours_the_level_is_not_yet_passed_and_a_tenth_later_it_is_reached(
    equity: Decimal, level: Decimal, burn: Decimal
) -> None:
    hours = hours_until(equity, level=level, burn=burn)
    if hours is None:
        assert (equity - level) / burn > HOURS_MAX
    elif equity <= level:
        assert hours == 0
    else:
        assert equity - burn * hours >= level
        assert equity - burn * (hours + HOURS) <= level


def test_without_a_loss_no_level_is_reached() -> None:
    assert hours_until(D(100), level=D(50), burn=D(0)) is None
    assert hours_until(D(100), level=D(50), burn=D(-3)) is None
    assert hours_until(D(50), level=D(50), burn=D(0)) == 0


def well(run: str) -> MarginResult:
    """A scope that has more than its levels ask for."""
    results = MarginResult.objects.filter(
        run__number=run, state="OK", scope__bucket__code="FREE", maintenance_margin__gt=0
    ).select_related("scope__bucket", "agreement_version")
    return next(each for each in results.order_by("-equity") if each.equity > 5_000)


def charged(result: MarginResult, amount: str, *, at: datetime, key: str) -> int:
    """A fee taken from a scope's claim."""
    claim = LedgerAccount.objects.get(
        bucket=result.scope.bucket_id, asset__code="USD", account_class="claim"
    )
    taker = LedgerAccount.objects.get(
        pool=claim.pool_id, asset__code="USD", account_class="residual_interest"
    )
    with acting(Actor.command("test"), reason="Financing of the hour"):
        posted = post_entry(
            Draft(
                key=key, kind="fee", effective_at=at, reference=key,
                legs=[Leg(claim.pk, D(amount)), Leg(taker.pk, -D(amount))],
            )
        )  # fmt: skip
    return posted.entry_id


def test_a_scope_that_bleeds_shows_its_hours_and_they_come_true(firm: SmallFirm) -> None:
    result = well(firm.second_run)
    at = MarginRun.objects.latest("pk").as_of + timedelta(days=3)
    before = burn_by_bucket(at).get(result.scope.bucket_id or 0, D(0))
    for hour in range(168):
        charged(result, "10.00", at=at - timedelta(hours=hour), key=f"hour-{hour}")
    found = burn_by_bucket(at)[result.scope.bucket_id or 0] - before
    assert found == D(10)
    (row,) = [each for each in burning(standing_results(), at=at) if each.result == result]
    levels = levels_of(result)
    for hours, level in ((row.to_call, levels.call), (row.to_liquidation, levels.liquidation)):
        assert hours is not None
        assert abs(result.equity - row.burn * hours - level) <= row.burn * HOURS
    assert row.to_nothing is not None
    assert row.to_call is not None
    assert row.to_call < row.to_nothing
    # A week on nothing has been lost for a week.
    assert result.scope.bucket_id not in burn_by_bucket(at + timedelta(days=8))


def test_a_reversed_fee_took_nothing(firm: SmallFirm) -> None:
    result = well(firm.second_run)
    at = MarginRun.objects.latest("pk").as_of + timedelta(hours=1)
    before = burn_by_bucket(at).get(result.scope.bucket_id or 0, D(0))
    entry = charged(result, "168.00", at=at, key="once")
    assert burn_by_bucket(at)[result.scope.bucket_id or 0] == before + 1
    asked = request_reversal(
        entry, reason="Charged twice", effective_at=at, legal_entity=LegalEntity.objects.get(),
        actor=person(firm.desk[Role.OPERATIONS]),
    )  # fmt: skip
    agreed(asked, firm.desk[Role.COMPLIANCE])
    assert burn_by_bucket(at).get(result.scope.bucket_id or 0, D(0)) == before


def test_the_page_shows_what_burns_soonest_first_and_says_when_nothing_does(
    firm: SmallFirm,
) -> None:
    browser = Browser()
    sign_in(browser, firm.desk[Role.AUDITOR])
    address = reverse("margin:depletion")
    result = well(firm.second_run)
    assert "No scope loses as time passes" in browser.get(address).content.decode()
    charged(result, "168.00", at=MarginRun.objects.latest("pk").as_of, key="once")
    page = browser.get(address).content.decode()
    bucket = result.scope.bucket
    assert bucket is not None
    assert bucket.account.code in page
    assert "1.0000" in page


def perpetual(run: str) -> tuple[MarginResult, Decimal, Asset, Decimal]:
    """A scope that is long a perpetual and above its levels, with how much, and the mark."""
    asset = Asset.objects.get(code=PERPETUAL)
    longs = {
        balance.account.bucket_id: -balance.amount
        for balance in Balance.objects.filter(
            account__account_class="position", account__asset=asset, amount__lt=0,
            account__bucket__isnull=False,
        ).select_related("account")
    }  # fmt: skip
    results = MarginResult.objects.filter(
        run__number=run, state="OK", scope__bucket__in=longs
    ).select_related("scope__bucket__account", "agreement_version")
    result = next(each for each in results if each.equity > levels_of(each).call)
    mark = Mark.objects.filter(asset=asset).latest("as_of")
    return result, longs[result.scope.bucket_id], asset, mark.price


def funding_at(at: datetime, rate: Decimal, *, code: str, source: str = "venue") -> None:
    row = f"funding,{source},{at:%Y-%m-%dT%H:%M:%SZ},{code},,,,{rate:f},,"
    load_market("\n".join([",".join(HEADER), row, ""]).encode(), actor=Actor.command("test"))


def test_funding_of_a_perpetual_shows_hours_to_a_call_and_the_path_comes_to_it(
    firm: SmallFirm,
) -> None:
    result, quantity, asset, mark = perpetual(firm.second_run)
    at = MarginRun.objects.latest("pk").as_of + timedelta(hours=1)
    notional, room = quantity * mark, result.equity - levels_of(result).call
    bucket = result.scope.bucket_id
    assert bucket is not None
    booked = burn_by_bucket(at).get(bucket, D(0))
    # The room lasts for about a hundred hours at this rate.
    rate = (room / notional / 100 * 8760).quantize(D("0.000001"))
    funding_at(at, rate, code=asset.code)
    found = holding_costs([result], at=at)[bucket]
    assert abs(found.funding - notional * rate / 8760) < D("0.000001")
    (row,) = [each for each in burning(standing_results(), at=at) if each.result == result]
    assert row.to_call is not None
    assert row.burn == booked + found.funding
    # The path: rates move by a tenth each hour around what they were, prices stay.
    moves, equity, hours = random.Random(7), result.equity, 0
    while equity > levels_of(result).call:
        hourly = notional * rate / 8760 * D(str(round(moves.uniform(0.9, 1.1), 6)))
        equity, hours = equity - hourly - booked, hours + 1
    assert abs(D(hours) - row.to_call) <= D("0.03") * row.to_call + 1
    # Who is short receives it; what was said more than a day ago says nothing.
    assert holding_costs([result], at=at + timedelta(days=2))[bucket].funding == 0
    funding_at(at + timedelta(minutes=1), -rate, code=asset.code)
    assert holding_costs([result], at=at + timedelta(hours=1))[bucket].funding == -found.funding


def option(premium: float, *, at: datetime, expires_at: datetime) -> tuple[Decimal, Mark]:
    """What a call on 100 at a premium decays by in an hour, as its own mark says."""
    coin, money = Asset(pk=1, code="BTC"), Asset(pk=2, code="USD")
    call = Asset(pk=3, code="CALL", settles_in=money)
    contract = Contract(
        asset=call, form=Contract.Form.OPTION, multiplier=D(10), underlying=coin, strike=D(100),
        is_call=True, expires_at=expires_at,
    )  # fmt: skip
    marks = {
        1: Mark(asset=coin, price=D(100), state=Mark.State.VALID),
        3: Mark(asset=call, price=D(premium), state=Mark.State.VALID),
    }
    by = {
        "assets": {1: coin, 2: money, 3: call}, "contracts": {3: contract}, "marks": marks,
        "market": MarketData(as_of=at),
    }  # fmt: skip
    prices = option_prices([3], **by)  # type: ignore[arg-type]
    return hourly_decay(prices, **by)[3], marks[3]  # type: ignore[arg-type]


@given(st.floats(0.2, 1.5), st.integers(20, 200))
def test_the_decay_of_an_option_forecasts_what_it_loses_over_the_next_days(
    volatility: float, days: int
) -> None:
    at = datetime(2031, 3, 5, 17, tzinfo=UTC)
    expires_at = at + timedelta(days=days)

    def premium(hours: int) -> float:
        years = np.array([(days * 24 - hours) / 24 / 365])
        return float(
            black_76(100.0, right=1, strike=100.0, t=years, volatility=volatility).price[0]
        )

    hourly, _ = option(premium(0), at=at, expires_at=expires_at)
    assert hourly > 0
    # The path: an hour at a time, at the same price and volatility.
    equity, lost = D(1_000), D(0)
    for hour in range(48):
        lost += D(premium(hour) - premium(hour + 1)) * 10
    forecast = hours_until(equity, level=equity - lost, burn=hourly)
    assert forecast is not None
    assert abs(forecast - 48) <= D("0.06") * 48
