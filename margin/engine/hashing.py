"""Fingerprints of what a run read, with what, and what it said; the same on every machine.

A hash does not depend on the order of rows or on how a number was written: 1.50 and 1.5 are one
number, and a zero balance says the same as none.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from margin.engine.collateral import CollateralTerms
from margin.engine.components import ComponentKind
from margin.engine.exact import ZERO, plain
from margin.engine.house_rules import MODEL, VERSION, HouseRulesResult
from margin.engine.inputs import (
    AssetTerms,
    HouseRulesInput,
    MoneyTerms,
    OptionTerms,
    PerpetualTerms,
    SecurityTerms,
)

# The source that decides what a run says.
MODEL_MODULES: Final = (
    "brackets.py",
    "collateral.py",
    "components.py",
    "exact.py",
    "held_positions.py",
    "house_rules.py",
    "inputs.py",
    "netting.py",
    "option_parts.py",
    "states.py",
    "tiered_money.py",
)

# The source by which columns say the same.
COLUMN_MODULES: Final = ("column_ground.py", "column_rules.py", "wide.py")

Value = str | Decimal | bool | int
Tables = Mapping[str, Iterable[Sequence[Value]]]

_FIELD, _ROW, _TABLE = "\x1f", "\x1e", "\x1d"


def content_sha256(tables: Tables) -> str:
    """The sha256, in hex, of named tables of rows, whatever the order of either.

    Raises:
        ValueError: a text holds a separator, so two contents could look alike.
    """
    digest = sha256()
    for name in sorted(tables):
        digest.update((name + _TABLE).encode())
        for row in sorted(_FIELD.join(map(_text, row)) for row in tables[name]):
            digest.update((row + _ROW).encode())
        digest.update(_TABLE.encode())
    return digest.hexdigest()


@cache
def model_hash() -> str:
    """The sha256 of the engine's source: another hash means other code."""
    return _source_sha256(MODEL_MODULES)


@cache
def columns_hash() -> str:
    """The sha256 of the source that evaluates columns."""
    return _source_sha256(COLUMN_MODULES)


def _source_sha256(names: Sequence[str]) -> str:
    folder = Path(__file__).parent
    digest = sha256(f"{MODEL} {VERSION}".encode())
    for name in names:
        digest.update(f"\n{name}\n".encode())
        digest.update((folder / name).read_text(encoding="utf-8").encode())
    return digest.hexdigest()


def parameters_hash(inputs: HouseRulesInput) -> str:
    """The sha256 of the margin parameters of all assets: haircuts, rates, brackets."""
    return content_sha256({"parameters": _parameter_rows(inputs)})


def inputs_hash(inputs: HouseRulesInput) -> str:
    """The sha256 of everything a run is computed from."""
    claims = np.flatnonzero(inputs.claim_amounts != ZERO)
    positions = np.flatnonzero(inputs.quantities != ZERO)
    tables: Tables = {
        "currency": [(inputs.assets[inputs.currency],)],
        "parameters": _parameter_rows(inputs),
        "marks": zip(inputs.assets, inputs.marks, map(bool, inputs.insufficient), strict=True),
        "scopes": zip(
            inputs.scopes,
            map(bool, inputs.is_cash_account),
            inputs.loans,
            inputs.call_levels,
            inputs.liquidation_levels,
            inputs.minimum_transfer_amounts,
            strict=True,
        ),
        "claims": (
            (
                inputs.scopes[inputs.claim_scopes[row]],
                inputs.assets[inputs.claim_assets[row]],
                inputs.claim_amounts[row],
            )
            for row in claims
        ),
        "positions": (
            (
                inputs.scopes[inputs.position_scopes[row]],
                inputs.assets[inputs.position_assets[row]],
                inputs.quantities[row],
                inputs.average_costs[row],
            )
            for row in positions
        ),
    }
    if inputs.overridden.any():
        overridden = [(inputs.assets[n],) for n in np.flatnonzero(inputs.overridden)]
        tables = {**tables, "overridden": overridden}
    if inputs.doubts:
        doubts = [(inputs.assets[n], *doubt) for n, doubt in sorted(inputs.doubts.items())]
        tables = {**tables, "doubts": doubts}
    if inputs.charges:
        tables = {**tables, "charges": inputs.charges}
    if inputs.surcharges:
        crowded = [
            (row.scope, inputs.assets[inputs.position_assets[row.position]], row.rate)
            for row in inputs.surcharges
        ]
        tables = {**tables, "surcharges": crowded}
    if inputs.options:
        valued = [
            (
                inputs.scopes[inputs.position_scopes[row.position]],
                inputs.assets[inputs.position_assets[row.position]],
                row.price,
                row.counts,
            )
            for row in inputs.options
        ]
        tables = {**tables, "options": valued}
    return content_sha256(tables)


def joined_hash(*hashes: str) -> str:
    """One hash of several, in their order; of a single one that itself."""
    said = [each for each in hashes if each]
    return said[0] if len(said) == 1 else sha256("\n".join(said).encode()).hexdigest()


def result_hash(result: HouseRulesResult) -> str:
    """The sha256 of everything a run says, components included."""
    parts = result.components
    tables: Tables = {
        "model": [(MODEL, VERSION)],
        "results": (
            (
                name,
                result.equity[scope],
                result.initial_margin[scope],
                result.maintenance_margin[scope],
                result.state_of(scope),
                result.call_amount[scope],
                *result.flags_of(scope),
            )
            for scope, name in enumerate(result.scopes)
        ),
        "components": (
            (result.scopes[scope], ComponentKind(kind).name, parts.names[asset], amount)
            for scope, kind, asset, amount in zip(
                parts.scope.tolist(),
                parts.kind.tolist(),
                parts.asset.tolist(),
                parts.amount,
                strict=True,
            )
        ),
    }
    return content_sha256(tables)


def _parameter_rows(inputs: HouseRulesInput) -> list[Sequence[Value]]:
    return [
        (name, *row)
        for name, terms in zip(inputs.assets, inputs.terms, strict=True)
        for row in terms_rows(terms)
    ]


def terms_rows(terms: AssetTerms) -> list[Sequence[Value]]:
    """What an asset's terms say, row by row."""
    match terms:
        case MoneyTerms():
            return [("money", terms.haircut)]
        case CollateralTerms():
            return _collateral_rows(terms)
        case SecurityTerms():
            return [("security", terms.initial_rate, terms.maintenance_rate)]
        case PerpetualTerms():
            initial, maintenance = terms.initial, terms.maintenance
            brackets = zip(initial.floors, initial.rates, maintenance.rates, strict=True)
            return [("perpetual", *bracket) for bracket in brackets]
        case OptionTerms():
            right = "call" if terms.is_call else "put"
            written = (terms.underlying, terms.strike, right, terms.expires_at)
            return [("option", terms.multiplier, *written)]


def _collateral_rows(terms: CollateralTerms) -> list[Sequence[Value]]:
    rows: list[Sequence[Value]] = [("tier", *tier) for tier in terms.tiers]
    rows += [("concentration", *tier) for tier in terms.concentration]
    rows += [("peg", *tier) for tier in terms.peg]
    if terms.volatility is not None:
        said = terms.volatility
        rows.append(("volatility", said.estimator, said.multiple, said.horizon_days, said.haircut))
        rows += [("close", close.day.isoformat(), close.price) for close in said.closes]
    return rows


def _text(value: Value) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    text = str(value)
    if any(separator in text for separator in (_FIELD, _ROW, _TABLE)):
        raise ValueError(f"{text!r} holds a separator")
    return text
