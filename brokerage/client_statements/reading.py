"""Reading clients' statements of a period at a point: the book, marks, margin, calls, pools."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from django.db.models import Q

from accounts.figures import WIDE
from accounts.groups import any_margined, clients_on
from accounts.models import Client, MarginAccount
from brokerage.client_statements.period import Period
from brokerage.client_statements.statement import (
    CallLine,
    ClientStatement,
    MarginLine,
    PoolDisclosure,
    PositionLine,
)
from ledger.client_lines import BookLine, client_lines
from ledger.models import AccountClass, Asset
from ledger.times import ReadingPoint, as_known, end_of, known
from margin.levels import equity_share
from margin.models import CallEvent, Contract, MarginCall, MarginResult, MarginRun, Mark
from margin.run_rows import END_OF_DAY, day_runs

# How many clients are read together.
CHUNK: Final = 200
ACCOUNT: Final = "scope__bucket__account"


@dataclass(frozen=True, slots=True)
class Marked:
    """Assets as positions are shown: their newest mark, and what one contract is."""

    marks: Mapping[int, Mark]
    contracts: Mapping[int, Contract]
    assets: Mapping[int, Asset]


def client_statements(
    clients: Sequence[Client],
    period: Period,
    *,
    through: date,
    point: ReadingPoint,
    before: Mapping[int, ReadingPoint],
) -> Iterator[ClientStatement]:
    """The statements of clients, in their order; call inside one snapshot.

    Args:
        clients: with their keys and legal entity, so that their names are read along.
        through: the last business date that counts.
        before: by client, what the statement of the period before knew, where there is one.
    """
    run = closing_run(through, point)
    for start in range(0, len(clients), CHUNK):
        chunk = clients[start : start + CHUNK]
        yield from _chunk(chunk, period, through=through, point=point, before=before, run=run)


def _chunk(
    clients: Sequence[Client],
    period: Period,
    *,
    through: date,
    point: ReadingPoint,
    before: Mapping[int, ReadingPoint],
    run: MarginRun | None,
) -> Iterator[ClientStatement]:
    ids = [client.pk for client in clients]
    stood = {client.pk: client for client in as_known(clients, point)}
    lines = _lines(ids, period, through=through, point=point, before=before)
    marked = _marked(lines, through=through, point=point)
    margined_on = through if run is None else run.business_day
    margins = _margins(Owners.on(margined_on, ids, point=point), run)
    calls = _calls(Owners.on(through, ids, point=point), period, through=through, point=point)
    for client in clients:
        own = lines[client.pk]
        opens = before.get(client.pk)
        yield ClientStatement(
            client=client,
            period=period,
            through=through,
            point=point,
            opens_from=None if opens is None else opens.known_at,
            lines=tuple(own),
            positions=tuple(_positions(own, marked)),
            margins=tuple(margins[client.pk]),
            calls=tuple(calls[client.pk]),
            disclosures=tuple(_disclosures(stood.get(client.pk, client), own)),
        )


def _lines(
    clients: Iterable[int],
    period: Period,
    *,
    through: date,
    point: ReadingPoint,
    before: Mapping[int, ReadingPoint],
) -> dict[int, list[BookLine]]:
    """Lines by client; those whose statements before knew the same are read together."""
    groups: dict[str, tuple[ReadingPoint | None, list[int]]] = {}
    for client in clients:
        opens = before.get(client)
        groups.setdefault("" if opens is None else opens.snapshot, (opens, []))[1].append(client)
    found: dict[int, list[BookLine]] = {}
    for opens, members in groups.values():
        found |= client_lines(members, first=period.first, last=through, point=point, before=opens)
    return found


# ---------------------------------------------------------------- positions


def _marked(
    lines: Mapping[int, Iterable[BookLine]], *, through: date, point: ReadingPoint
) -> Marked:
    held = {
        line.account.asset_id
        for own in lines.values()
        for line in own
        if line.account.account_class == AccountClass.POSITION and line.closing
    }
    marks = (
        known(Mark.objects.filter(asset__in=held, business_day__lte=through), point)
        .order_by("asset_id", "-as_of", "-revision")
        .distinct("asset_id")
    )
    assets = Asset.objects.filter(pk__in=held).select_related("settles_in")
    contracts = known(Contract.objects.filter(asset__in=held), point)
    return Marked(
        {mark.asset_id: mark for mark in marks},
        {contract.pk: contract for contract in contracts},
        {asset.pk: asset for asset in assets},
    )


def _positions(lines: Iterable[BookLine], marked: Marked) -> Iterator[PositionLine]:
    for line in lines:
        if line.account.account_class != AccountClass.POSITION or not line.closing:
            continue
        asset = marked.assets[line.account.asset_id]
        mark = marked.marks.get(asset.pk)
        price = _price_of_one(mark, marked.contracts.get(asset.pk))
        cost = line.average_cost
        yield PositionLine(
            account=line.account.account,
            bucket=line.account.bucket,
            asset=asset.code,
            quantity=line.closing,
            scale=line.account.scale,
            average_cost=cost,
            mark=None if mark is None else mark.price,
            marked_on=None if mark is None else mark.business_day,
            mark_state="" if mark is None else str(Mark.State(mark.state).label),
            value=None if price is None else WIDE.multiply(line.closing, price),
            unrealised=None
            if price is None or cost is None
            else WIDE.multiply(line.closing, WIDE.subtract(price, cost)),
            currency="" if asset.settles_in is None else asset.settles_in.code,
        )


def _price_of_one(mark: Mark | None, contract: Contract | None) -> Decimal | None:
    """What one of an asset is worth; an inverse contract is worth nothing that one price says."""
    if mark is None or (contract is not None and contract.is_inverse):
        return None
    price: Decimal = mark.price
    if contract is not None and contract.form == Contract.Form.OPTION:
        return WIDE.multiply(price, contract.multiplier)
    return price


# ---------------------------------------------------------------- margin and calls


def closing_run(through: date, point: ReadingPoint) -> MarginRun | None:
    """The newest known run at the end of the last business day that counts."""
    runs = known(day_runs().filter(purpose=END_OF_DAY, business_day__lte=through), point)
    return runs.order_by("-business_day", "-pk").first()


class Owners(NamedTuple):
    """Of whom the scopes of some clients are: where clients are linked, a group's of all of them.

    Attributes:
        clients: whose statements are read.
        groups: by account that a group is margined as, the clients in it.
    """

    clients: frozenset[int]
    groups: Mapping[int, frozenset[int]]

    @classmethod
    def on(cls, day: date, clients: Iterable[int], *, point: ReadingPoint) -> "Owners":
        """Those of a day, as the point knew the groups."""
        known_groups = clients_on(day, known=point.snapshot) if any_margined() else {}
        return cls(frozenset(clients), known_groups)

    def theirs(self, path: str) -> Q:
        """Rows about scopes of these clients; ``path`` leads from a row to its account."""
        linked = [account for account, owners in self.groups.items() if owners & self.clients]
        alone = Q(**{f"{path}__client__in": list(self.clients)})
        return alone & ~Q(**{f"{path}__in": list(self.groups)}) | Q(**{f"{path}__in": linked})

    def of(self, account: MarginAccount) -> Iterator[int]:
        """The clients among these of whom an account is."""
        if account.pk in self.groups:
            yield from sorted(self.groups[account.pk] & self.clients)
        elif account.client_id is not None:
            yield account.client_id


def _margins(owners: Owners, run: MarginRun | None) -> dict[int, list[MarginLine]]:
    found: dict[int, list[MarginLine]] = defaultdict(list)
    if run is None:
        return found
    results = MarginResult.objects.filter(owners.theirs(ACCOUNT), run=run)
    for result in results.select_related(
        "scope__bucket__account", "agreement_version__agreement"
    ).order_by("scope__bucket__account__code", "scope__bucket__code", "pk"):
        bucket, terms = result.scope.bucket, result.agreement_version
        assert bucket is not None, "requirements are computed on buckets"
        line = MarginLine(
            bucket.account.code, bucket.code, run.number, run.business_day, result.equity,
            result.initial_margin, result.maintenance_margin, equity_share(result),
            result.state, terms.currency, f"{terms.agreement.code} v{terms.version}",
            terms.segregation_regime,
        )  # fmt: skip
        for client in owners.of(bucket.account):
            found[client].append(line)
    return found


def _calls(
    owners: Owners, period: Period, *, through: date, point: ReadingPoint
) -> dict[int, list[CallLine]]:
    """Calls that were open in the period, or ended in it, as they stood at its end."""
    events = (
        known(CallEvent.objects.filter(owners.theirs(f"call__{ACCOUNT}")), point)
        .filter(occurred_at__lt=end_of(through))
        .order_by("call_id", "-occurred_at", "-pk")
        .distinct("call_id")
    )
    last = {event.call_id: event for event in events}
    calls = MarginCall.objects.filter(pk__in=last).select_related("scope__bucket__account")
    found: dict[int, list[CallLine]] = defaultdict(list)
    for call in as_known(calls.order_by("number"), point):
        event, bucket = last[call.pk], call.scope.bucket
        assert bucket is not None, "calls are made on buckets"
        has_ended = event.to_state in MarginCall.ENDED
        if has_ended and event.occurred_at.date() < period.first:
            continue
        line = CallLine(
            call.number, bucket.account.code, bucket.code, call.kind, event.to_state,
            call.amount if event.amount_after is None else event.amount_after,
            call.currency, call.issued_at, call.due_at,
            event.occurred_at if has_ended else None,
            call.end_reason if has_ended else "",
        )  # fmt: skip
        for client in owners.of(bucket.account):
            found[client].append(line)
    return found


# ---------------------------------------------------------------- how it is held


def _disclosures(client: Client, lines: Iterable[BookLine]) -> Iterator[PoolDisclosure]:
    pools = {(line.account.pool, line.account.regime, line.account.account_class) for line in lines}
    owed = sorted({(p, r) for p, r, c in pools if c != AccountClass.LOAN_RECEIVABLE})
    lent = sorted({(p, r) for p, r, c in pools if c == AccountClass.LOAN_RECEIVABLE})
    for pool, regime in owed:
        yield PoolDisclosure(pool, regime, _held(client))
    for pool, regime in lent:
        yield PoolDisclosure(
            pool, regime, "The firm's own pool. Loans are its claim on the client, not an asset."
        )


def _held(client: Client) -> str:
    where = (
        "It lies at places that hold this client's assets alone"
        if client.is_individually_segregated
        else "It lies together with that of other clients, at places named for clients"
    )
    return (
        "What this pool holds belongs to its clients and lies apart from the firm's own money. "
        f"{where}. No entry takes from it to pay for the firm or for anybody else; what it "
        "should lack stands in the book as a shortfall that the firm owes."
    )
