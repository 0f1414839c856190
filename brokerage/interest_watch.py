"""Asks for the interest of each business day once it is over."""

from brokerage.interest import firms_with_rates, newest_day_over
from brokerage.job_kinds import INTEREST
from brokerage.jobs import ask_for_job
from brokerage.models import Job
from ledger.accrual import days_due


def ask_for_interest() -> Job | None:
    """The job that accrues up to the newest day over, if a day is still to be accrued.

    Asked for once a day; a job that was refused waits for people, who run it again.
    """
    day = newest_day_over()
    if day is None or not any(days_due(firm, on=day) for firm in firms_with_rates()):
        return None
    return ask_for_job(INTEREST, key=f"interest:{day}", arguments={"on": day.isoformat()})
