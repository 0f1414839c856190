"""A client's accounts, sub-accounts and buckets, each with what it holds and needs, rolled up."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from django.db.models import QuerySet

from accounts.figures import WIDE
from accounts.models import Bucket, Client, MarginAccount
from ledger.models import Balance
from margin.models import MarginResult

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sums:
    """What a part of the tree holds and needs.

    Attributes:
        held: claims and positions by asset, as people say them.
        equity, initial, maintenance: of the margined scopes in it, by the run.
        scopes: how many scopes that is.
    """

    held: Mapping[str, Decimal] = field(default_factory=dict)
    equity: Decimal = ZERO
    initial: Decimal = ZERO
    maintenance: Decimal = ZERO
    scopes: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Both together, exactly."""
        held = dict(self.held)
        for asset, amount in other.held.items():
            held[asset] = WIDE.add(held.get(asset, ZERO), amount)
        return Sums(
            held=held,
            equity=WIDE.add(self.equity, other.equity),
            initial=WIDE.add(self.initial, other.initial),
            maintenance=WIDE.add(self.maintenance, other.maintenance),
            scopes=self.scopes + other.scopes,
        )


@dataclass(frozen=True, slots=True)
class Node:
    """A client, an account, a sub-account or a bucket, with everything beneath it."""

    kind: str
    code: str
    detail: str
    model: str
    sums: Sums
    children: tuple["Node", ...] = ()

    def lines(self, level: int = 0) -> Iterator[tuple[int, "Node"]]:
        """The node and all beneath it, top down, with how deep each lies."""
        yield level, self
        for child in self.children:
            yield from child.lines(level + 1)


def client_tree(
    client: Client,
    accounts: Collection[MarginAccount],
    *,
    results: QuerySet[MarginResult],
) -> Node:
    """The tree of a client over these accounts; an account whose parent is not among them stands
    at the top.

    Args:
        results: one of each scope at most.
    """
    buckets: dict[int, list[Bucket]] = defaultdict(list)
    for bucket in Bucket.objects.filter(account__in=accounts).order_by("code"):
        buckets[bucket.account_id].append(bucket)
    held = _held(accounts)
    of_buckets = {
        result.scope.bucket_id: result
        for result in results.filter(scope__bucket__account__in=accounts).select_related(
            "scope", "agreement_version"
        )
    }
    shown = {account.pk for account in accounts}
    beneath: dict[int | None, list[MarginAccount]] = defaultdict(list)
    for account in sorted(accounts, key=lambda each: each.code):
        beneath[account.parent_id if account.parent_id in shown else None].append(account)

    def of_bucket(bucket: Bucket) -> Node:
        result = of_buckets.get(bucket.pk)
        sums = Sums(held=held.get(bucket.pk, {}))
        if result is not None:
            sums = Sums(
                sums.held, result.equity, result.initial_margin, result.maintenance_margin, 1
            )
        model = "" if result is None else result.agreement_version.model
        return Node("bucket", bucket.code, bucket.get_role_display(), model, sums)

    def of_account(account: MarginAccount) -> Node:
        children = (
            *(of_bucket(bucket) for bucket in buckets[account.pk]),
            *(of_account(child) for child in beneath[account.pk]),
        )
        kind = "account" if account.parent_id is None else "sub-account"
        desk = f"desk {account.desk}" if account.desk else account.get_mode_display()
        models = sorted({child.model for child in children if child.model})
        return Node(kind, account.code, desk, ", ".join(models), _total(children), children)

    roots = tuple(of_account(account) for account in beneath[None])
    return Node("client", client.code, client.name, "", _total(roots), roots)


def _total(nodes: Collection[Node]) -> Sums:
    total = Sums()
    for node in nodes:
        total = total.plus(node.sums)
    return total


def _held(accounts: Collection[MarginAccount]) -> dict[int, dict[str, Decimal]]:
    """Claims and positions other than zero, by bucket and asset; one query."""
    found: dict[int, dict[str, Decimal]] = defaultdict(dict)
    for bucket, asset, amount in (
        Balance.objects.filter(
            account__margin_account__in=accounts, account__account_class__in=("claim", "position")
        )
        .exclude(amount=0)
        .order_by("account__asset__code")
        .values_list("account__bucket_id", "account__asset__code", "amount")
    ):
        found[bucket][asset] = amount.copy_negate()
    return found
