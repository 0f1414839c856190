"""Some thousand scopes of a run in columns: evaluated, packed, hashed, ready to be written.

Scopes that whole numbers cannot hold go through the evaluation in decimals.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple

import numpy as np

from margin.book.columns import ColumnInputs
from margin.book.packed_book import ODD
from margin.engine.column_ground import Ground, Levels, ground_of, levels_of
from margin.engine.column_rules import ColumnResult, Held, Scopes, evaluate_columns
from margin.engine.components import OF_CLAIMS, ComponentKind
from margin.engine.exact import Index, at_least_cents
from margin.engine.house_rules import HouseRulesResult, evaluate
from margin.engine.inputs import (
    ClaimRow,
    PositionRow,
    ScopeRow,
    house_rules_input,
)
from margin.engine.wide import Ints
from margin.market.marks import BASE
from margin.models import MarginResult, ResultComponent
from margin.parts import (
    COST_DECIMALS,
    GroundAsset,
    Holding,
    as_text,
    component_row,
    ground_text,
    packed,
)
from margin.result_rows import Named, result_rows
from margin.run_rows import asset_rows

SCOPES_AT_ONCE: Final = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Everything a run is computed from, as the engine's constants.

    Attributes:
        places: by asset id, where it stands in the ground; -1 where it does not.
    """

    read: ColumnInputs
    assets: tuple[GroundAsset, ...]
    ground: Ground
    ground_text: bytes
    levels: Levels
    places: Index


class OddScope(NamedTuple):
    """A scope that was evaluated in decimals: its result, and its parts in their order."""

    result: MarginResult
    parts: list[ResultComponent]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some thousand scopes of a run, computed and ready to be written.

    Attributes:
        columns: what they say, without those in `odd`.
        agreements: (A,) versions of each.
        content, content_sha256: their parts.
        inputs_sha256, result_sha256: of what went in and what came out.
    """

    first: int
    scope_ids: np.ndarray[Any, np.dtype[np.int64]]
    columns: ColumnResult
    agreements: Ints
    odd: Mapping[int, OddScope]
    content: bytes
    content_sha256: bytes
    inputs_sha256: bytes
    result_sha256: bytes

    def rows(self, run_id: int) -> bytes:
        """What the columns say as the server copies it in."""
        return result_rows(run_id, Named(self.scope_ids, self.agreements), self.columns)


def prepared(read: ColumnInputs) -> Prepared:
    """The constants of a run."""
    by_code = {asset.code: asset for asset in read.assets.values()}
    assets = []
    for row in asset_rows(read):
        asset = by_code[row.name]
        mark, haircut = read.marks.get(asset.pk), read.terms.haircuts.get(asset.pk)
        terms = read.terms.instruments.get(asset.pk)
        assets.append(
            GroundAsset(
                asset_id=asset.pk,
                scale=asset.scale,
                row=row,
                mark_id=None if mark is None else mark.pk,
                haircut_id=None if haircut is None else haircut.pk,
                terms_id=None if terms is None else terms.pk,
            )
        )
    places = np.full(max(read.assets, default=0) + 1, -1, dtype=np.intp)
    places[[each.asset_id for each in assets]] = np.arange(len(assets))
    return Prepared(
        read=read,
        assets=tuple(assets),
        ground=ground_of([each.row for each in assets], scales=[each.scale for each in assets]),
        ground_text=ground_text(assets),
        levels=levels_of(
            call=[each.call_level for each in read.agreements],
            liquidation=[each.liquidation_level for each in read.agreements],
            minimum=[each.minimum_transfer_amount for each in read.agreements],
        ),
        places=places,
    )


def block_of(ready: Prepared, first: int, last: int, *, run_id: int) -> Block:
    """Evaluate the scopes from one place to below another."""
    read = ready.read
    low, high = int(read.held.starts[first]), int(read.held.starts[last])
    starts = read.held.starts[first : last + 1] - low
    units, costs = read.held.units[low:high], read.held.costs[low:high]
    strange = (units == ODD) | (costs == ODD)
    held = Held(
        starts=starts,
        assets=ready.places[read.held.assets[low:high]],
        units=np.where(strange, 0, units),
        costs=np.where(strange, 0, costs),
    )
    is_odd = np.zeros(last - first, dtype=bool)
    is_odd[np.searchsorted(starts, np.flatnonzero(strange), side="right") - 1] = True
    scopes = _of(read, first, last)
    loans = scopes["loans"]
    is_odd |= loans == ODD
    result = evaluate_columns(
        ready.ground,
        held,
        scopes=Scopes(
            is_cash_account=scopes["is_cash"],
            loans=np.where(loans == ODD, 0, loans),
            agreements=read.scopes.agreements[first:last],
            is_odd=is_odd,
        ),
        levels=ready.levels,
    )
    odd = _odd_scopes(ready, first + np.flatnonzero(result.is_odd), run_id=run_id)
    versions = np.array([each.pk for each in read.agreements], dtype=np.int64)
    agreements = versions[read.scopes.agreements[first:last]]
    inputs = {
        **scopes,
        "starts": starts,
        "assets": held.assets,
        "units": units,
        "costs": costs,
        "ledger_accounts": read.held.ledger_accounts[low:high],
        "seqs": read.held.seqs[low:high],
    }
    head = {
        "odd": {str(scope): [as_text(row) for row in each.parts] for scope, each in odd.items()}
    }
    content = packed({**inputs, "brackets": result.brackets}, head=head)
    content_sha256 = sha256(content).digest()
    return Block(
        first=first,
        scope_ids=scopes["scopes"],
        columns=result,
        agreements=agreements,
        odd=odd,
        content=content,
        content_sha256=content_sha256,
        inputs_sha256=_inputs_sha256({**inputs, "agreements": agreements}, odd=read, scopes=odd),
        result_sha256=_result_sha256(scopes["scopes"], result, content_sha256, odd),
    )


def _of(read: ColumnInputs, first: int, last: int) -> dict[str, Any]:
    """The columns of scopes that a block keeps."""
    return {
        "scopes": read.scopes.ids[first:last],
        "is_cash": read.scopes.is_cash_account[first:last],
        "loans": read.scopes.loans[first:last],
        "loan_accounts": read.scopes.loan_accounts[first:last],
        "loan_seqs": read.scopes.loan_seqs[first:last],
    }


def _inputs_sha256(
    columns: Mapping[str, Any], *, odd: ColumnInputs, scopes: Mapping[int, OddScope]
) -> bytes:
    """What went in; which posting left a balance so is no part of it."""
    digest = sha256()
    for name in ("scopes", "is_cash", "agreements", "loans", "starts", "assets", "units", "costs"):
        digest.update(np.ascontiguousarray(columns[name]).tobytes())
    if scopes:
        accounts = set(columns["ledger_accounts"].tolist()) | set(columns["loan_accounts"].tolist())
        said = [(n, *map(str, each)) for n, each in sorted(odd.odd.items()) if n in accounts]
        digest.update(json.dumps(said).encode())
    return digest.digest()


def _result_sha256(
    scopes: Ints,
    result: ColumnResult,
    content_sha256: bytes,
    odd: Mapping[int, OddScope],
) -> bytes:
    """What came out, parts included."""
    digest = sha256(content_sha256)
    digest.update(np.ascontiguousarray(scopes).tobytes())
    spoken = ~result.is_odd
    for wide in (result.equity, result.initial, result.maintenance):
        digest.update((wide.high * spoken).tobytes())
        digest.update((wide.low * spoken).tobytes())
    for column in (
        result.states, result.call_cents, result.insufficient, result.overridden, result.below_mta
    ):  # fmt: skip
        digest.update((column * spoken).tobytes())
    said = [
        [scope, *(format(getattr(each.result, name), "f") for name in NUMBERS), each.result.state,
         *each.result.flags]
        for scope, each in sorted(odd.items())
    ]  # fmt: skip
    digest.update(json.dumps(said).encode())
    return digest.digest()


NUMBERS: Final = ("equity", "initial_margin", "maintenance_margin", "call_amount")


def _odd_scopes(ready: Prepared, places: Index, *, run_id: int) -> dict[int, OddScope]:
    """Scopes that columns do not speak of, through the evaluation itself."""
    if not places.size:
        return {}
    read = ready.read
    held = {place: list(_exact_holdings(ready, place)) for place in places.tolist()}
    loans = {place: _exact_loan(ready, place) for place in places.tolist()}
    claims, positions = (
        [
            (place, each)
            for place, listed in held.items()
            for each in listed
            if (read.assets[each.asset.asset_id].kind == "money") is is_money
        ]
        for is_money in (True, False)
    )
    result = evaluate(
        house_rules_input(
            assets=[each.row for each in ready.assets],
            scopes=[_scope_row(read, place, loans[place]) for place in held],
            claims=[ClaimRow(str(p), each.asset.row.name, each.quantity) for p, each in claims],
            positions=[
                PositionRow(str(p), each.asset.row.name, each.quantity, each.average_cost)
                for p, each in positions
            ],
            currency=BASE,
        )
    )
    sources = {"claim": [each for _, each in claims], "position": [each for _, each in positions]}
    by_name = {each.row.name: each for each in ready.assets}
    found = {}
    for at, place in enumerate(held):
        parts = []
        for part in result.components.of(at):
            if part.kind == ComponentKind.LOAN:
                source = loans[place]
            else:
                kind = "claim" if part.kind in OF_CLAIMS else "position"
                source = sources[kind][part.row or 0]
            parts.append(component_row(part, by_name[part.asset], source))
        found[int(read.scopes.ids[place])] = OddScope(
            _odd_result(read, result, at, place, run_id=run_id), parts
        )
    return found


def _scope_row(read: ColumnInputs, place: int, loan: Holding) -> ScopeRow:
    agreement = read.agreements[int(read.scopes.agreements[place])]
    return ScopeRow(
        name=str(place),
        is_cash_account=bool(read.scopes.is_cash_account[place]),
        loan=loan.quantity,
        call_level=agreement.call_level,
        liquidation_level=agreement.liquidation_level,
        minimum_transfer_amount=agreement.minimum_transfer_amount,
    )


def _exact_holdings(ready: Prepared, place: int) -> Iterator[Holding]:
    read, held = ready.read, ready.read.held
    for row in range(int(held.starts[place]), int(held.starts[place + 1])):
        at = int(ready.places[int(held.assets[row])])
        account, asset = int(held.ledger_accounts[row]), ready.assets[at]
        odd = read.odd.get(account)
        if odd is None:
            quantity = Decimal(int(held.units[row])).scaleb(-asset.scale)
            cost = Decimal(int(held.costs[row])).scaleb(-COST_DECIMALS)
        else:
            quantity, cost = odd.amount, odd.average_cost or Decimal(0)
        yield Holding(asset, at, quantity, cost, 0, account, int(held.seqs[row]))


def _exact_loan(ready: Prepared, place: int) -> Holding:
    scopes = ready.read.scopes
    account = int(scopes.loan_accounts[place])
    at = next(n for n, each in enumerate(ready.assets) if each.row.name == BASE)
    odd = ready.read.odd.get(account)
    scale = ready.assets[at].scale
    owed = Decimal(int(scopes.loans[place])).scaleb(-scale) if odd is None else odd.amount
    return Holding(ready.assets[at], at, owed, Decimal(0), 0, account, int(scopes.loan_seqs[place]))


def _odd_result(
    read: ColumnInputs, result: HouseRulesResult, at: int, place: int, *, run_id: int
) -> MarginResult:
    return MarginResult(
        run_id=run_id,
        scope_id=int(read.scopes.ids[place]),
        agreement_version=read.agreements[int(read.scopes.agreements[place])],
        equity=at_least_cents(result.equity[at]),
        initial_margin=at_least_cents(result.initial_margin[at]),
        maintenance_margin=at_least_cents(result.maintenance_margin[at]),
        state=result.state_of(at),
        call_amount=at_least_cents(result.call_amount[at]),
        flags=result.flags_of(at),
    )
