"""Parts of results as blocks of columns, and the same parts read again, scope by scope.

Block 0 of a run, its ground, is the JSON text of every mark and every term used. Each other block
holds some thousand scopes: what each held, whole units as they were read, and which bracket was
reached. A part's amount is the product of what stands there, so nothing is stored twice; `verify`
adds all of them up to the results. Parts that columns cannot hold stand as text in the head.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from margin.engine.brackets import RateSchedule
from margin.engine.components import OF_MODELS, Component, ComponentKind
from margin.engine.exact import ONE, ZERO, at_least_cents, exact, plain
from margin.engine.hashing import terms_rows
from margin.engine.inputs import (
    AssetRow,
    AssetTerms,
    MoneyTerms,
    PerpetualTerms,
    SecurityTerms,
)
from margin.market.marks import BASE
from margin.models import MarginResult, MarginRun, ResultComponent, RunBlock

MAGIC: Final = b"margin-parts/1\n"
GROUND: Final = "margin-ground/1"
OTHER: Final = "other"
COST_DECIMALS: Final = 8
ODD: Final = int(np.iinfo(np.int64).min)
INTEGERS: Final = ("<i1", "<i2", "<i4", "<i8")

Column = NDArray[Any]


# ---------------------------------------------------------------- blocks


def packed(columns: Mapping[str, Column], *, head: Mapping[str, Any]) -> bytes:
    """Columns behind one another, each in the fewest bytes that hold its numbers."""
    narrow = {name: _narrowed(column) for name, column in columns.items()}
    said = {
        **head,
        "columns": [[name, column.dtype.str, len(column)] for name, column in narrow.items()],
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    return b"".join([MAGIC, text, b"\n", *(column.tobytes() for column in narrow.values())])


def unpacked(content: bytes) -> tuple[dict[str, Column], dict[str, Any]]:
    """Columns and head of a block.

    Raises:
        ValueError: it is none.
    """
    if not content.startswith(MAGIC):
        raise ValueError("this is no block of parts")
    end = content.index(b"\n", len(MAGIC))
    head = json.loads(content[len(MAGIC) : end])
    at, columns = end + 1, {}
    for name, kind, count in head["columns"]:
        columns[name] = np.frombuffer(content, kind, count, at)
        at += columns[name].nbytes
    if at != len(content):
        raise ValueError("the block is not as long as its head says")
    return columns, head


def _narrowed(column: Column) -> Column:
    if column.dtype == np.bool_ or not len(column):
        return column.astype("<i1")
    low, high = int(column.min()), int(column.max())
    kind = next(
        kind for kind in INTEGERS if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max
    )
    return column.astype(kind)


# ---------------------------------------------------------------- the ground


@dataclass(frozen=True, slots=True)
class GroundAsset:
    """An asset of a run: how it counted, and the rows that say so."""

    asset_id: int
    scale: int
    row: AssetRow
    mark_id: int | None
    haircut_id: int | None
    terms_id: int | None


def ground_text(assets: Sequence[GroundAsset]) -> bytes:
    """The ground as it is kept and hashed."""
    said = [
        {
            "id": each.asset_id, "scale": each.scale, "code": each.row.name,
            "price": plain(each.row.mark), "terms": _terms_said(each.row.terms),
            "insufficient": each.row.insufficient, "overridden": each.row.overridden,
            "mark": each.mark_id, "haircut": each.haircut_id, "instrument_terms": each.terms_id,
        }
        for each in assets
    ]  # fmt: skip
    return json.dumps(
        {"format": GROUND, "assets": said}, sort_keys=True, separators=(",", ":")
    ).encode()


def ground_assets(content: bytes) -> list[GroundAsset]:
    """The assets of a ground."""
    said = json.loads(content)
    if said["format"] != GROUND:
        raise ValueError("this is no ground of parts")
    return [
        GroundAsset(
            asset_id=each["id"],
            scale=each["scale"],
            row=AssetRow(
                each["code"],
                # Of other terms nothing is said here, and nothing that would be asked.
                cast("AssetTerms", _terms_of(each["terms"])),
                Decimal(each["price"]),
                each["insufficient"],
                each["overridden"],
            ),
            mark_id=each["mark"],
            haircut_id=each["haircut"],
            terms_id=each["instrument_terms"],
        )
        for each in said["assets"]
    ]


def _terms_said(terms: AssetTerms) -> list[Any]:
    match terms:
        case MoneyTerms():
            return ["money", plain(terms.haircut)]
        case SecurityTerms():
            return ["security", plain(terms.initial_rate), plain(terms.maintenance_rate)]
        case PerpetualTerms():
            return ["perpetual", _schedule_said(terms.initial), _schedule_said(terms.maintenance)]
        case _:
            # Columns do not speak of scopes that hold it; its parts stand as text.
            return [OTHER, *([str(value) for value in row] for row in terms_rows(terms))]


def _schedule_said(schedule: RateSchedule) -> list[list[str]]:
    return [
        [plain(each) for each in bracket]
        for bracket in zip(schedule.floors, schedule.rates, schedule.deductions, strict=True)
    ]


def _terms_of(said: list[Any]) -> AssetTerms | None:
    kind, *values = said
    if kind == "money":
        return MoneyTerms(Decimal(values[0]))
    if kind == OTHER:
        return None
    if kind == "security":
        return SecurityTerms(Decimal(values[0]), Decimal(values[1]))
    return PerpetualTerms(*(_schedule_of(each) for each in values))


def _schedule_of(said: list[list[str]]) -> RateSchedule:
    columns = list(zip(*([Decimal(each) for each in bracket] for bracket in said), strict=True))
    return RateSchedule(*columns)


# ---------------------------------------------------------------- parts again


@dataclass(frozen=True, slots=True)
class Holding:
    """A claim or position of a scope as a block keeps it."""

    asset: GroundAsset
    place: int
    quantity: Decimal
    average_cost: Decimal
    bracket: int
    ledger_account_id: int
    account_seq: int


def parts_of(results: Sequence[MarginResult]) -> list[ResultComponent]:
    """The parts of results, result by result in the order given, however their runs keep them.

    One query for all that are kept by rows, one for each run in columns and one for each of its
    blocks that is needed; one more where runs are not at hand. Parts that come out of a block are
    unsaved. Every part has its result, and its amount with the decimals that say something.
    """
    layouts = _layouts_of(results)
    in_columns = [r for r in results if layouts[r.run_id] == MarginRun.Layout.COLUMNS]
    in_rows = {r.pk: r for r in results if layouts[r.run_id] == MarginRun.Layout.ROWS}
    found: dict[int, list[ResultComponent]] = {result.pk: [] for result in results}
    for row in _of_rows(in_rows):
        found[row.result_id].append(row)
    for run_id in dict.fromkeys(each.run_id for each in in_columns):
        of_run = [each for each in in_columns if each.run_id == run_id]
        for row in _of_blocks(run_id, sorted(of_run, key=lambda each: each.scope_id)):
            found[row.result_id].append(row)
    return [row for rows in found.values() for row in rows]


def _layouts_of(results: Sequence[MarginResult]) -> dict[int, str]:
    """How the runs of results keep parts, by id; a query for runs that are not at hand."""
    at_hand = [each for each in results if "run" in each._state.fields_cache]
    layouts = {each.run_id: each.run.layout for each in at_hand}
    others = {each.run_id for each in results} - layouts.keys()
    if others:
        layouts |= MarginRun.objects.filter(pk__in=others).values_list("pk", "layout")
    return layouts


def _of_rows(results: Mapping[int, MarginResult]) -> Iterator[ResultComponent]:
    """The parts of some results that are kept by rows, in their order."""
    rows = ResultComponent.objects.filter(result__in=list(results))
    for row in rows.order_by("result", "ordinal"):
        row.result, row.amount = results[row.result_id], at_least_cents(row.amount)
        yield row


def _of_blocks(run_id: int, results: Sequence[MarginResult]) -> Iterator[ResultComponent]:
    """The parts of some results of a run in columns, by scope."""
    blocks = RunBlock.objects.filter(run_id=run_id)
    ground = ground_assets(bytes(blocks.get(ordinal=0).content))
    block: RunBlock | None = None
    for result in results:
        if block is None or not block.first_scope <= result.scope_id <= block.last_scope:
            block = blocks.get(
                ordinal__gt=0, first_scope__lte=result.scope_id, last_scope__gte=result.scope_id
            )
            columns, head = unpacked(bytes(block.content))
        odd = head["odd"].get(str(result.scope_id))
        if odd is None:
            at = int(np.searchsorted(columns["scopes"], result.scope_id))
            rows = list(component_rows(columns, ground, at))
        else:
            rows = [ResultComponent(**{**each, "amount": Decimal(each["amount"])}) for each in odd]
        for ordinal, row in enumerate(rows, start=1):
            row.result, row.ordinal = result, ordinal
            row.amount = at_least_cents(row.amount)
            yield row


def component_rows(
    columns: Mapping[str, Column], ground: Sequence[GroundAsset], at: int
) -> Iterator[ResultComponent]:
    """The parts of the scope at a place of a block, by kind and asset."""
    held = list(holdings_at(columns, ground, at))
    found: list[tuple[Component, int, Holding | None]] = []
    with exact():
        for each in held:
            found += [
                (part, each.place, each)
                for part in _parts_of(each, is_cash_account=bool(columns["is_cash"][at]))
            ]
        loan = int(columns["loans"][at])
        if loan:
            owed, money = Decimal(loan).scaleb(-2), _currency(ground)
            part = Component(ComponentKind.LOAN, ground[money].row.name, -owed, owed, ONE)
            lent = Holding(
                ground[money], money, owed, ZERO, 0,
                int(columns["loan_accounts"][at]), int(columns["loan_seqs"][at]),
            )  # fmt: skip
            found.append((part, money, lent))
    for part, _, source in sorted(found, key=lambda each: (each[0].kind, each[1])):
        yield component_row(part, None if source is None else source.asset, source)


def _currency(ground: Sequence[GroundAsset]) -> int:
    """The asset in which everything is measured."""
    return next(place for place, each in enumerate(ground) if each.row.name == BASE)


def holdings_at(
    columns: Mapping[str, Column], ground: Sequence[GroundAsset], at: int
) -> Iterator[Holding]:
    """What the scope at a place of a block held."""
    for row in range(int(columns["starts"][at]), int(columns["starts"][at + 1])):
        place = int(columns["assets"][row])
        asset = ground[place]
        yield Holding(
            asset=asset,
            place=place,
            quantity=Decimal(int(columns["units"][row])).scaleb(-asset.scale),
            average_cost=Decimal(int(columns["costs"][row])).scaleb(-COST_DECIMALS),
            bracket=int(columns["brackets"][row]),
            ledger_account_id=int(columns["ledger_accounts"][row]),
            account_seq=int(columns["seqs"][row]),
        )


def _parts_of(held: Holding, *, is_cash_account: bool) -> Iterator[Component]:
    """A holding's parts: the products of what its block and its ground say."""
    row, quantity = held.asset.row, held.quantity
    price, terms = row.mark, row.terms
    if isinstance(terms, MoneyTerms):
        worth = quantity * price * (ONE - terms.haircut)
        yield Component(
            ComponentKind.MONEY_CLAIM, row.name, worth, quantity, price, rate=terms.haircut
        )
        return
    worth = quantity * price
    charged: list[tuple[ComponentKind, Decimal, int | None, Decimal | None]]
    if isinstance(terms, SecurityTerms):
        yield Component(ComponentKind.SECURITY, row.name, worth, quantity, price)
        charged = [
            (ComponentKind.IM_SECURITY, terms.initial_rate, None, None),
            (ComponentKind.MM_SECURITY, terms.maintenance_rate, None, None),
        ]
    else:
        assert isinstance(terms, PerpetualTerms), "parts of other terms stand as text"
        gain = quantity * (price - held.average_cost)
        yield Component(
            ComponentKind.PERPETUAL_UNREALISED, row.name, gain, quantity, price, held.average_cost
        )
        charged = [
            (kind, schedule.rates[held.bracket], held.bracket, schedule.deductions[held.bracket])
            for kind, schedule in (
                (ComponentKind.IM_PERPETUAL, terms.initial),
                (ComponentKind.MM_PERPETUAL, terms.maintenance),
            )
        ]
    if is_cash_account:
        return
    for kind, rate, bracket, deduction in charged:
        amount = abs(worth) * rate - (deduction or ZERO)
        yield Component(kind, row.name, amount, quantity, price, None, rate, bracket, deduction)


def component_row(
    part: Component, asset: GroundAsset | None, source: Holding | None
) -> ResultComponent:
    """A part with what it leads back to: mark, parameter version, posting."""
    if part.kind in OF_MODELS or asset is None:
        return ResultComponent(
            total=part.total, kind=part.kind.name.lower(), amount=part.amount, terms=part.terms()
        )
    return ResultComponent(
        total=part.total,
        kind=part.kind.name.lower(),
        asset_id=asset.asset_id,
        amount=part.amount,
        mark_id=asset.mark_id,
        haircut_id=asset.haircut_id,
        instrument_terms_id=asset.terms_id,
        ledger_account_id=None if source is None else source.ledger_account_id,
        account_seq=None if source is None else source.account_seq,
        terms=part.terms(),
    )


def as_text(row: ResultComponent) -> dict[str, Any]:
    """A part that columns cannot hold, as a block's head keeps it."""
    names = (
        "total", "kind", "asset_id", "mark_id", "haircut_id", "instrument_terms_id",
        "ledger_account_id", "account_seq", "terms",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names} | {"amount": plain(row.amount)}


def hex_sha256(content: bytes) -> str:
    """The hash by which a block is kept."""
    return sha256(content).hexdigest()
