"""Asks for the margin rates that policies make of each day's run, once it is there."""

from brokerage.job_kinds import PROPOSE
from brokerage.jobs import ask_for_job
from brokerage.models import Job
from margin.engine.policies import DYNAMIC
from margin.policies import policies_in_force
from margin.run_rows import whole_runs


def ask_for_proposals() -> Job | None:
    """The job that proposes rates out of the newest run of everything, where a policy makes any.

    Asked for once a run; what it proposes waits for two people.
    """
    run = whole_runs().order_by("-as_of", "-pk").first()
    if run is None or not policies_in_force(DYNAMIC, day=run.business_day):
        return None
    return ask_for_job(PROPOSE, key=f"{PROPOSE}:{run.number}", arguments={"run": run.number})
