"""Reports on capital: what lies idle in accounts, and what keeping scopes apart costs."""

from collections.abc import Iterator
from decimal import Decimal

from brokerage.reports.report import DayReading, Report, Row, newest_run
from margin.book import ReadInputs, read_with_models
from margin.efficiency import AccountEfficiency, Mode, efficiency, idle_rate
from margin.isolation import LEVELS, isolation
from margin.models import MarginRun

EFFICIENCY_COLUMNS = (
    "rank", "account", "scopes", "model", "equity", "initial_margin", "maintenance_margin",
    "excess", "idle_rate", "rate_source", "idle_cost_of_a_year", "suggested_model",
    "suggested_initial_margin", "saving", "saving_of_a_year", "alternatives",
)  # fmt: skip
ISOLATION_COLUMNS = (
    "client", "measure", "parameters", "scopes", "alone",
    *(f"by_{level}" for level in LEVELS), "advised", "cost_of_isolation", "cost_as_advised",
    "why_not", "inputs_sha256",
)  # fmt: skip


def _inputs(run: MarginRun) -> ReadInputs:
    return read_with_models(run)


def capital_efficiency(reading: DayReading) -> Iterator[Row]:
    """Accounts by what their idle collateral costs, the dearest first."""
    run, day = newest_run(reading), reading.business_day
    rate = idle_rate(day.legal_entity_id, day=day.day, horizon_id=run.horizon_id)
    for rank, row in enumerate(efficiency(run, read=_inputs(run), rate=rate), start=1):
        yield (rank, *_account_row(row))


def _account_row(row: AccountEfficiency) -> Row:
    best = row.suggested
    return (
        row.account,
        row.scopes,
        " ".join(row.key),
        row.equity,
        row.initial,
        row.maintenance,
        row.excess,
        row.rate.rate,
        row.rate.source,
        row.idle_cost,
        "" if best is None else best.name,
        None if best is None else best.initial,
        Decimal(0) if best is None else best.saving,
        row.saved_cost,
        [_mode_record(mode) for mode in row.modes],
    )


def _mode_record(mode: Mode) -> dict[str, object]:
    return {
        "model": mode.name,
        "standing": mode.standing,
        "initial_margin": mode.initial,
        "maintenance_margin": mode.maintenance,
        "saving": mode.saving,
        "why_not": mode.why,
    }


def isolation_sizing(reading: DayReading) -> Iterator[Row]:
    """Clients with several scopes: what is required alone and pooled, and what is advised."""
    for row in isolation(_inputs(newest_run(reading))):
        margins = row.margins or (None,) * (1 + len(LEVELS))
        yield (
            row.owner.name,
            row.measure,
            row.parameters,
            row.owner.scopes,
            *margins,
            row.advised,
            row.cost if row.margins else None,
            row.advised_cost if row.margins else None,
            row.why,
            row.inputs_sha256,
        )


CAPITAL_EFFICIENCY = Report(
    name="capital-efficiency",
    title="Capital efficiency",
    purpose="Idle collateral of each account, what it costs, and what other models would free.",
    columns=EFFICIENCY_COLUMNS,
    key=("account",),
    rows=capital_efficiency,
)
ISOLATION = Report(
    name="isolation",
    title="Isolation sizing",
    purpose="What a client's scopes require alone and pooled, and the isolation that is advised.",
    columns=ISOLATION_COLUMNS,
    key=("client", "measure"),
    rows=isolation_sizing,
)
