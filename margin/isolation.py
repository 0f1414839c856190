"""How far collateral is kept apart: value at risk and shortfall, pooled and alone, by client.

Levels from narrow to wide: every scope alone, the scopes of an account together, the accounts of
a linked group together, everything of a client together. What a wider level saves is what
isolation costs in margin.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple

import numpy as np
from django.db.models import Q

from accounts.models import GroupMember, MarginAccount
from margin.book import ReadInputs
from margin.book.arrays import books_of_scopes, market_rows
from margin.engine.books import Books
from margin.engine.exact import ZERO, exact
from margin.engine.isolation import Level, isolation_of
from margin.engine.market import Index, Market
from margin.engine.model import Model
from margin.engine.models import MODELS
from margin.engine.parameters import parameters_sha256
from margin.engine.past import PastKey
from margin.engine.rejected import RejectedInputError
from margin.engine.tree import decimal_up
from margin.portfolio import DECIMALS
from margin.prepared_models import columns_held, market_sha256

MEASURES: Final = ("expected-shortfall", "value-at-risk")
LEVELS: Final = ("account", "group", "client")
# Pooling that saves less than this share of the margin of scopes alone is not worth its risk.
LEAST_BENEFIT: Final = 0.05
STANDARD: Final = "standard set"


class Owner(NamedTuple):
    """Whose scopes are pooled at the widest level."""

    name: str
    scopes: int
    accounts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OwnerIsolation:
    """What one client's scopes require at each level by one measure.

    Attributes:
        parameters: the set, as the register names it or "standard set".
        margins: by level, "alone" first; none where the measure would not say.
        advised: the level; empty where nothing is required or nothing is said.
        cost: what staying alone costs against the widest level: its margin in excess.
        inputs_sha256: of prices, past days, parameters and holdings: the same give the same.
        why: the measure would not say.
    """

    owner: Owner
    measure: str
    parameters: str
    margins: tuple[Decimal, ...]
    advised: str
    cost: Decimal
    inputs_sha256: str
    why: str = ""

    @property
    def advised_cost(self) -> Decimal:
        """What the advised level requires beyond the widest one."""
        if not self.advised:
            return ZERO
        with exact():
            return self.margins[("alone", *LEVELS).index(self.advised)] - self.margins[-1]


def isolation(read: ReadInputs) -> list[OwnerIsolation]:
    """Every client with more than one scope that holds something, by each measure.

    Args:
        read: a run's inputs with models, so that registered sets are used where there are some.
    """
    owners, pools = _pools(read)
    if not owners:
        return []
    found = []
    for measure in MEASURES:
        parameters, name = _parameters(read, measure)
        found += _measured(read, owners, pools, MODELS[measure], parameters, name)
    return sorted(found, key=lambda row: (row.owner.name, MEASURES.index(row.measure)))


def _parameters(read: ReadInputs, measure: str) -> tuple[Any, str]:
    """The set of the register, one in production before one that is watched."""
    for used in (read.models, read.shadows):
        for key in sorted(used):
            if key[0] == measure:
                return used[key].parameters, str(used[key].parameter_set)
    return MODELS[measure].standard, STANDARD


def _measured(
    read: ReadInputs,
    owners: Sequence[Owner],
    pools: Mapping[str, Index],
    model: Model[Any],
    parameters: Any,  # noqa: ANN401 (of the type that the model declares)
    name: str,
) -> list[OwnerIsolation]:
    counted = [place for place, owner in enumerate(owners) if owner.scopes > 1]
    try:
        rows = market_rows(read)
        market = rows.market()
        columns = columns_held(read, market, range(len(read.scopes)))
    except RejectedInputError as refused:
        return [_unsaid(owners[place], model, name, refused) for place in counted]
    together: dict[PastKey | None, list[int]] = defaultdict(list)
    for place in counted:
        held = {c for n in np.flatnonzero(pools["client"] == place).tolist() for c in columns[n]}
        key = None
        if rows.past is not None:
            key = rows.past.key(sorted(held), mixes=model.mixes(parameters))
        together[key].append(place)
    found = []
    for key, places in together.items():
        try:
            own = market if key is None or rows.past is None else rows.past.market(market, key)
            found += _of_market(read, [owners[n] for n in places], _some(pools, places), own,
                                model, parameters, name)  # fmt: skip
        except RejectedInputError as refused:
            found += [_unsaid(owners[place], model, name, refused) for place in places]
    return found


def _unsaid(
    owner: Owner, model: Model[Any], name: str, refused: RejectedInputError
) -> OwnerIsolation:
    return OwnerIsolation(owner, model.name, name, (), "", ZERO, "", f"{refused}.")


def _some(pools: Mapping[str, Index], owners: Sequence[int]) -> tuple[Index, dict[str, Index]]:
    """The scopes of some owners, and their pools at each level, numbered from 0."""
    scopes: Index = np.flatnonzero(np.isin(pools["client"], owners))
    number = np.empty(int(pools["client"].max()) + 1, dtype=np.intp)
    number[list(owners)] = np.arange(len(owners))
    some = {
        level: np.unique(found[scopes], return_inverse=True)[1] for level, found in pools.items()
    }
    return scopes, some | {"client": number[pools["client"][scopes]]}


def _of_market(
    read: ReadInputs,
    owners: Sequence[Owner],
    some: tuple[Index, Mapping[str, Index]],
    market: Market,
    model: Model[Any],
    parameters: Any,  # noqa: ANN401 (of the type that the model declares)
    name: str,
) -> list[OwnerIsolation]:
    """Owners that are measured at one market."""
    scopes, pools = some
    books = books_of_scopes(read, market=market, places=scopes.tolist())
    levels = [Level(level, pools[level]) for level in LEVELS]
    said = isolation_of(
        model.prepare(market, parameters), books, levels=levels, least_benefit=LEAST_BENEFIT
    )
    digest = _inputs_sha256(market_sha256(market), parameters_sha256(parameters), books, pools)
    rows = []
    for place, owner in enumerate(owners):
        margins = tuple(
            decimal_up(float(amount), decimals=DECIMALS) for amount in said.margins[place]
        )
        with exact():
            cost = margins[0] - margins[-1]
        advised = said.levels[int(said.advised[place])] if margins[0] else ""
        rows.append(OwnerIsolation(owner, model.name, name, margins, advised, cost, digest))
    return rows


def _inputs_sha256(market: str, parameters: str, books: Books, pools: Mapping[str, Index]) -> str:
    """One hash of all that the figures rest on."""
    digest = sha256(f"{market}\n{parameters}\n{LEAST_BENEFIT}\n".encode())
    for array in (books.starts, books.instruments, books.quantities, books.cash):
        digest.update(np.ascontiguousarray(array).tobytes())
    for level in LEVELS:
        digest.update(np.ascontiguousarray(pools[level]).tobytes())
    return digest.hexdigest()


def _pools(read: ReadInputs) -> tuple[list[Owner], dict[str, Index]]:
    """Whose each scope is, and its pool at each level; indices from 0 in the order of scopes."""
    accounts = {
        each.pk: each
        for each in MarginAccount.objects.filter(
            pk__in={row.account_id for row in read.scopes}
        ).select_related("client", "legal_entity")
    }
    groups = _groups(read.business_day, accounts)
    names: dict[str, list[tuple[str, ...]]] = {level: [] for level in LEVELS}
    for row in read.scopes:
        account = accounts[row.account_id]
        owner = _owner_of(account)
        group = groups.get(account.pk, f"account {account.pk}")
        names["client"].append(owner)
        names["group"].append((*owner, group))
        names["account"].append((*owner, group, str(account.pk)))
    pools = {level: _indices(found) for level, found in names.items()}
    held = {row.scope for row in (*read.claims, *read.positions)}
    owners: dict[tuple[str, ...], list[int]] = {}
    for place, name in enumerate(names["client"]):
        owners.setdefault(name, []).append(place)
    return [
        Owner(
            name[1],
            sum(place in held for place in places),
            tuple(sorted({read.scopes[place].account_id for place in places})),
        )
        for name, places in owners.items()
    ], pools


def _owner_of(account: MarginAccount) -> tuple[str, str]:
    if account.client is None:
        return account.legal_entity.code, f"{account.legal_entity.code} {account.owner_class}"
    return account.legal_entity.code, account.client.code


def _groups(day: date, accounts: Mapping[int, MarginAccount]) -> dict[int, str]:
    """By account the linked group that it belongs to on a day."""
    members = GroupMember.objects.filter(
        Q(left_on__isnull=True) | Q(left_on__gt=day), account__in=accounts, joined_on__lte=day
    )
    return dict(members.values_list("account_id", "group__code"))


def _indices(names: Sequence[tuple[str, ...]]) -> Index:
    """Numbers from 0 in the order in which names come."""
    numbers: dict[tuple[str, ...], int] = {}
    places = [numbers.setdefault(name, len(numbers)) for name in names]
    return np.array(places, dtype=np.intp)
