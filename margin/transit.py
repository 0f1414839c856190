"""Tasks about money that has been on its way for longer than the rule of its firm allows."""

from collections.abc import Iterable
from datetime import timedelta

from accounts.figures import grouped
from accounts.models import LegalEntity, Role
from ledger.transit import late_lots
from margin.models import MarginRun, Task
from margin.worklist import Needed

ASKED_WITHIN = timedelta(hours=4)


def transit_tasks(run: MarginRun) -> Iterable[Needed]:
    """One task per lot that is overdue at the end of the run's business day."""
    firms = LegalEntity.objects.values_list("pk", flat=True)
    for lot in late_lots(run.business_day, entities=list(firms)):
        amount = f"{grouped(lot.open, decimals=lot.scale)} {lot.asset}"
        yield Needed(
            kind=Task.Kind.TRANSIT,
            key=f"transit:{lot.entry_id}:{lot.asset}",
            subject=f"{amount} for {lot.pool} on the way since {lot.left_on}",
            detail=f"{lot.reference or lot.entry_id}: {lot.age} business days;"
            f" {lot.alarms_after} are allowed. Ask the bank that should have paid.",
            due_at=run.as_of + ASKED_WITHIN,
            owner_role=Role.TREASURY,
        )
