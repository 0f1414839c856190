"""Tags of every screen: numbers, times, states, icons. Load with `{% load desk %}`.

What a row of a list draws is put together here as text: everything that could be markup is escaped,
digits and dates are not looked at again.
"""

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from html import escape

from django import template
from django.template import Context
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import clock
from accounts.drawing import MiniBar, Spark
from accounts.figures import DOES_NOT_APPLY, exact_number, grouped, plain
from accounts.states import Shown, shown_state

register = template.Library()

Number = Decimal | int | str


# A page draws the same few icons and badges hundreds of times.
DRAWN_MOST = 2048


def escaped(value: object) -> str:
    """A value as it may stand in markup; what is markup already stays as it is."""
    return str(value) if hasattr(value, "__html__") else escape(str(value))


@register.simple_tag
@lru_cache(DRAWN_MOST)
def icon(name: str, *, tone: str = "") -> SafeString:
    """An icon of `static/icons.svg`; it never stands for a word, so readers skip it."""
    return format_html(
        '<svg class="i{}" aria-hidden="true"><use href="{}#i-{}"/></svg>',
        f" t-{tone}" if tone else "", static("icons.svg"), name,
    )  # fmt: skip


# --- Numbers --------------------------------------------------------------------------------------


@register.simple_tag
def amount(
    value: Number | None,
    decimals: int | None = 2,
    *,
    unit: str = "",
    beside: bool = False,
    why: str = "",
    current: bool = False,
    sign: bool = False,
    absent: str = DOES_NOT_APPLY,
) -> SafeString:
    """A number: rounded for the eye, exact in `value` and on hover.

    Args:
        decimals: those of the asset; None shows all the digits that say something.
        unit: of the number; on hover, and in the text if `beside`.
        why: address of the explanation; the number becomes a link to it.
        current: whether that explanation is open on this page.
        sign: whether a positive number carries "+"; only changes do.
        absent: what to say where there is no number: a dash does not apply, "none" is absent.
    """
    if value is None or value == "":
        return format_html('<span class="soft">{}</span>', absent)
    number = exact_number(value)
    tone, of = ' class="neg"' if number < 0 else "", f" {escaped(unit)}" if unit else ""
    shown = SafeString(
        f'<data{tone} value="{plain(number)}" title="{grouped(number)}{of}">'
        f"{grouped(number, decimals=decimals, sign=sign)}</data>"
    )
    if unit and beside:
        shown = format_html('{} <span class="u">{}</span>', shown, unit)
    return linked(shown, why=why, current=current) if why else shown


@register.simple_tag
def percent(
    share: Decimal | None,
    decimals: int = 1,
    *,
    sign: bool = False,
    why: str = "",
    current: bool = False,
) -> SafeString:
    """A share as per cent: 0.071 is written "7.1 %"."""
    if share is None:
        return amount(None)
    number = exact_number(share)
    tone, hundredths = ' class="neg"' if number < 0 else "", number * 100
    shown = SafeString(
        f'<data{tone} value="{plain(number)}" title="{grouped(hundredths)} %">'
        f"{grouped(hundredths, decimals=decimals, sign=sign)}\N{NO-BREAK SPACE}%</data>"
    )
    return linked(shown, why=why, current=current) if why else shown


def linked(shown: SafeString, *, why: str, current: bool) -> SafeString:
    """A number as the link to its explanation, marked where that is open."""
    mark = SafeString(' aria-current="true"') if current else ""
    return format_html('<a class="why" href="{}"{}>{}</a>', why, mark, shown)


@register.filter(name="grouped")
def grouped_number(value: Number) -> str:
    """A count with its thousands apart: 1204 is written "1,204"."""
    return grouped(value)


@register.filter
def plural(count: int, word: str) -> str:
    """A count with its noun: `{{ 3|plural:"scope" }}` is "3 scopes"; "entry,entries" for others."""
    one, _, many = word.partition(",")
    return f"{grouped(count)} {one if count == 1 else many or one + 's'}"


@register.filter
def words(name: str) -> str:
    """A name of the book as people read it: "initial_margin" is "Initial margin"."""
    return name.replace("_", " ").capitalize()


# --- Parts of rows: tags, for a template that is included in every row costs ten times more -------


@register.simple_tag
def pick(value: object, name: str, *, amount: Decimal | None = None) -> SafeString:
    """The cell that selects a row for the acts above the table, and what it adds to their total."""
    adds = "" if amount is None else f' data-amount="{plain(amount)}"'
    return SafeString(
        '<td class="pick"><label><input type="checkbox" name="pick"'
        f' value="{escaped(value)}" form="bulk" aria-label="Select {escaped(name)}"{adds}>'
        "</label></td>"
    )


@register.simple_tag
def mini(bar: MiniBar) -> SafeString:
    """Equity as part of initial margin; the figure stands beside it."""
    filled = ""
    if bar.width:
        filled = f'<rect class="f-{escaped(bar.tone)}" width="{bar.width}" height="10" rx="2"/>'
    return SafeString(
        '<svg class="mini" viewBox="0 0 72 10" aria-hidden="true">'
        f'<rect class="f-track" width="72" height="10" rx="2"/>{filled}'
        f'<path class="tick" d="M{bar.maintenance} 0v10M{bar.liquidation} 2v6"/></svg>'
    )


@register.simple_tag
def sparkline(line: Spark | None, words: str) -> SafeString:
    """A line of few days with every figure of it in words; the words alone where there is none."""
    if line is None:
        return format_html('<span class="soft">{}</span>', words or DOES_NOT_APPLY)
    tone = escaped(line.tone)
    return SafeString(
        '<svg class="spark" viewBox="0 0 64 16" aria-hidden="true">'
        f'<path class="level" d="M0 {line.level}h64"/><path class="l-{tone}" d="{line.path}"/>'
        f'<path class="l-{tone} pt" d="M{line.end}h.01"/></svg>'
        f'<span class="vh">{escaped(words)}</span>'
    )


# --- Times ----------------------------------------------------------------------------------------


@register.simple_tag
def at(instant: datetime | None, form: str = "short", *, utc: bool = False) -> SafeString:
    """An instant on the desk's clock, UTC on hover.

    Args:
        form: time "16:00:00 EST", minute "16:00 EST", clock "16:00:00", short "6 Feb 16:00",
            second "6 Feb 16:00:00", full "6 Feb 2018 16:00:00 EST".
        utc: whether UTC stands beside it too, as on objects.
    """
    if instant is None:
        return format_html('<span class="soft">{}</span>', DOES_NOT_APPLY)
    shown = SafeString(
        f'<time datetime="{clock.utc_stamp(instant)}" title="{clock.utc_text(instant)}">'
        f"{escaped(clock.shown_instant(instant, form=form))}</time>"
    )
    if not utc:
        return shown
    return format_html('{} <span class="soft">· {}</span>', shown, clock.utc_text(instant)[11:])


@register.simple_tag
def day(when: date | None, form: str = "medium") -> SafeString:
    """A calendar day: short "6 Feb", medium "Tue 6 Feb 2018", long "Tuesday 6 February 2018"."""
    if when is None:
        return format_html('<span class="soft">{}</span>', DOES_NOT_APPLY)
    return format_html(
        '<time datetime="{}">{}</time>', when.isoformat(), clock.shown_day(when, form=form)
    )


@register.simple_tag(takes_context=True)
def due(context: Context, until: datetime | None) -> SafeString:
    """How far off a deadline is: "54 min", or in red "4 d over"."""
    if until is None:
        return format_html('<span class="soft">{}</span>', DOES_NOT_APPLY)
    far = clock.distance(until, now=desk_now(context))
    tone = ' class="neg"' if far.is_over else ""
    return SafeString(
        f'<time{tone} datetime="{clock.utc_stamp(until)}" title="{clock.utc_text(until)}">'
        f"{escaped(far.text)}</time>"
    )


@register.simple_tag(takes_context=True)
def ago(context: Context, since: datetime | None) -> SafeString:
    """How long ago something happened: "20 s ago"."""
    if since is None:
        return format_html('<span class="soft">{}</span>', "never")
    passed = max(0.0, (timezone.now() - since).total_seconds())
    return format_html(
        '<time datetime="{}" title="{}">{} ago</time>',
        clock.utc_stamp(since), clock.utc_text(since), clock.span(passed),
    )  # fmt: skip


@register.simple_tag(takes_context=True)
def zone(context: Context) -> str:
    """The label of the desk's zone, for a table's header: "EST"."""
    return clock.zone_label(desk_now(context))


def desk_now(context: Context) -> datetime:
    """The instant the page stands at: the wall clock, or the as-of of the past day it shows."""
    strip = context.get("strip")
    stands_at: datetime | None = getattr(strip, "stands_at", None) if strip else None
    return stands_at or timezone.now()


# --- States ---------------------------------------------------------------------------------------


@register.simple_tag
def state(
    family: str, value: str, *, word: str = "", plain: bool = False, big: bool = False
) -> SafeString:
    """A state as colour, icon and word; `word` says it in the page's own terms."""
    shown = shown_state(family, value)
    return badge(shown.tone, shown.icon, word or shown.word, plain=plain, big=big)


@register.simple_tag
@lru_cache(DRAWN_MOST)
def badge(
    tone: str, symbol: str, word: str, *, plain: bool = False, big: bool = False
) -> SafeString:
    """A badge that is no state of a family: a verdict, a count with a colour."""
    extra = f"{' plain' if plain else ''}{' big' if big else ''}"
    return format_html('<span class="st {}{}">{}{}</span>', tone, extra, icon(symbol), word)


@register.filter
def tone(value: str, family: str) -> str:
    """The tone of a state, for a row's edge: `class="s-{{ result.state|tone:"margin" }}"`."""
    return shown_state(family, value).tone


@register.simple_tag
def all_states(family: str) -> list[Shown]:
    """Every state of a family, for a legend."""
    from accounts.states import STATES

    return list(STATES[family].values())


@register.simple_tag(takes_context=True)
def tables_address(context: Context) -> str:
    """Where the tables of this page are offered as files, exactly as the page shows them."""
    request = context.get("request")
    if request is None:
        return ""
    query = request.GET.copy()
    query["tables"] = "list"
    return f"?{query.urlencode()}"


# --- Places ---------------------------------------------------------------------------------------


@register.inclusion_tag("_parts/place.html", takes_context=True)
def place(
    context: Context, name: str, symbol: str, label: str, *, key: str = "",
    count: int | None = None, tone: str = "", also: str = "",
) -> dict[str, object]:  # fmt: skip
    """One line of the rail. It is current on its own page and on those beneath it.

    Args:
        also: names of further pages that stand beneath it, separated by spaces.
    """
    try:
        address = reverse(name)
    except NoReverseMatch:
        return {}
    request = context.get("request")
    here = request.path if request else ""
    above = [address, *(reverse(each) for each in also.split())]
    beneath = any(each != "/" and here.startswith(each) for each in above)
    return {
        "address": address, "symbol": symbol, "label": label, "key": key, "count": count,
        "tone": tone, "current": "page" if here == address else "true" if beneath else "",
    }  # fmt: skip


@register.simple_tag(takes_context=True)
def live(context: Context, *topics: str, address: str = "") -> SafeString:
    """Attributes of a region that loads itself again when one of the topics has news.

    The view answers this request with the region's content alone (`wants_rows`).
    """
    request = context.get("request")
    address = address or (request.get_full_path() if request else "")
    triggers = ", ".join(f"desk:{topic} from:body" for topic in (*topics, "again"))
    return format_html(
        'hx-get="{}" hx-trigger="{}, desk:again" hx-swap="morph:innerHTML" hx-headers="{}"',
        address, triggers, '{"X-Live": "1"}',
    )  # fmt: skip
