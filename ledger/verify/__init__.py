"""What `verify` looks at in the book: that it still says one thing, however it is added up."""

from accounts.checks import CheckFunction
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
    check_leave,
    check_interest,
    check_locations,
)
