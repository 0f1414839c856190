"""A small invented firm after two days, the second a crash: many calls, one price missing."""

import csv
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from accounts.models import LegalEntity
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from tests.accounts.people import Desk, found_desk
from tests.stage import FIRST_DAY, staged

PERPETUAL = "BTC-PERP"


@dataclass(frozen=True)
class SmallFirm:
    """The firm's desk, and the numbers of its two runs."""

    desk: Desk
    first_run: str = "MR-310303-1"
    second_run: str = "MR-310304-1"


def crashed_firm(folder: Path, *, accounts: int = 40, seed: int = 5) -> SmallFirm:
    """Run both days and found the desk."""
    days = write_firm(
        folder, accounts=accounts, seed=seed, first_day=FIRST_DAY, days=2, profile=DEMO
    )
    crash(days[1] / "prices.csv")

    def book() -> SmallFirm:
        for day in days:
            run_day(day)
        return SmallFirm(found_desk(entity=LegalEntity.objects.get()))

    return staged(f"a crash of {accounts} accounts, seed {seed}", book)


def crash(prices: Path, *, share: Decimal = Decimal("0.7")) -> None:
    """Let every price fall to a share of itself, and the perpetual's not come at all."""
    with prices.open(newline="") as file:
        head, *rows = csv.reader(file)
    with prices.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for instrument, source, observed_at, price in rows:
            if instrument != PERPETUAL:
                writer.writerow([instrument, source, observed_at, fallen(price, share)])


def fallen(price: str, share: Decimal) -> str:
    """A price after the fall; what is no number stays what it is."""
    try:
        return f"{(Decimal(price) * share).quantize(Decimal('0.0001')):f}"
    except ArithmeticError:
        return price
