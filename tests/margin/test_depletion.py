"""What time takes from scopes, and how long they last."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.test import Client as Browser
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.audit import Actor, acting
from accounts.models import LegalEntity, Role
from ledger.corrections import request_reversal
from ledger.models import LedgerAccount
from ledger.posting import Draft, Leg, post_entry
from margin.depletion import burn_by_bucket, burning
from margin.engine.depletion import HOURS, HOURS_MAX, hours_until
from margin.levels import levels_of
from margin.models import MarginResult, MarginRun
from margin.standing_results import standing_results
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import agreed
from tests.margin.firm import SmallFirm

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
