"""Firms and day folders in the inbox's format, invented from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random

from brokerage.synthetic import formats, refusals, rules
from brokerage.synthetic.book import Book, Decide, exact_arithmetic
from brokerage.synthetic.desk import Desk, day_times
from brokerage.synthetic.events import Event, Trade, Transfer, in_order, instant_text
from brokerage.synthetic.market import Market, marks_of, quote_day
from brokerage.synthetic.opening import invent_opening
from brokerage.synthetic.profile import Profile, drawn, drawn_count
from brokerage.synthetic.reference import (
    BANKS,
    CLIENT_BANK,
    HOUSE_BANK,
    INSURANCE_BANK,
    invent_reference,
)
from brokerage.synthetic.reference_file import reference_text
from brokerage.synthetic.rows import (
    HOLDINGS,
    PRICES,
    TRADES,
    TRANSFERS,
    with_unreadable,
    write_csv,
)
from brokerage.synthetic.statements import Banks, reported_holdings

AS_OF_TIME = time(21, 0, 0)


class FolderNotEmptyError(Exception):
    """The folder for the invented firm holds something already; nothing was written."""


@dataclass
class Firm:
    """An invented firm on its way through the days."""

    rng: Random
    profile: Profile
    decide: Decide
    market: Market
    book: Book
    banks: Banks
    days_written: int = 0


def write_firm(
    folder: Path,
    *,
    accounts: int,
    seed: int,
    first_day: date,
    days: int,
    profile: Profile,
    decide: Decide = rules.decide,
) -> list[Path]:
    """Write reference.yaml and `days` business-day folders; return the day folders in order.

    The same arguments give the same bytes. `accounts` counts the firm's own too. `decide` says
    which events the book accepts, and with that what the banks will report.

    Raises:
        FolderNotEmptyError: the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FolderNotEmptyError(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    rng = Random(seed)  # noqa: S311 - nothing here is a secret
    business_days = list(weekdays(first_day, count=days))
    with exact_arithmetic():
        reference = invent_reference(rng, accounts=accounts, profile=profile)
        market = Market.invented(rng, reference)
        book, firm_balances = invent_opening(rng, reference, market, profile)
        (folder / "reference.yaml").write_text(
            reference_text(
                book, firm_balances, evening=weekday_before(first_day), as_of_time=AS_OF_TIME
            ),
            encoding="utf-8",
        )
        banks = Banks({bank: book.held(bank) for bank in BANKS})
        firm = Firm(rng, profile, decide, market, book, banks)
        return [write_day(firm, folder, day) for day in business_days]


def weekdays(first_day: date, *, count: int) -> Iterator[date]:
    """`count` days from the first on, Saturdays and Sundays left out."""
    day = first_day
    while count > 0:
        if day.weekday() < 5:
            yield day
            count -= 1
        day += timedelta(days=1)


def weekday_before(day: date) -> date:
    day -= timedelta(days=1)
    while day.weekday() >= 5:
        day -= timedelta(days=1)
    return day


def write_day(firm: Firm, folder: Path, day: date) -> Path:
    """Invent one business day and write its folder; the firm is then at that day's end."""
    rng, profile = firm.rng, firm.profile
    start = datetime.combine(day, time(), tzinfo=UTC)
    as_of = datetime.combine(day, AS_OF_TIME, tzinfo=UTC)
    firm.market.next_day(rng, profile, number=firm.days_written)
    firm.days_written += 1
    trades, transfers = planned_events(firm, start=start, as_of=as_of)
    rng.shuffle(trades)
    rng.shuffle(transfers)
    replay(firm, trades, transfers, start=start, as_of=as_of)
    prices = quote_day(rng, firm.market, profile, as_of=as_of)
    firm.book.marks = marks_of(prices, as_of=as_of, previous=firm.book.marks)

    target = folder / day.isoformat()
    (target / "statements").mkdir(parents=True)
    holdings = reported_holdings(rng, firm.book, profile.faults, as_of=instant_text(as_of))
    for name, header, rows in (
        ("prices.csv", PRICES, [price.cells() for price in prices]),
        ("trades.csv", TRADES, [trade.cells() for trade in trades]),
        ("transfers.csv", TRANSFERS, [transfer.cells() for transfer in transfers]),
        ("statements/holdings.csv", HOLDINGS, holdings),
    ):
        written = with_unreadable(rng, rows, header, profile.faults.rows)
        write_csv(target / name, header, written)
    write_statements(firm, target / "statements", day)
    return target


def planned_events(
    firm: Firm, *, start: datetime, as_of: datetime
) -> tuple[list[Trade], list[Transfer]]:
    """The day's events, each chosen against a copy of the book as it stands at that moment."""
    rng, profile = firm.rng, firm.profile
    book = firm.book.copy()
    book.begin_day(start=start, as_of=as_of)
    desk = Desk(rng, book, firm.market, profile, firm.decide, start, as_of)
    account_count = len(book.reference.accounts)
    trade_count = drawn_count(rng, account_count * profile.trades_per_account)
    transfer_count = drawn_count(rng, account_count * profile.transfers_per_account)
    kinds = [Trade] * trade_count + [Transfer] * transfer_count
    rng.shuffle(kinds)
    times = day_times(rng, len(kinds), start=start, as_of=as_of)
    trades: list[Trade] = []
    transfers: list[Transfer] = []
    # Trades before transfers of the same second, as the book will take them.
    for at, kind in sorted(
        zip(times, kinds, strict=True), key=lambda slot: (slot[0], slot[1] is Transfer)
    ):
        event = planned_event(desk, kind, at)
        if event is None:
            continue
        book.take(event, decide=firm.decide)
        desk.recent_ids.append(event.id)
        if isinstance(event, Trade):
            trades.append(event)
        else:
            transfers.append(event)
    return trades, transfers


def planned_event(desk: Desk, kind: type[Trade] | type[Transfer], at: datetime) -> Event | None:
    reason = drawn(desk.rng, desk.profile.faults.events)
    refused = refusals.refused(desk, at, reason=reason) if reason else None
    if refused:
        return refused
    return desk.trade(at) if kind is Trade else desk.transfer(at)


def replay(
    firm: Firm, trades: list[Trade], transfers: list[Transfer], *, start: datetime, as_of: datetime
) -> None:
    """Take the day's files as the book will: their order decides, not the plan."""
    firm.book.begin_day(start=start, as_of=as_of)
    for event in in_order(trades, transfers):
        firm.book.take(event, decide=firm.decide)


def write_statements(firm: Firm, folder: Path, day: date) -> None:
    statements = firm.banks.statements(firm.rng, firm.book, firm.profile.faults, day=day)
    for bank, name, text_of in (
        (CLIENT_BANK, "bank-client-usd.camt053.xml", formats.camt_text),
        (HOUSE_BANK, "bank-house-usd.mt940", formats.mt940_text),
        (INSURANCE_BANK, "bank-insurance-usd.bai2", formats.bai2_text),
    ):
        (folder / name).write_text(text_of(statements[bank]), encoding="utf-8", newline="")
