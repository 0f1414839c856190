"""Models ready to be asked: each prepared for the market of the scopes that ask it together."""

from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np

from margin.book import ReadInputs
from margin.book.arrays import MarketRows
from margin.engine.market import Market
from margin.engine.model import Prepared
from margin.engine.past import Past, PastKey
from margin.engine.rejected import RejectedInputError
from margin.model_registry import UsedModel

# A house has few different pasts; scopes that hold many different things have a market each.
MARKETS_KEPT: Final = 16


class Group(NamedTuple):
    """Scopes that are asked together: what they are asked, at which market."""

    prepared: Prepared
    market: Market
    places: list[int]


class PreparedModels:
    """A market, and every model prepared for it when it is first asked.

    A model that looks back is prepared for the days of each scope, so that what one scope holds
    never shortens the past of another. Where a market is refused for what somebody else holds,
    each scope is asked at a market of its own holdings.

    Attributes:
        past: where each scope's days are taken from; none for runs of before, whose scopes have
            the days that all have in common.
    """

    def __init__(self, market: Market, past: Past | None) -> None:
        self.market, self.past = market, past
        self._prepared: OrderedDict[Hashable, tuple[Prepared, Market]] = OrderedDict()

    @classmethod
    def of_rows(cls, rows: MarketRows) -> "PreparedModels":
        """At the marks.

        Raises:
            RejectedInputError: they cannot be what they say.
        """
        return cls(rows.market(), rows.past)

    def sha256(self) -> str:
        """The sha256, in hex, of all that models are told of the market and its past."""
        said = market_sha256(self.market)
        if self.past is None:
            return said
        days = "\n".join((said, *self.past.days)).encode()
        return sha256(days + np.ascontiguousarray(self.past.closes).tobytes()).hexdigest()

    def groups(
        self, read: ReadInputs, used: UsedModel, places: Sequence[int]
    ) -> tuple[list[Group], dict[int, str]]:
        """Scopes by the market that they are asked at, and why others cannot be asked."""
        columns = columns_held(read, self.market, places)
        groups: list[Group] = []
        wrong: dict[int, str] = {}
        for key, together in self._by_key(used, columns).items():
            try:
                groups.append(Group(*self._of(used, key), together))
            except RejectedInputError as refusal:
                if self.past is None:
                    wrong |= dict.fromkeys(together, f"{refusal}.")
                else:
                    self._alone(used, self.past, columns, together, groups, wrong)
        return groups, wrong

    def _alone(
        self,
        used: UsedModel,
        past: Past,
        columns: Mapping[int, tuple[int, ...]],
        places: Sequence[int],
        groups: list[Group],
        wrong: dict[int, str],
    ) -> None:
        """Ask scopes at markets of what they hold, where one of everything is refused."""
        for held in sorted({columns[place] for place in places}):
            together = [place for place in places if columns[place] == held]
            try:
                groups.append(Group(*self._of(used, PastKey(held, None)), together))
            except RejectedInputError as refusal:
                fewest = past.least(held) if used.looks_back else None
                beside = (
                    f". {self.market.underlyings[fewest[0]]} has {fewest[1]} closes"
                    if fewest
                    else ""
                )
                wrong |= dict.fromkeys(together, f"{refusal}{beside}.")

    def _by_key(
        self, used: UsedModel, columns: Mapping[int, tuple[int, ...]]
    ) -> dict[PastKey | None, list[int]]:
        if self.past is None or not used.looks_back:
            return {None: list(columns)}
        found: dict[PastKey | None, list[int]] = defaultdict(list)
        mixes = used.model.mixes(used.parameters)
        for place, held in columns.items():
            found[self.past.key(held, mixes=mixes)].append(place)
        return found

    def _of(self, used: UsedModel, key: PastKey | None) -> tuple[Prepared, Market]:
        """The model with its parameters, prepared for a market of the key; the newest are kept.

        Raises:
            RejectedInputError: it cannot be asked at this market.
        """
        said = used.parameter_set
        whole = said.model, said.code, said.version, key
        if whole in self._prepared:
            self._prepared.move_to_end(whole)
            return self._prepared[whole]
        market = self.market
        if key is not None:
            assert self.past is not None, "keys are of a past"
            market = self.past.market(market, key)
        found = used.model.prepare(market, used.parameters), market
        self._prepared[whole] = found
        if len(self._prepared) > MARKETS_KEPT:
            self._prepared.popitem(last=False)
        return found


def columns_held(
    read: ReadInputs, market: Market, places: Sequence[int]
) -> dict[int, tuple[int, ...]]:
    """Underlyings of what each scope holds, ascending; nothing of what has no price."""
    contract = market.instruments
    of = dict(zip(contract.names, contract.underlyings.tolist(), strict=True))
    held: dict[int, set[int]] = {place: set() for place in places}
    for row in (*read.claims, *read.positions):
        if row.scope in held and row.amount:
            column = of.get(read.assets[row.asset_id].code)
            if column is not None:
                held[row.scope].add(column)
    return {place: tuple(sorted(columns)) for place, columns in held.items()}


def market_sha256(market: Market) -> str:
    """The sha256, in hex, of a market's arrays, bit for bit."""
    digest = sha256()
    for holder in (market.instruments, market):
        for name in sorted(holder.__slots__):
            value = getattr(holder, name)
            digest.update(f"{name}\n".encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.dtype.str}{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
            elif isinstance(value, tuple):
                digest.update("\x1f".join(value).encode())
    return digest.hexdigest()
