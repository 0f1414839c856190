"""Rows that the worth of an option rests on, as an explanation names them."""

from collections.abc import Sequence
from typing import Any

from accounts.clock import utc_stamp
from accounts.figures import plain
from margin.engine.collateral import Fact
from margin.engine.components import Component
from margin.engine.explain import Reference
from margin.models import Contract, Mark, MarketRow
from margin.references import mark_reference

QUOTES, UNDERLYING = "quotes", "underlying_mark"


def option_references(component: Component, *, asset_id: int | None) -> list[Reference]:
    """Its contract, how it was priced, and where not by itself: underlying and volatilities."""
    assert component.detail is not None, "an option says how it was priced"
    assert asset_id is not None, "and which it is"
    facts = dict(component.detail.facts)
    contract = Contract.objects.select_related("asset", "underlying").get(asset_id=asset_id)
    said = {name: value for name, value in facts.items() if name not in (QUOTES, UNDERLYING)}
    found: list[Reference] = [
        contract_reference(
            contract, asset=contract.asset.code, underlying=contract.underlying.code
        ),
        {"what": "option_value", **said},
    ]
    if UNDERLYING in facts:
        beneath = Mark.objects.select_related("rule").get(pk=int(facts[UNDERLYING]))
        found.append(mark_reference(beneath, asset=contract.underlying.code, valid=None))
    if facts.get(QUOTES):
        rows = MarketRow.objects.filter(pk__in=map(int, facts[QUOTES].split(",")))
        found += [volatility_reference(row) for row in rows.order_by("pk")]
    return found


def option_words(facts: Sequence[Fact]) -> str:
    """How an option was priced, in a line; rows are on the page of what it is written on."""
    said = (each for each in facts if each[0] not in (QUOTES, UNDERLYING))
    return "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in said)


def contract_reference(contract: Contract, *, asset: str, underlying: str) -> Reference:
    """The row of a contract, with what it says."""
    said: dict[str, Any] = {
        "what": "contract",
        "asset": asset,
        "form": contract.form,
        "underlying": underlying,
        "multiplier": plain(contract.multiplier),
    }
    if contract.expires_at is not None:
        said["expires_at"] = utc_stamp(contract.expires_at)
    if contract.strike is not None:
        right = "call" if contract.is_call else "put"
        said |= {"strike": plain(contract.strike), "right": right, "style": contract.style}
        said["settlement"] = contract.settlement
    return said


def volatility_reference(row: MarketRow) -> Reference:
    """A quoted volatility as it was received."""
    sides = {"bid": row.bid, "ask": row.ask}
    return {
        "what": "volatility",
        "id": row.pk,
        "source": row.source,
        "observed_at": utc_stamp(row.observed_at),
        "expires_at": None if row.expires_at is None else utc_stamp(row.expires_at),
        "strike": None if row.strike is None else plain(row.strike),
        "file_sha256": row.file_sha256,
        "line": row.line,
        **{name: plain(value) for name, value in sides.items() if value is not None},
    }
