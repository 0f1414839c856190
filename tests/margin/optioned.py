"""A firm with accounts under a model that knows options, and days written for it."""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from accounts.models import Agreement, Bucket, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from ledger.models import Asset, Location
from margin.holding import balances_of
from margin.market.rows import HEADER
from margin.models import MarginResult, MarginRun, ResultComponent
from margin.option_listing import OptionToList, request_option
from margin.parts import parts_of
from tests.accounts.people import Desk, found_desk, person
from tests.ledger.agreeing import agreed
from tests.margin.under_models import used_by
from tests.stage import FIRST_DAY, staged

D = Decimal
SECOND_DAY, THIRD_DAY = FIRST_DAY + timedelta(days=1), FIRST_DAY + timedelta(days=2)
# The second is over at noon of the third day, before its margin run.
LATER, SOON = datetime(2031, 9, 1, 21, tzinfo=UTC), datetime(2031, 3, 5, 12, tzinfo=UTC)
SHARE, COIN = "LUMQ", "BTC"
AGREEMENT, ACCOUNTS = "OPT", ("B0001", "B0002")
# A cross account under house rules, and one of the house that holds no derivatives.
PLAIN, OWN = "B0003", "H0001"
SOURCES = ("primary", "second", "third")
VENUE = "venue:client"
MARKS = {
    "AVQO": "455", "BREL": "50", "BTC": "9400", "BTC-PERP": "9400", "CALD": "625", "HALQ": "28",
    "INVO": "480", SHARE: "540", "OSTR": "25", "PELQ": "507", "QUAV": "243", "RUNE": "376",
    "TARN": "20", "ULVA": "43", "USDC": "1",
}  # fmt: skip
Traded = tuple[str, str, str, str, str]  # account, instrument, side, quantity, price


class OptionFirm(NamedTuple):
    """The desk and the folders of three days, of which the first is booked."""

    desk: Desk
    days: list[Path]


def option_firm(folder: Path, *, model: str = "scenario", **changes: Any) -> OptionFirm:
    """Accounts B0001 and B0002 under the model from the second day on; options are listed."""
    days = write_firm(folder, accounts=6, seed=5, first_day=FIRST_DAY, days=3, profile=DEMO)
    _add_accounts(folder / "reference.yaml")

    def book() -> Desk:
        run_day(days[0])
        desk = found_desk(entity=LegalEntity.objects.get())
        agreement = Agreement.objects.get(code=AGREEMENT)
        used_by(desk, agreement, model, SECOND_DAY, **changes)
        for code, strike, is_call, expires_at in (
            ("LUMQ-C500", D(500), True, LATER), ("LUMQ-C550", D(550), True, LATER),
            ("LUMQ-P500", D(500), False, LATER), ("LUMQ-C520S", D(520), True, SOON),
        ):  # fmt: skip
            list_option(desk, code, strike, is_call=is_call, expires_at=expires_at)
        return desk

    said = ",".join(f"{name}={value}" for name, value in sorted(changes.items()))
    return OptionFirm(staged(f"options under {model} {said}", book), days)


def list_option(
    desk: Desk, code: str, strike: Decimal, *, is_call: bool, expires_at: datetime = LATER
) -> None:
    """An option on a share, a hundred in one contract, listed by two."""
    asked = request_option(
        OptionToList(
            code=code, underlying=Asset.objects.get(code=SHARE), strike=strike, is_call=is_call,
            expires_at=expires_at, multiplier=D(100), price_scale=2,
        ),
        locations=[Location.objects.get(code=VENUE)], legal_entity=desk.entity,
        reason="Members ask for it", actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])


def _add_accounts(reference: Path) -> None:
    """Accounts of their own under an agreement of their own, with nothing in them."""
    said = yaml.safe_load(reference.read_text())
    said["agreements"].append(
        {
            "agreement": AGREEMENT,
            "call_level": "1",
            "liquidation_level": "0.5",
            "minimum_transfer_amount": "100.00",
        }
    )
    owner = said["accounts"][0]["owner"]
    said["accounts"] += [
        {
            "account": code,
            "owner": owner,
            "pool": "CLIENT",
            "mode": "cross",
            "buckets": ["FREE"],
            "agreement": agreement,
        }
        for code, agreement in (*((each, AGREEMENT) for each in ACCOUNTS), (PLAIN, "STD"))
    ]
    reference.write_text(yaml.safe_dump(said, sort_keys=False))


def write_day(
    folder: Path,
    *,
    trades: Sequence[Traded] = (),
    deposits: Mapping[str, str] | None = None,
    withdrawals: Mapping[str, str] | None = None,
    prices: Mapping[str, str] | None = None,
    at: str = "09:00:00",
) -> None:
    """The files of a day on which this happens and nothing else; every source says one price."""
    day = folder.name
    with (folder / "prices.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["instrument", "source", "observed_at", "price"])
        for code, price in {**MARKS, **(prices or {})}.items():
            writer.writerows([code, each, f"{day}T20:58:00Z", price] for each in SOURCES if price)
    with (folder / "trades.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["trade_id", "executed_at", "account", "bucket", "instrument", "side", "quantity",
             "price", "fee_usd", "location"]
        )  # fmt: skip
        for place, (account, code, side, quantity, price) in enumerate(trades):
            where = VENUE if "-" in code else "custodian:client-sec"
            writer.writerow(
                [f"O{day}-{place:02d}", f"{day}T{at}Z", account, "FREE", code, side, quantity,
                 price, "1.00", where]
            )  # fmt: skip
    head = (folder / "transfers.csv").read_text().splitlines()[0]
    moves = [("deposit", each) for each in (deposits or {}).items()]
    moves += [("withdrawal", each) for each in (withdrawals or {}).items()]
    rows = [
        f"D{day}-{n},{day}T08:00:00Z,{kind},{account},FREE,USD,{amount},bank:client-usd,,,R{day}{n}"
        for n, (kind, (account, amount)) in enumerate(moves)
    ]
    (folder / "transfers.csv").write_text("\n".join([head, *rows, ""]))


def volatilities(day: date, *, code: str = SHARE, at: datetime = LATER) -> bytes:
    """A file of quoted volatilities around the money, 39 % bid and 41 % asked."""
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = [
        f"volatility,venue,{day}T20:59:00Z,{code},{stamp},{strike},,,0.39,0.41"
        for strike in (450, 500, 550, 600)
    ]
    return "\n".join([",".join(HEADER), *rows, ""]).encode()


def bucket(account: str) -> Bucket:
    return Bucket.objects.select_related("account").get(account__code=account, code="FREE")


def cash(account: str) -> Decimal:
    """Money of an account."""
    return balances_of(bucket(account)).claims.get("USD", D(0))


def held(account: str, code: str) -> tuple[Decimal, Decimal]:
    """Contracts and what one cost."""
    return balances_of(bucket(account)).positions.get(code, (D(0), D(0)))


def newest_run() -> MarginRun:
    return MarginRun.objects.latest("pk")


def result_of(account: str) -> MarginResult:
    """What the newest run says of an account."""
    return MarginResult.objects.select_related("run", "parameter_set", "agreement_version").get(
        run=newest_run(), scope__bucket=bucket(account)
    )


def parts(account: str, kind: str) -> list[ResultComponent]:
    """Parts of a kind of the newest result, by asset."""
    found = [each for each in parts_of([result_of(account)]) if each.kind == kind]
    return sorted(found, key=lambda each: each.asset.code if each.asset else "")
