"""The invented firm's reference.yaml, written line by line: a large firm has tens of thousands."""

from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal

from brokerage.synthetic.book import Book
from brokerage.synthetic.reference import (
    BANKS,
    FIRM_NAME,
    PERPETUAL,
    Instrument,
    Reference,
)


def reference_text(
    book: Book,
    firm_balances: dict[tuple[str, str], Decimal],
    *,
    evening: date,
    as_of_time: time,
) -> str:
    lines = [
        "# Invented by a program. No client, company or price in this folder is real.",
        'format: "golden/1"',
        'house_rules: "v1"',
        f'firm: {{name: "{FIRM_NAME}", as_of_time: "{as_of_time:%H:%M:%S}"}}',
        "pools: [CLIENT, HOUSE, INSURANCE]",
        *static_lines(book.reference),
        *owner_lines(book.reference),
        "opening:",
        f'  business_day: "{evening}"',
        *(f"  {line}" for line in opening_lines(book, firm_balances)),
    ]
    return "\n".join(lines) + "\n"


def static_lines(reference: Reference) -> Iterator[str]:
    yield "assets:"
    for asset in reference.assets.values():
        yield (
            f'- {{asset: {asset.code}, kind: money, scale: "{asset.scale}",'
            f' haircut: "{asset.haircut}"}}'
        )
    yield "instruments:"
    for instrument in reference.instruments.values():
        yield from instrument_lines(instrument)
    yield "locations:"
    for place in reference.locations.values():
        account = f', account_id: "{place.account_id}"' if place.account_id else ""
        yield (
            f'- {{location: "{place.code}", pool: {place.pool}, kind: {place.kind},'
            f" assets: [{', '.join(place.assets)}]{account}}}"
        )
    yield "agreements:"
    for terms in reference.agreements.values():
        yield (
            f'- {{agreement: {terms.code}, call_level: "{terms.call_level}",'
            f' liquidation_level: "{terms.liquidation_level}",'
            f' minimum_transfer_amount: "{terms.minimum_transfer_amount}"}}'
        )


def instrument_lines(instrument: Instrument) -> Iterator[str]:
    scales = (
        f'quantity_scale: "{instrument.quantity_scale}", price_scale: "{instrument.price_scale}"'
    )
    if instrument.is_security:
        only = instrument.brackets[0]
        yield (
            f"- {{instrument: {instrument.code}, kind: security, {scales},"
            f' initial_rate: "{only.initial_rate}", maintenance_rate: "{only.maintenance_rate}"}}'
        )
        return
    yield f"- instrument: {PERPETUAL}"
    yield "  kind: linear_perp"
    yield f'  quantity_scale: "{instrument.quantity_scale}"'
    yield f'  price_scale: "{instrument.price_scale}"'
    yield "  settles_in: USD"
    yield "  brackets:"
    for bracket in instrument.brackets:
        yield (
            f'  - {{floor: "{bracket.floor}", initial_rate: "{bracket.initial_rate}",'
            f' maintenance_rate: "{bracket.maintenance_rate}"}}'
        )


def owner_lines(reference: Reference) -> Iterator[str]:
    yield "clients:"
    for code, name in reference.clients.items():
        yield f'- {{client: {code}, name: "{name}"}}'
    yield "accounts:"
    for account in reference.accounts.values():
        yield (
            f"- {{account: {account.code}, owner: {account.owner}, pool: {account.pool},"
            f" mode: {account.mode}, buckets: [{', '.join(account.buckets)}],"
            f" agreement: {account.agreement}}}"
        )


def opening_lines(book: Book, firm_balances: dict[tuple[str, str], Decimal]) -> Iterator[str]:
    yield "marks:"
    for code, mark in sorted(book.marks.items()):
        yield f'- {{instrument: {code}, mark: "{mark:f}"}}'
    yield "claims:"
    for (account, bucket), held in sorted(book.claims.items()):
        for asset, amount in sorted(held.items()):
            yield (
                f'- {{account: {account}, bucket: {bucket}, asset: {asset}, amount: "{amount:f}"}}'
            )
    yield "positions:"
    for (account, bucket), positions in sorted(book.positions.items()):
        for code, (quantity, average) in sorted(positions.items()):
            yield (
                f"- {{account: {account}, bucket: {bucket}, instrument: {code},"
                f' quantity: "{quantity:f}", average_cost: "{average:f}"}}'
            )
    yield "loans:"
    for account, amount in sorted(book.loans.items()):
        yield f'- {{account: {account}, amount: "{amount:f}"}}'
    yield "custody:"
    for (place, asset), quantity in sorted(book.custody.items()):
        if quantity:
            yield f'- {{location: "{place}", asset: {asset}, quantity: "{quantity:f}"}}'
    yield "firm_balance:"
    for (pool, asset), amount in sorted(firm_balances.items()):
        yield f'- {{pool: {pool}, asset: {asset}, amount: "{amount:f}"}}'
    yield "statement_closing:"
    for bank in BANKS:
        yield f'- {{location: "{bank}", amount: "{book.held(bank):f}"}}'
