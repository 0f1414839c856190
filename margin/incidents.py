"""What of the market needs a person: prices nobody may act on, lone venues, late feeds."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from accounts.figures import plain
from accounts.models import Role
from margin.market.feeds import breached
from margin.models import MarginRun, Mark, Price, Task
from margin.run_rows import INSIDE_DAYS
from margin.worklist import Needed

DUE_FOR: Final = timedelta(hours=1)
# Nothing is wrong with these: they are as they should be, and say so.
QUIET: Final = (Mark.State.VALID, Mark.State.MARKET_CLOSED)
# As before there were rules: what stays is the mark of before, or what people set.
CARRIED: Final = frozenset({Mark.State.INSUFFICIENT, Mark.State.OVERRIDDEN})
STATE_WORDS: Final = {
    Mark.State.STALE: "has only prices that are too old",
    Mark.State.DISLOCATED: "is dislocated",
    Mark.State.NON_POSITIVE: "is worth nothing or less",
    Mark.State.TOO_VOLATILE: "has moved too far to be relied on",
    Mark.State.TOO_UNCERTAIN: "has a price of too little confidence",
}
FACT_WORDS: Final = {
    "dislocated": "{source} is {share} off",
    "moved": "it moved {share} from the mark before, and no volume bears it out",
    "uncertain": "confidence {share}",
    "closed": "its market is closed",
    "stale": "fresh prices are too few",
    "non_positive": "the price is {amount}",
    "no_nav": "{source} states no redemption value",
    "few": "too few sources agree",
    "from_index": "it follows its index at {amount}",
}


def market_tasks(run: MarginRun) -> Iterator[Needed]:
    """The tasks that the marks and feeds of a run's day ask for."""
    marks = list(
        Mark.objects.standing().filter(as_of=run.as_of).select_related("asset").order_by("pk")
    )
    is_inside = run.purpose in INSIDE_DAYS
    yield from (
        _price_task(run, mark)
        for mark in marks
        if mark.state not in QUIET and not (is_inside and is_unspoken(mark))
    )
    yield from _dislocations(run, marks)
    for feed in breached(run.business_day):
        if is_inside and feed.is_silent:
            continue  # its day is not over
        assert feed.rules is not None, "a feed without rules promises nothing"
        late = f"{feed.late} prices came later than {feed.rules.seconds_most:g} seconds."
        yield Needed(
            kind=Task.Kind.FEED,
            key=f"feed:{feed.source}",
            subject=f"{feed.source} "
            + ("sent nothing" if feed.is_silent else "is later than it promised"),
            detail="It is expected every business day." if feed.is_silent else late,
            due_at=run.as_of + DUE_FOR,
            owner_role=Role.OPERATIONS.value,
        )


def is_unspoken(mark: Mark) -> bool:
    """Whether nobody said anything of it: nobody promised prices of everything inside a day."""
    return mark.state in CARRIED and not mark.used and not mark.dropped


def market_left_alone(run: MarginRun) -> dict[str, set[str]]:
    """Open tasks of the market, by kind, of which a run inside a day says nothing."""
    if run.purpose not in INSIDE_DAYS:
        return {}
    marks = Mark.objects.standing().filter(as_of=run.as_of).select_related("asset")
    unspoken = {mark.asset.code for mark in marks if is_unspoken(mark)}
    feeds = Task.objects.filter(kind=Task.Kind.FEED, closed_at__isnull=True)
    return {
        Task.Kind.PRICE: {f"price:{code}" for code in unspoken},
        Task.Kind.DISLOCATION: {f"dislocation:{code}" for code in unspoken},
        Task.Kind.FEED: set(feeds.values_list("key", flat=True)),
    }


def _price_task(run: MarginRun, mark: Mark) -> Needed:
    code, dropped = mark.asset.code, dropped_words(mark)
    if mark.state in CARRIED:
        subject = f"{code} has no valid price"
        detail = f"Mark {mark.price.normalize():f} stays. {dropped or 'No price came.'}"
    else:
        subject = f"{code} {STATE_WORDS[Mark.State(mark.state)]}"
        detail = f"Mark {mark.price.normalize():f}: {facts_words(mark)}. {dropped}".strip()
    return Needed(
        kind=Task.Kind.PRICE,
        key=f"price:{code}",
        subject=subject,
        detail=detail,
        due_at=run.as_of + DUE_FOR,
        owner_role=Role.RISK.value,
    )


def _dislocations(run: MarginRun, marks: list[Mark]) -> Iterator[Needed]:
    """A venue that others contradict moved no mark; somebody must still look at it."""
    lone = {
        (mark.pk, each["price_id"]): each["source"]
        for mark in marks
        if len(mark.used) > 1
        for each in mark.dropped
        if each["reason"] == "outlier"
    }
    prices = Price.objects.in_bulk([price for _, price in lone])
    for mark in marks:
        far = [
            f"{source} at {plain(prices[price].price)}"
            for (pk, price), source in lone.items()
            if pk == mark.pk
        ]
        facts = [each for each in mark.facts or [] if each["what"] == "dislocated"]
        if not far and not facts:
            continue
        said = [*far, *(fact_words(each) for each in facts)]
        yield Needed(
            kind=Task.Kind.DISLOCATION,
            key=f"dislocation:{mark.asset.code}",
            subject=f"{mark.asset.code}: one source is far from the others",
            detail=f"{'; '.join(dict.fromkeys(said))}. The mark is {plain(mark.price)}.",
            due_at=run.as_of + DUE_FOR,
            owner_role=Role.RISK.value,
        )


def dropped_words(mark: Mark) -> str:
    """Which sources do not count, each with the reason."""
    return "; ".join(f"{each['source']}: {each['reason']}" for each in mark.dropped)


def facts_words(mark: Mark) -> str:
    """What was seen of a mark, in words."""
    return "; ".join(fact_words(each) for each in mark.facts or [])


def fact_words(fact: dict[str, Any]) -> str:
    """One thing that was seen, in words."""
    amount = fact.get("amount")
    share = "far" if amount is None else f"{plain((Decimal(amount) * 100).normalize())} %"
    return FACT_WORDS[fact["what"]].format(
        source=fact.get("source", ""), amount=amount or "0", share=share
    )
