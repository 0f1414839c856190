"""The explanation of a number as the drawer shows it: parts, prices, terms, postings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.http import HttpRequest
from django.urls import reverse

from accounts.clock import shown_instant
from accounts.explanation import Explanation, Fact, Part, Source
from accounts.explanation import exact_sum as sum_of
from accounts.figures import WIDE, grouped
from margin.engine.components import OF_DOUBT, OF_MONEY, TOTALS, ComponentKind
from margin.engine.explain import GROUP_LABELS, TOTAL_LABELS, ExplanationError, product
from margin.engine.model import WorstColumn
from margin.explanation import StoredPart, stored_parts
from margin.levels import levels_words
from margin.model_trees import model_trees
from margin.models import MarginResult
from margin.option_references import option_words
from margin.screens.drawer_links import (
    agreement_address,
    agreement_words,
    bracket_words,
    haircut_words,
    mark_shown,
    posting_address,
    price_address,
    rate_words,
    short_hash,
)
from margin.screens.model_drawer import model_part, set_address

# What is opened of a scope besides its totals; see `margin.screens.opened`.
SHARE, AVAILABLE, LOAN = "share", "available", "loan"
QUESTIONS = (*TOTALS, SHARE, AVAILABLE, LOAN)
UNIT_TOTALS = {"initial_margin": "initial", "maintenance_margin": "maintenance"}


@dataclass(frozen=True)
class Question:
    """The link that opens the explanation of a number, and whether it is open."""

    address: str
    is_open: bool


def questions(request: HttpRequest, **others: str) -> dict[str, Question]:
    """The links of a page by number; `others` go into the address beside it."""
    query = request.GET.copy()
    asked = query.get("explain", "")
    is_here = all(query.get(name) == value for name, value in others.items())
    found = {}
    for total in QUESTIONS:
        query["explain"] = total
        for name, value in others.items():
            query[name] = value
        found[total] = Question(
            f"{request.path}?{query.urlencode()}#explain", is_here and asked == total
        )
    return found


def without_drawer(request: HttpRequest, *others: str) -> str:
    """The page's address with the drawer closed."""
    query = request.GET.copy()
    for name in ("explain", *others):
        query.pop(name, None)
    return f"{request.path}?{query.urlencode()}" if query else request.path


def drawer(
    result: MarginResult, total: str, *, close: str, link: str = "", unit: str
) -> Explanation:
    """Why a total of a stored result is what it is. It adds the parts up itself, when drawn.

    Args:
        total: equity, initial_margin or maintenance_margin.
        close: address of the page without the drawer.
    """
    amount: Decimal = getattr(result, total)
    parts, of_model = parts_of(result, total)
    return Explanation(
        question=f"Why {TOTAL_LABELS[total].lower()} is {grouped(amount, decimals=2)} {unit}",
        about=about(result),
        total=amount,
        unit=unit,
        parts=parts,
        close=close,
        link=link,
        facts=facts_of(result, of_model),
    )


def about(result: MarginResult) -> str:
    """Which scope, and as of when."""
    bucket = result.scope.bucket
    assert bucket is not None, "house rules are computed for buckets"
    instant = shown_instant(result.run.as_of, form="full")
    return f"Scope {bucket.account.code} {bucket.code} · as of {instant}"


def facts_of(result: MarginResult, of_model: Sequence[Fact] = ()) -> tuple[Fact, ...]:
    """The run, what it computed by, and the hashes of what went in and came out."""
    run, levels = result.run, levels_words(result)
    return (
        Fact("Run", run.number, is_code=True),
        *(of_model or [Fact("Model", f"{run.model} {run.model_version}")]),
        Fact("Agreement", agreement_words(result), agreement_address(result)),
        *([Fact("Levels", levels)] if levels else []),
        Fact("Inputs", short_hash(run.inputs_sha256), is_code=True),
        Fact("Result", short_hash(run.result_sha256), is_code=True),
    )


def parts_of(result: MarginResult, total: str) -> tuple[tuple[Part, ...], list[Fact]]:
    """What adds up to a total, and what is said of a portfolio model that required it.

    The model's own tree is computed again from the run's inputs. Where the model does not say
    today what it said then, its parts are shown as they were kept, and so is the reason.
    """
    used = result.parameter_set
    stored = [part for part in stored_parts(result) if part.row.total == total]
    kept = groups(stored, day=result.run.business_day, result=result)
    if used is None or total == "equity":
        return kept, []
    facts = [Fact("Model", f"{used}", set_address(used))]
    if result.binding:
        facts.append(Fact("Decided by", result.binding))
    try:
        trees = model_trees(result)
    except ExplanationError as broken:
        return kept, [*facts, Fact("Not opened further", str(broken))]
    assert trees is not None, "the result is under a model"
    facts += [
        Fact(f"For {unit.name}", grouped(getattr(unit, UNIT_TOTALS[total]), decimals=2))
        for unit in trees.units
    ]
    facts += [fact for each in trees.worst for fact in _worst(each)]
    return (model_part(getattr(trees, total), trees=trees, result=result),), facts


def _worst(worst: WorstColumn) -> Iterator[Fact]:
    """The scenario that decided for a unit, and what each position gains in it."""
    total = sum(gain for _, gain in worst.gains)
    yield Fact(f"Worst for {worst.unit}", f"{worst.scenario}: {total:,.2f}")
    for name, gain in worst.gains:
        yield Fact(f"{name} in it", f"{gain:,.2f}")


def groups(parts: Sequence[StoredPart], *, day: date, result: MarginResult) -> tuple[Part, ...]:
    """The parts by kind, in the order of the rules."""
    found = []
    for kind in ComponentKind:
        leaves = tuple(
            leaf(part, day=day, result=result) for part in parts if part.component.kind == kind
        )
        if leaves:
            found.append(Part(GROUP_LABELS[kind], sum_of(leaves), parts=leaves))
    return tuple(found)


def leaf(part: StoredPart, *, day: date, result: MarginResult) -> Part:
    """One product with the rows its factors come from; a balance in the currency is no product."""
    kind = part.component.kind
    is_plain = kind == ComponentKind.LOAN or not (part.row.mark_id or kind == ComponentKind.OPTION)
    return Part(
        label=part.label,
        amount=part.row.amount,
        how="" if is_plain else product(part.component),
        sources=tuple(sources(part, day=day, result=result)),
    )


def sources(part: StoredPart, *, day: date, result: MarginResult) -> list[Source]:
    """Price, parameters, agreement and posting of a part, as far as it has them."""
    row, found = part.row, []
    if row.mark is not None:
        found.append(
            Source(
                "Price",
                f"{part.component.asset} {grouped(row.mark.price.normalize(WIDE))}",
                price_address(part.component.asset, day=day, part=part),
                mark_shown(row.mark, part.valid_mark),
            )
        )
    if part.component.kind in OF_MONEY and row.haircut and row.mark:
        address = price_address(part.component.asset, day=day, anchor="terms")
        found.append(Source("Haircut", haircut_words(part, row.haircut), address))
    if part.component.kind == ComponentKind.OPTION and part.component.detail is not None:
        words = option_words(part.component.detail.facts)
        found.append(Source("Option", words, reverse("margin:contracts")))
    elif part.component.kind == ComponentKind.CROWDING and part.component.detail is not None:
        facts = part.component.detail.facts
        words = "; ".join(f"{name.replace('_', ' ')} {said}" for name, said in facts)
        found.append(Source("Crowding", words, reverse("margin:dynamic")))
    elif part.bracket is not None and row.instrument_terms is not None:
        words = f"{bracket_words(part.bracket)}, v{row.instrument_terms.version}"
        address = price_address(part.component.asset, day=day, part=part, anchor="terms")
        found.append(Source("Bracket", words, address))
    elif part.component.kind in OF_DOUBT and row.mark is not None and row.mark.rule is not None:
        address = reverse("margin:market-rule", args=[row.mark.rule_id])
        found.append(Source("Doubt", str(row.mark.rule), address))
    elif part.component.rate is not None and row.instrument_terms is not None:
        words = f"{rate_words(part.component.rate)}, v{row.instrument_terms.version}"
        found.append(
            Source("Rate", words, price_address(part.component.asset, day=day, anchor="terms"))
        )
    if part.component.kind == ComponentKind.LOAN:
        found.append(Source("Agreement", agreement_words(result), agreement_address(result)))
    if part.posting is not None:
        what = "Average cost after" if part.component.average_cost is not None else "Balance after"
        found.append(Source(what, part.posting.entry.reference, posting_address(part, result)))
    return found
