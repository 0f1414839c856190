"""What-if by sliders: prices, volatility, money and positions, moved by hand; nothing is written.

A slider says a share of what is there now, so that its middle is the scope as it stands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.drawing import round_step
from accounts.figures import WIDE, grouped
from accounts.listing import wants_rows
from accounts.models import Bucket
from accounts.roles import DeskRequest, require
from ledger.models import Asset
from margin.engine.exact import ZERO, exact
from margin.market.marks import BASE
from margin.models import Mark
from margin.scope_frame import holding_of
from margin.scope_holding import Holding
from margin.screens.thought import called_after, scopes_of
from margin.screens.visible import account_or_404
from margin.what_if import Change, ThoughtTrade, what_if
from margin.what_if_ground import WhatIfRefusedError, newest_as_of
from margin.what_if_options import options_among

PRICES_MAX, POSITIONS_MAX, VOLATILITIES_MAX = 6, 4, 4
HUNDRED: Final = Decimal(100)
MONEY: Final = "money"
MONEY_STEPS: Final = 50


@dataclass(frozen=True)
class Slider:
    """One slider: a name in the address, where it may stand, and where it stands."""

    name: str
    label: str
    least: int
    most: int
    value: int
    unit: str = "%"
    step: int = 1

    @property
    def words(self) -> str:
        """Where it stands: "+5 %"; of a volatility 0 is "as it is"."""
        is_share = not self.name.startswith("v.")
        if not is_share and self.value == 0:
            return "as it is"
        return f"{grouped(self.value, sign=is_share)}\N{NO-BREAK SPACE}{self.unit}"


@dataclass(frozen=True)
class Held:
    """What a scope holds, at which marks, with the scales of its positions."""

    holding: Holding
    marks: Mapping[str, Decimal]
    scales: Mapping[str, int]
    options: tuple[str, ...]

    def worth(self, code: str) -> Decimal:
        """How much of the scope's value moves with a code; for the order of sliders only."""
        position = self.holding.positions.get(code)
        quantity = position.quantity if position else self.holding.claims.get(code, ZERO)
        return abs(WIDE.multiply(quantity, self.marks.get(code, ZERO)))


@require_GET
@require("read")
def slider_page(request: DeskRequest, code: str) -> HttpResponse:
    """The sliders of a scope in the address, and the scope now and after beside them."""
    account = account_or_404(request, code)
    scopes = list(scopes_of(account))
    asked = request.GET.get("bucket", "")
    bucket = next((each for each in scopes if each.code == asked), None)
    if bucket is None and (asked or not scopes):
        raise Http404("There is no such page.")
    bucket = bucket or scopes[0]
    context: dict[str, object] = {
        "account": account, "scopes": scopes, "bucket": bucket, "base": BASE,
    }  # fmt: skip
    status = 200
    try:
        held = held_in(bucket)
        sliders = sliders_of(held, request.GET)
        context["sliders"] = sliders
        said = what_if(bucket, change_of(held, sliders), has_points=False)
        context |= {"said": said, **called_after(said)}
    except WhatIfRefusedError as refused:
        context["refused"], status = refused, 409
    # A slider in a place that cannot be booked is no error of the page: it says so in the result.
    template = "margin/_sliders_said.html" if is_moved(request) else "margin/sliders.html"
    return render(request, template, context, status=200 if is_moved(request) else status)


def is_moved(request: HttpRequest) -> bool:
    """Whether a slider was moved on an open page."""
    return wants_rows(request)


def held_in(bucket: Bucket) -> Held:
    """What a bucket holds and the marks beside it; what options are written on is among them.

    Raises:
        WhatIfRefusedError: `no_mark`.
    """
    holding = holding_of(bucket)
    codes = holding.assets - {BASE}
    options = options_among(codes)
    codes |= {asset.contract.underlying.code for asset in options.values()}
    marks = Mark.objects.standing().filter(as_of=newest_as_of(), asset__code__in=codes)
    scales = Asset.objects.filter(code__in=codes).values_list("code", "scale")
    return Held(
        holding=holding,
        marks=dict(marks.values_list("asset__code", "price")),
        scales=dict(scales),
        options=tuple(sorted(options)),
    )


def sliders_of(held: Held, said: QueryDict) -> list[Slider]:
    """The sliders of a scope, those of the greatest value first, each where the address puts it."""
    priced = [code for code in by_worth(held, held.marks) if code not in held.options]
    positions = by_worth(held, (code for code, _ in held.holding.nonzero))
    reach = money_reach(held)
    found = [
        *(Slider(f"p.{c}", f"Price of {c}", -80, 80, 0) for c in priced[:PRICES_MAX]),
        *(
            Slider(f"v.{c}", f"Volatility of {c}, a year", 0, 200, 0)
            for c in held.options[:VOLATILITIES_MAX]
        ),
        *(Slider(f"q.{c}", f"Position in {c}", -100, 100, 0) for c in positions[:POSITIONS_MAX]),
        Slider(MONEY, f"{BASE} in, or out", -reach, reach, 0, BASE, max(reach // MONEY_STEPS, 1)),
    ]
    return [
        Slider(s.name, s.label, s.least, s.most, stands_at(s, said), s.unit, s.step) for s in found
    ]


def by_worth(held: Held, codes: Iterable[str]) -> list[str]:
    return sorted(codes, key=lambda code: (-held.worth(code), code))


def money_reach(held: Held) -> int:
    """How far the slider of money goes: a round number of the order of all that is held."""
    holding = held.holding
    codes = {*holding.claims, *holding.positions} - {BASE}
    total = abs(holding.claims.get(BASE, ZERO)) + sum((held.worth(c) for c in codes), ZERO)
    return max(int(round_step(total * 6)), 100)


def stands_at(slider: Slider, said: QueryDict) -> int:
    """Where the address puts a slider, within its ends; 0 where it says no number."""
    text = said.get(slider.name, "")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 15):
        return 0
    return min(max(int(text), slider.least), slider.most)


def change_of(held: Held, sliders: Iterable[Slider]) -> Change:
    """What the sliders say, as a change that is thought of."""
    at = {slider.name: slider.value for slider in sliders if slider.value}
    trades, prices, volatilities = [], {}, {}
    with exact():
        for name, value in at.items():
            kind, _, code = name.partition(".")
            share = Decimal(value) / HUNDRED
            if kind == "p":
                prices[code] = held.marks[code] * (1 + share)
            elif kind == "v":
                volatilities[code] = share
            elif kind == "q":
                quantity = held.holding.positions[code].quantity * share
                step = Decimal(1).scaleb(-held.scales[code])
                lots = quantity.quantize(step, rounding=ROUND_HALF_EVEN)
                if lots:
                    trades.append(ThoughtTrade(asset=code, quantity=lots))
    money = {BASE: Decimal(at[MONEY])} if MONEY in at else {}
    return Change(trades=tuple(trades), money=money, prices=prices, volatilities=volatilities)
