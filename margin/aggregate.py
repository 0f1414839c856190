"""Maintenance margin added up and netted, by whatever divides the book.

Gross is the sum of what the run requires scope by scope. Netted is what the same models require
of all that a line holds taken together, each model's scopes apart; the offset is what is between
them. House rules charge by brackets, so netting may require more: then the offset is negative.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from django.db.models import Q, Sum

from accounts.groups import any_margined, clients_on
from accounts.models import Client, MarginAccount
from ledger.models import LocationAsset
from margin.aggregate_parts import maintenance_by_asset
from margin.alternatives import current_key
from margin.book import Holding, ReadInputs, ScopeRow
from margin.book.ground import NO_HORIZON
from margin.book.rows import known_of
from margin.engine.exact import ZERO, exact
from margin.models import MarginResult, MarginRun
from margin.run_rows import day_runs
from margin.runs import computed

# From the whole book downwards: every line of a level is the sum of its lines at the next.
LEVELS: Final = ("book", "pool", "client", "account", "scope")
# Across accounts: each divides the book in its own way.
DIMENSIONS: Final = ("desk", "model", "underlying", "location")
OF_HOLDINGS: Final = ("underlying", "location")
NONE: Final = "none"
DAYS_SHOWN: Final = 30


class Place(NamedTuple):
    """Where a scope lies in every way the book is divided."""

    pool: str
    client: str
    account: str
    scope: str
    desk: str
    model: str

    def at(self, dimension: str) -> str:
        return "whole book" if dimension == "book" else str(getattr(self, dimension))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a roll-up.

    Attributes:
        gross: maintenance margin of its scopes, added up.
        netted: of everything it holds together; none where a model would not say.
        initial: initial margin, added up; none where holdings are divided.
        why: netted is none.
    """

    name: str
    scopes: int
    initial: Decimal | None
    gross: Decimal
    netted: Decimal | None
    why: str = ""

    @property
    def offset(self) -> Decimal | None:
        """What netting saves; gross less netted."""
        if self.netted is None:
            return None
        with exact():
            return self.gross - self.netted


def places_of(read: ReadInputs) -> list[Place]:
    """(A,) where each scope of the run lies; one query."""
    accounts = {
        each.pk: each
        for each in MarginAccount.objects.filter(
            pk__in={row.account_id for row in read.scopes}
        ).select_related("client", "legal_entity")
    }
    clients = _clients_of_groups(read)
    return [
        _place(row, accounts[row.account_id], clients.get(row.account_id)) for row in read.scopes
    ]


def _clients_of_groups(read: ReadInputs) -> dict[int, str]:
    """By account that a group is margined as, the clients in it; linked ones are one line."""
    if not any_margined():
        return {}
    known = None if read.horizon_id == NO_HORIZON else known_of(read.horizon_id)
    groups = clients_on(read.business_day, known=known)
    codes = dict(
        Client.objects.filter(pk__in=set().union(*groups.values())).values_list("pk", "code")
    )
    return {
        account: " + ".join(sorted(codes[each] for each in clients))
        for account, clients in groups.items()
    }


def _place(row: ScopeRow, account: MarginAccount, clients: str | None) -> Place:
    pool = f"{account.legal_entity.code} {account.owner_class}"
    own = pool if account.client is None else account.client.code
    return Place(
        pool=pool,
        client=own if clients is None else clients,
        account=account.code,
        scope=f"{row.account}/{row.bucket}",
        desk=account.desk or NONE,
        model=" ".join(current_key(row)),
    )


def of_some(read: ReadInputs, keep: Callable[[Place], bool]) -> ReadInputs:
    """The inputs with some scopes alone; the others are not said to be exceptions."""
    return _kept(read, [n for n, place in enumerate(places_of(read)) if keep(place)])


def _kept(read: ReadInputs, kept: Sequence[int]) -> ReadInputs:
    moved = {old: new for new, old in enumerate(kept)}
    return replace(
        read,
        scopes=[read.scopes[n] for n in kept],
        claims=[h._replace(scope=moved[h.scope]) for h in read.claims if h.scope in moved],
        positions=[h._replace(scope=moved[h.scope]) for h in read.positions if h.scope in moved],
        loans=[h._replace(scope=moved[h.scope]) for h in read.loans if h.scope in moved],
    )


def roll_up(read: ReadInputs, *, run: MarginRun, by: str) -> list[Line]:
    """The lines of a level or a dimension, the greatest first.

    Args:
        read: the inputs of the run, or of some of its scopes.
        by: one of LEVELS or DIMENSIONS.
    """
    results = {
        row.scope_id: row
        for row in MarginResult.objects.filter(
            run=run, scope_id__in=[row.scope_id for row in read.scopes]
        )
    }
    # What the run could not compute has no margin to add up.
    read = _kept(read, [n for n, row in enumerate(read.scopes) if row.scope_id in results])
    divided = _of_holdings if by in OF_HOLDINGS else _of_scopes
    lines = divided(read, results, by)
    return sorted(lines, key=lambda line: (-line.gross, line.name))


def _of_scopes(read: ReadInputs, results: Mapping[int, MarginResult], by: str) -> Iterator[Line]:
    names = [place.at(by) for place in places_of(read)]
    rows: dict[str, list[MarginResult]] = defaultdict(list)
    for name, scope in zip(names, read.scopes, strict=True):
        rows[name].append(results[scope.scope_id])
    netted = _netted(read, lambda held: names[held.scope])
    for name, found in rows.items():
        with exact():
            initial = sum((row.initial_margin for row in found), ZERO)
            gross = sum((row.maintenance_margin for row in found), ZERO)
        together, why = netted.get(name, (ZERO, ""))
        yield Line(name, len(found), initial, gross, together, why)


def _of_holdings(read: ReadInputs, results: Mapping[int, MarginResult], by: str) -> Iterator[Line]:
    divide = _by_underlying(read) if by == "underlying" else _by_location(read)
    gross: dict[str, Decimal] = defaultdict(lambda: ZERO)
    scopes: dict[str, set[int]] = defaultdict(set)
    parts = list(maintenance_by_asset(read, results))
    with exact():
        for place, asset_id, amount in parts:
            name = NONE if asset_id is None else divide(place, asset_id)
            gross[name] += amount
            scopes[name].add(place)
    netted = _netted(read, lambda held: divide(held.scope, held.asset_id))
    for name, amount in gross.items():
        together, why = netted.get(name, (ZERO, ""))
        if name == NONE:
            together, why = amount, ""
        yield Line(name, len(scopes[name]), None, amount, together, why)


def _by_underlying(read: ReadInputs) -> Callable[[int, int], str]:
    def name(place: int, asset_id: int) -> str:
        contract = read.contracts.get(asset_id)
        return read.assets[asset_id if contract is None else contract.underlying_id].code

    return name


def _by_location(read: ReadInputs) -> Callable[[int, int], str]:
    """Where the pool of an account keeps an asset; several places are one line."""
    places: dict[tuple[str, int], list[str]] = defaultdict(list)
    for carried in (
        LocationAsset.objects.filter(location__closed_on__isnull=True)
        .select_related("location__pool__legal_entity")
        .order_by("location__code")
    ):
        pool = carried.location.pool
        where = carried.location.venue or carried.location.code
        key = f"{pool.legal_entity.code} {pool.owner_class}", carried.asset_id
        if where not in places[key]:
            places[key].append(where)
    pools = [place.pool for place in places_of(read)]

    def name(place: int, asset_id: int) -> str:
        return ", ".join(places.get((pools[place], asset_id), ())) or NONE

    return name


def _netted(
    read: ReadInputs, name_of: Callable[[Holding], str]
) -> dict[str, tuple[Decimal | None, str]]:
    """Maintenance margin of what each line holds together, or why a model would not say.

    Scopes under one model are taken together; cash accounts, of which house rules require
    nothing, by themselves.
    """
    kinds = [(current_key(row), row.is_cash_account) for row in read.scopes]
    keys: dict[tuple[str, object], int] = {}
    rows: list[ScopeRow] = []
    names: list[str] = []

    def pool(held: Holding) -> int:
        key = name_of(held), kinds[held.scope]
        if key not in keys:
            keys[key] = len(rows)
            names.append(key[0])
            rows.append(
                read.scopes[held.scope]._replace(
                    scope_id=len(rows), account=key[0], bucket=str(len(rows))
                )
            )
        return keys[key]

    claims, positions = _merged(read.claims, pool), _merged(read.positions, pool)
    pooled = replace(
        read,
        scopes=rows, claims=claims, positions=positions, loans=[], exceptions=[], shadows={},
    )  # fmt: skip
    done = computed(pooled)
    found: dict[str, tuple[Decimal | None, str]] = {}
    for refused in done.charged.read.exceptions:
        found[names[int(refused.bucket)]] = (None, refused.detail)
    with exact():
        for place, row in enumerate(done.charged.read.scopes):
            before, why = found.get(names[row.scope_id], (ZERO, ""))
            if before is not None:
                found[names[row.scope_id]] = (before + done.result.maintenance_margin[place], why)
    return found


def _merged(rows: Sequence[Holding], pool: Callable[[Holding], int]) -> list[Holding]:
    """Holdings of pools: one row an asset, without those that cancel out."""
    found: dict[tuple[int, int], Holding] = {}
    with exact():
        for row in rows:
            key = pool(row), row.asset_id
            before = found.get(key)
            amount = row.amount if before is None else before.amount + row.amount
            # Margin does not ask what a position has cost.
            found[key] = row._replace(
                scope=key[0], amount=amount, average_cost=None if row.average_cost is None else ZERO
            )
    return [row for row in found.values() if row.amount]


def totals(lines: Collection[Line]) -> Decimal:
    """The gross of all lines, which is that of the level above."""
    with exact():
        return sum((line.gross for line in lines), ZERO)


def history_of(level: str, name: str, *, accounts: Collection[int]) -> list[tuple[date, Decimal]]:
    """Gross maintenance margin of one line by business day, oldest first, the newest run of each.

    Args:
        level: one of LEVELS, or desk; of other divisions there is none.
        accounts: ids of those that count.
    """
    within = _within(level, name)
    if within is None:
        return []
    newest = day_runs().order_by("-business_day", "-as_of", "-pk").distinct("business_day")
    runs = {run.pk: run.business_day for run in newest[:DAYS_SHOWN]}
    found = (
        MarginResult.objects.filter(within, run__in=runs, scope__bucket__account__in=list(accounts))
        .values_list("run")
        .annotate(total=Sum("maintenance_margin"))
    )
    return sorted((runs[run], total) for run, total in found)


def _within(level: str, name: str) -> Q | None:
    account = "scope__bucket__account"
    if level == "book":
        return Q()
    if level == "pool":
        entity, _, owner_class = name.rpartition(" ")
        owner = {f"{account}__legal_entity__code": entity, f"{account}__owner_class": owner_class}
        return Q(**owner)
    if level == "scope":
        code, _, bucket = name.rpartition("/")
        return Q(**{f"{account}__code": code, "scope__bucket__code": bucket})
    fields = {"client": "client__code", "account": "code", "desk": "desk"}
    if level not in fields:
        return None
    return Q(**{f"{account}__{fields[level]}": "" if name == NONE else name})
