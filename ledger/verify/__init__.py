"""What `verify` looks at in the book: that it still says one thing, however it is added up."""

from collections.abc import Callable, Mapping

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, CheckFunction
from ledger.verify.checkpoints import check_checkpoints
from ledger.verify.costs import check_average_costs
from ledger.verify.entries import check_entries, check_kinds, check_leave
from ledger.verify.interest import check_interest
from ledger.verify.locations import check_locations
from ledger.verify.running import check_balances, check_running

# The longest first: they are shared out among connections in this order.
CHECKS: tuple[CheckFunction, ...] = (
    check_running,
    check_entries,
    check_kinds,
    check_average_costs,
    check_balances,
    check_checkpoints,
    check_leave,
    check_interest,
    check_locations,
)

Provable = Callable[[CursorWrapper, Mapping[str, int]], list[Check]]
# Those among them that leave out what is proven already.
PROVABLE: dict[CheckFunction, Provable] = {
    check_running: check_running,
    check_entries: check_entries,
    check_kinds: check_kinds,
    check_balances: check_balances,
    check_checkpoints: check_checkpoints,
    check_leave: check_leave,
    check_interest: check_interest,
}


def unproven(check: CheckFunction, proven: Mapping[str, int]) -> CheckFunction:
    """A check of `PROVABLE` over what is left when it runs."""

    def left(cursor: CursorWrapper) -> list[Check]:
        return PROVABLE[check](cursor, proven)

    left.__name__ = check.__name__
    return left
