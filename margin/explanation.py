"""Why a run said what it said of a scope, from what is stored: parts, prices, terms, postings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from json import dumps
from typing import Any

from django.db.models import F, Value, prefetch_related_objects
from django.db.models.functions import Concat

from accounts.clock import utc_stamp
from accounts.exports import cell
from accounts.figures import plain
from ledger.models import Posting
from margin.engine.components import OF_DOUBT, OF_MONEY, Component, ComponentKind, component_of
from margin.engine.explain import Explanation, Figures, Node, Reference, explain
from margin.levels import additions, levels_json, terms_of
from margin.model_trees import model_trees
from margin.models import Bracket, Haircut, MarginResult, MarginRun, Mark, ResultComponent
from margin.option_references import option_references
from margin.parts import parts_of
from margin.references import mark_reference, valid_mark_before

JSON_FORMAT = "margin-explanation/1"
ROW_HEAD = ("node", "kind", "amount", "how", "inputs")


class UnknownScopeError(LookupError):
    """A run, or a scope of a run, that does not exist; the text says which."""


@dataclass(frozen=True, slots=True)
class BracketInForce:
    """One step of a schedule: the rates on notional from `floor` to below `ceiling`."""

    number: int
    floor: Decimal
    ceiling: Decimal | None
    initial_rate: Decimal
    maintenance_rate: Decimal


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of a result with everything it rests on.

    Attributes:
        valid_mark: where the mark was carried, the valid one it comes from.
        posting: the one that left the claim, position or loan as the run read it.
        holder: of a group the account and bucket that it is of; "" where it is of all of them.
    """

    row: ResultComponent
    component: Component
    valid_mark: Mark | None
    bracket: BracketInForce | None
    posting: Posting | None
    holder: str = ""

    @property
    def label(self) -> str:
        """The asset, with its bracket where there is one; of a model's part its name."""
        code = self.component.label
        return code if self.bracket is None else f"{code}, bracket {self.bracket.number}"


def find_result(run_number: str, scope_name: str) -> MarginResult:
    """What a run says of a scope, by names: `MR-180206-1`, `A00015/FREE`.

    Raises:
        UnknownScopeError: there is no such run, or it says nothing of such a scope.
    """
    if not MarginRun.objects.filter(number=run_number).exists():
        raise UnknownScopeError(f"There is no run {run_number}.")
    named = (
        MarginResult.objects.filter(run__number=run_number)
        .annotate(
            scope_name=Concat(
                F("scope__bucket__account__code"), Value("/"), F("scope__bucket__code")
            )
        )
        .filter(scope_name=scope_name)
        .select_related(
            "run",
            "scope__bucket__account",
            "agreement_version__agreement",
            "parameter_set",
            "moved__call_terms",
        )
    )
    found = list(named[:2])
    if not found:
        raise UnknownScopeError(f"Run {run_number} says nothing of a scope {scope_name}.")
    if len(found) > 1:
        raise UnknownScopeError(f"{scope_name} names scopes of two legal entities.")
    return found[0]


def stored_parts(result: MarginResult) -> list[StoredPart]:
    """The parts of a result in their order, in a fixed number of queries."""
    rows = parts_of([result])
    prefetch_related_objects(rows, "asset", "mark__rule", "haircut__schedule", "instrument_terms")
    postings, brackets, valid = _postings(rows), brackets_of_terms(rows), _valid_marks(rows)
    holders = holders_of(postings.values(), result)
    return [
        StoredPart(
            row=row,
            component=component_of(
                kind=row.kind,
                asset="" if row.asset is None else row.asset.code,
                amount=row.amount,
                terms=row.terms,
            ),
            valid_mark=None if row.mark is None else valid.get(row.mark.pk),
            bracket=_bracket_of(row, brackets),
            posting=postings.get((row.ledger_account_id, row.account_seq)),
            holder=holders.get(row.ledger_account_id or 0, ""),
        )
        for row in rows
    ]


def holders_of(postings: Iterable[Posting], result: MarginResult) -> dict[int, str]:
    """By ledger account whose it is, where others than the scope's bucket hold something."""
    found = [posting.account for posting in postings]
    own = result.scope.bucket_id
    if all(each.bucket_id == own for each in found):
        return {}
    return {
        each.pk: f"{each.bucket.account.code}/{each.bucket.code}"
        for each in found
        if each.bucket is not None
    }


def explain_result(result: MarginResult, parts: Sequence[StoredPart]) -> Explanation:
    """The engine's explanation of a stored result, each part with its references.

    Raises:
        ExplanationError: the stored parts do not add up, or do not lead to the stored state.
    """
    return explain(
        figures_of(result),
        components=[part.component._replace(row=place) for place, part in enumerate(parts)],
        references=lambda component: references(parts[component.row or 0]),
        holder=lambda component: parts[component.row or 0].holder,
    )


def figures_of(result: MarginResult) -> Figures:
    """A stored result with the levels that its run used, as the engine tests them."""
    bucket, terms = result.scope.bucket, terms_of(result)
    assert bucket is not None, "house rules are computed for buckets"
    return Figures(
        scope=f"{bucket.account.code}/{bucket.code}",
        equity=result.equity,
        initial_margin=result.initial_margin,
        maintenance_margin=result.maintenance_margin,
        state=result.state,
        call_amount=result.call_amount,
        flags=tuple(result.flags),
        call_level=terms.call_level,
        liquidation_level=terms.liquidation_level,
        minimum_transfer_amount=terms.minimum_transfer_amount,
        moved=() if result.moved is None else additions(result.moved),
    )


def as_json(result: MarginResult) -> dict[str, Any]:
    """The whole explanation as JSON values; decimals are exact text.

    Raises:
        ExplanationError: the stored parts do not add up, or do not lead to the stored state.
    """
    run, terms = result.run, result.agreement_version
    levels, trees = levels_json(result), model_trees(result)
    return {
        "format": JSON_FORMAT,
        "run": run.number,
        "as_of": utc_stamp(run.as_of),
        "model": f"{run.model} {run.model_version}",
        "model_sha256": run.model_sha256,
        "parameters_sha256": run.parameters_sha256,
        "inputs_sha256": run.inputs_sha256,
        "agreement": {
            "code": terms.agreement.code,
            "version": terms.version,
            "effective_from": terms.effective_from.isoformat(),
            "call_level": plain(terms.call_level),
            "liquidation_level": plain(terms.liquidation_level),
            "minimum_transfer_amount": plain(terms.minimum_transfer_amount),
        },
        **({} if levels is None else {"levels": levels}),
        **explain_result(result, stored_parts(result)).as_json(),
        **({} if trees is None else {"portfolio_model": trees.as_json()}),
    }


def as_rows(result: MarginResult) -> list[tuple[str, ...]]:
    """The explanation as a table: one line a node, with the way to it, exact amounts as text.

    Text that a spreadsheet would run is made harmless, as in every file that is taken out.

    Raises:
        ExplanationError: as `as_json`.
    """
    said, trees = explain_result(result, stored_parts(result)), model_trees(result)
    roots = [said.equity, said.initial_margin, said.maintenance_margin]
    if trees is not None:
        roots += [trees.initial_margin, trees.maintenance_margin]
    return [ROW_HEAD, *(tuple(map(cell, line)) for root in roots for line in _lines(root, ""))]


def _lines(node: Node, above: str) -> Iterator[tuple[str, ...]]:
    way = f"{above} / {node.label}" if above else node.label
    kind = "sum" if node.children else "leaf"
    inputs = dumps([dict(each) for each in node.inputs], ensure_ascii=False, sort_keys=True)
    yield way, kind, plain(node.amount), node.how, inputs
    for child in node.children:
        yield from _lines(child, way)


def references(part: StoredPart) -> list[Reference]:
    """Where the factors of a part are stored."""
    found: list[Reference] = []
    row = part.row
    if row.mark is not None:
        found.append(mark_reference(row.mark, asset=part.component.asset, valid=part.valid_mark))
    if row.haircut is not None and part.component.kind in OF_MONEY:
        found += _haircut_references(part, row.haircut)
    if part.component.kind == ComponentKind.OPTION:
        found += option_references(part.component, asset_id=row.asset_id)
    elif part.component.kind == ComponentKind.CROWDING and part.component.detail is not None:
        found.append({"what": row.kind, **dict(part.component.detail.facts)})
    elif row.instrument_terms is not None and part.component.kind not in OF_DOUBT:
        found.append(_terms_reference(part))
    if part.posting is not None:
        found.append(
            {
                "what": "posting",
                "ledger_account": part.posting.account_id,
                "account_seq": part.posting.account_seq,
                "entry": part.posting.entry_id,
                "reference": part.posting.entry.reference,
            }
        )
    return found


def _haircut_references(part: StoredPart, haircut: Haircut) -> list[Reference]:
    """The version of the haircut with its tiers, and what a further step rests on."""
    said: dict[str, Any] = {
        "what": "haircut",
        "asset": part.component.asset,
        "version": haircut.version,
        "effective_from": haircut.effective_from.isoformat(),
        "haircut": plain(haircut.haircut),
    }
    detail = part.component.detail
    if detail is None:
        return [said]
    found: list[Reference] = [said | {"schedule": haircut.schedule.values}]
    if detail.facts:
        found.append({"what": part.row.kind, **dict(detail.facts)})
    return found


def _terms_reference(part: StoredPart) -> Reference:
    terms = part.row.instrument_terms
    assert terms is not None
    said: dict[str, Any] = {
        "what": "instrument_terms",
        "asset": part.component.asset,
        "version": terms.version,
        "effective_from": terms.effective_from.isoformat(),
    }
    if terms.initial_rate is not None and terms.maintenance_rate is not None:
        said |= {
            "initial_rate": plain(terms.initial_rate),
            "maintenance_rate": plain(terms.maintenance_rate),
        }
    if part.bracket is not None:
        ceiling = part.bracket.ceiling
        said["bracket"] = {
            "number": part.bracket.number,
            "floor": plain(part.bracket.floor),
            "ceiling": None if ceiling is None else plain(ceiling),
            "initial_rate": plain(part.bracket.initial_rate),
            "maintenance_rate": plain(part.bracket.maintenance_rate),
        }
    return said


def brackets_of_terms(rows: Iterable[ResultComponent]) -> dict[int, list[BracketInForce]]:
    """The schedules behind the parts, by id of the terms; one query."""
    wanted = {row.instrument_terms_id for row in rows if "bracket" in row.terms}
    return schedules(Bracket.objects.filter(terms__in=wanted - {None}).order_by("terms", "floor"))


def schedules(brackets: Iterable[Bracket]) -> dict[int, list[BracketInForce]]:
    """Rows of brackets, floors ascending, as schedules by id of their terms."""
    by_terms: dict[int, list[Bracket]] = {}
    for bracket in brackets:
        by_terms.setdefault(bracket.terms_id, []).append(bracket)
    return {
        terms_id: [
            BracketInForce(
                number=number,
                floor=step.floor,
                ceiling=steps[number].floor if number < len(steps) else None,
                initial_rate=step.initial_rate,
                maintenance_rate=step.maintenance_rate,
            )
            for number, step in enumerate(steps, start=1)
        ]
        for terms_id, steps in by_terms.items()
    }


def _bracket_of(
    row: ResultComponent, brackets: Mapping[int, list[BracketInForce]]
) -> BracketInForce | None:
    if "bracket" not in row.terms or row.instrument_terms_id is None:
        return None
    return brackets[row.instrument_terms_id][int(row.terms["bracket"])]


def _postings(rows: Iterable[ResultComponent]) -> dict[tuple[int | None, int | None], Posting]:
    """The postings behind the parts, by their place; one query."""
    places = [
        (row.ledger_account_id, row.account_seq)
        for row in rows
        if row.ledger_account_id is not None and row.account_seq is not None
    ]
    found = Posting.objects.filter(pk__in=places) if places else Posting.objects.none()
    owned = found.select_related("entry", "account__bucket__account")
    return {(posting.account_id, posting.account_seq): posting for posting in owned}


def _valid_marks(rows: Iterable[ResultComponent]) -> dict[int, Mark]:
    """By id of a carried mark the valid one it comes from; a query per asset without a price."""
    carried = {
        row.mark.pk: row.mark
        for row in rows
        if row.mark is not None and row.mark.state != Mark.State.VALID
    }
    found = {pk: valid_mark_before(mark) for pk, mark in carried.items()}
    return {pk: mark for pk, mark in found.items() if mark is not None}
