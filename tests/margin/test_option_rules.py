"""What the database refuses of options, whoever asks, and what may not be listed."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.approvals import AskRefusedError
from accounts.audit import Actor, RefusedError, acting
from accounts.models import Approval, Bucket, Role
from brokerage.inbox.cycle import run_day
from ledger.models import Asset, Location
from ledger.posting import AccountKey, Draft, Leg, open_accounts, post_entry
from margin.market.rows import load_market
from margin.option_listing import LIST, OptionToList, request_option
from margin.parameters import request_terms
from tests.accounts.people import person
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, standing
from tests.margin.optioned import (
    ACCOUNTS,
    LATER,
    SECOND_DAY,
    VENUE,
    OptionFirm,
    option_firm,
    volatilities,
    write_day,
)

D = Decimal
CALL = "LUMQ-C550"
ACTOR = Actor.command("test")
AT = datetime(2031, 3, 4, 22, tzinfo=UTC)


@pytest.fixture
def firm(db: None, tmp_path: Path) -> OptionFirm:
    return option_firm(tmp_path / "firm", model="delta")


@pytest.fixture
def held(firm: OptionFirm) -> OptionFirm:
    """B0001 holds two calls that B0002 sold."""
    load_market(volatilities(SECOND_DAY), actor=ACTOR)
    write_day(
        firm.days[1], deposits=dict.fromkeys(ACCOUNTS, "100000.00"),
        trades=[("B0001", CALL, "buy", "2", "12.50"), ("B0002", CALL, "sell", "2", "12.50")],
    )  # fmt: skip
    assert run_day(firm.days[1])["rejected"] == []
    return firm


def traded(kind: str, code: str, *, contracts: int, price: str, money: str) -> Draft:
    """So many contracts to B0001 at a price, and the money that goes the other way."""
    bucket = Bucket.objects.get(account__code="B0001", code="FREE")
    place = Location.objects.select_related("pool").get(code=VENUE)
    pool, asset = place.pool_id, Asset.objects.get(code=code).pk
    usd = Asset.objects.get(code="USD").pk
    keys = [
        AccountKey(pool, asset, "position", bucket.pk),
        AccountKey(pool, asset, "custody", None, place.pk),
        AccountKey(pool, usd, "claim", bucket.pk),
        AccountKey(pool, usd, "custody", None, place.pk),
    ]
    ids = open_accounts(keys)
    amounts = [D(-contracts), D(contracts), D(money), -D(money)]
    legs = [
        Leg(ids[key], amount, price=D(price) if key.account_class == "position" else None)
        for key, amount in zip(keys, amounts, strict=True)
        if amount
    ]
    return Draft(key=f"{kind} {code}", kind=kind, effective_at=AT, reference="BY-HAND", legs=legs)


@pytest.mark.parametrize(
    ("kind", "code", "contracts", "price", "money", "rule"),
    [
        ("derivative_trade", CALL, 1, "1250", "1250", "option_is_paid_for_at_once"),
        ("option_trade", "BTC-PERP", 1, "9400", "0", "option_is_paid_for_at_once"),
        ("option_trade", CALL, 1, "1250", "1249.99", "custody_follows_the_trade"),
        ("option_trade", CALL, 1, "0", "0", "position_has_a_price"),
        ("option_settlement", CALL, -1, "1250", "-1250", "option_settles_whole"),
        ("option_settlement", CALL, -2, "-1", "2", "position_has_a_price"),
    ],
)
def test_the_book_refuses_an_option_that_is_not_paid_for(
    held: OptionFirm, kind: str, code: str, contracts: int, price: str, money: str, rule: str
) -> None:
    before = standing()
    with pytest.raises(RefusedError) as refused, acting(ACTOR, reason="By hand"):
        post_entry(traded(kind, code, contracts=contracts, price=price, money=money))
    assert refused.value.rule == rule
    assert standing() == before


def test_an_option_may_settle_at_nothing(held: OptionFirm) -> None:
    with acting(ACTOR, reason="By hand"):
        done = post_entry(traded("option_settlement", CALL, contracts=-2, price="0", money="0"))
    assert done.is_new


def test_the_database_lists_no_option_that_nobody_approved(firm: OptionFirm, owner: Any) -> None:
    contract = (
        "INSERT INTO margin_contract (asset_id, form, underlying_id, multiplier, is_inverse,"
        " expires_at, strike, is_call, style, settlement) SELECT d.id, {form}, m.id, 1, false,"
        " {terms} FROM ledger_asset d, ledger_asset m WHERE d.code = '{code}' AND m.code = 'LUMQ'"
    )
    option, perpetual = "now(), 1, true, 'european', 'cash'", "NULL, NULL, NULL, '', ''"
    asset = (
        "INSERT INTO ledger_asset (code, kind, scale, price_scale, settles_in_id, is_option)"
        " SELECT 'NEW', '{kind}', 0, 2, id, true FROM ledger_asset WHERE code = 'USD'"
    )
    new = asset.format(kind="derivative")
    statements = {
        "option_is_a_derivative": [asset.format(kind="security")],
        "option_is_listed_as_one": [
            contract.format(form="'option'", terms=option, code="BTC-PERP")
        ],
        "option_is_listed_by_two": [
            new, contract.format(form="'option'", terms=option, code="NEW"),
        ],
        "only_options_have_a_style": [
            contract.format(form="'perpetual'", terms=perpetual, code="BTC-PERP").replace(
                "'', ''", "'european', 'cash'"
            )
        ],
    }  # fmt: skip
    before = standing()
    for rule, lines in statements.items():
        with raw_refused(rule), act(owner):
            for line in lines:
                owner.execute(line)
    assert standing() == before


def wanted(firm: OptionFirm, **changes: Any) -> Any:
    option = OptionToList(
        **{
            "code": "LUMQ-NEW", "underlying": Asset.objects.get(code="LUMQ"), "strike": D(500),
            "is_call": True, "expires_at": LATER, "multiplier": D(100),
        } | {name: value for name, value in changes.items() if name != "locations"}
    )  # fmt: skip
    places = changes.get("locations", [VENUE])
    return request_option(
        option, locations=list(Location.objects.filter(code__in=places)),
        legal_entity=firm.desk.entity, reason="Members ask", actor=person(firm.desk[Role.RISK]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("code", {"code": CALL}),
        ("code", {"code": "A B"}),
        ("code", {"code": ""}),
        ("strike", {"strike": D(0)}),
        ("strike", {"strike": D("NaN")}),
        ("multiplier", {"multiplier": D(-1)}),
        ("scale", {"scale": 19}),
        ("expires_at", {"expires_at": LATER.replace(tzinfo=None)}),
        ("style", {"style": "american"}),
        ("style", {"style": "bermudan"}),
        ("settlement", {"settlement": "physical"}),
        ("locations", {"locations": []}),
        ("locations", {"locations": ["bank:client-usd"]}),
    ],
)
def test_what_the_book_does_not_carry_is_not_listed(
    firm: OptionFirm, field: str, changes: dict[str, Any]
) -> None:
    before = standing()
    with pytest.raises(AskRefusedError) as refused:
        wanted(firm, **changes)
    assert refused.value.field == field
    assert standing() == before


def test_an_option_is_written_on_something_with_a_price(firm: OptionFirm) -> None:
    for code in ("USD", "BTC-PERP", CALL):
        with pytest.raises(AskRefusedError):
            wanted(firm, underlying=Asset.objects.get(code=code))


def test_nobody_lists_alone(firm: OptionFirm) -> None:
    asked = wanted(firm)
    assert Approval.objects.get(pk=asked).action_id == LIST
    with pytest.raises(RefusedError):
        agreed(asked, firm.desk[Role.RISK])
    assert not Asset.objects.filter(code="LUMQ-NEW").exists()
    agreed(asked, firm.desk[Role.COMPLIANCE])
    assert Asset.objects.get(code="LUMQ-NEW").contract.multiplier == 100


def test_house_rules_take_no_option(firm: OptionFirm) -> None:
    with pytest.raises(AskRefusedError, match="portfolio model"):
        request_terms(
            asset=Asset.objects.get(code=CALL), brackets=[(D(0), D("0.1"), D("0.05"))],
            effective_from=SECOND_DAY, legal_entity=firm.desk.entity, reason="No",
            actor=person(firm.desk[Role.RISK]),
        )  # fmt: skip
