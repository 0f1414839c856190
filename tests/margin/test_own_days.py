"""Each scope looks back on days of what it holds: what others hold takes none from it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.audit import Actor, acting
from accounts.models import AgreementVersion
from ledger.models import Asset
from margin.asking import AskedMarket, ModelRefusedError, Quantities
from margin.book import Holding, ReadInputs, ScopeRow, read_inputs, read_inputs_of
from margin.book.closes import Close, Closes
from margin.engine.covariance import CovarianceParameters, Estimate, Target
from margin.engine.history import Filtering, History, Scaling
from margin.engine.models import MODELS
from margin.engine.models.hybrid import Child
from margin.engine.models.value_at_risk_parameters import Combination, Stress
from margin.model_registry import UsedModel
from margin.models import Contract, MarginRun, Mark, ModelDecision, ParameterSet
from margin.portfolio import Charge, charged
from margin.runs import computed, keep_run, replay
from margin.terms import TermsInForce
from tests.margin.under import SECOND_DAY, FirmUnderModels, firm_under_models

D = Decimal
DAY: Final = date(2031, 3, 3)
NOW: Final = datetime(2031, 3, 3, 21, tzinfo=UTC)
# What there is: a coin of all days, a share of weekdays, one with gaps, two of a few days, a past
# below nothing, and an index that nobody quotes, with two futures on it.
USD, COIN, SHARE, GAPS, NEW, NEWER, OIL, INDEX, NEAR, FAR = range(1, 11)
CODES: Final = ("USD", "COIN", "SHARE", "GAPS", "NEW", "NEWER", "OIL", "INDEX", "NEAR", "FAR")
MONEY: Final = {USD, COIN}
HOLDABLE: Final = (COIN, SHARE, GAPS, NEW, NEWER, OIL, NEAR, FAR)
SCENARIOS: Final = History(
    lookback_days=12, filtering=Filtering.VOLATILITY, volatility_decay=0.9, ratio_most=4.0,
    horizon_days=1, scaling=Scaling.SQUARE_ROOT, age_decay=1.0,
)  # fmt: skip
JOINED: Final = replace(SCENARIOS, scaling=Scaling.OVERLAPPING, horizon_days=9)
STRESS: Final = Stress(combination=Combination.MAX, oldest_day=12, newest_day=4, weight=0.25)
COVARIANCE: Final = CovarianceParameters(
    lookback_days=12, estimate=Estimate.EWMA, decay=0.95, target=Target.SCALED_IDENTITY
)


def _sets() -> dict[str, Any]:
    """A set of every model that looks back, with few days; the hybrid with one that mixes."""
    tails = {"history": SCENARIOS, "stress": STRESS}
    parametric = replace(MODELS["parametric"].standard, covariance=COVARIANCE)
    child = Child(label="covariance", model="parametric", weight=1.0, parameters=parametric)
    return {
        "value-at-risk": replace(MODELS["value-at-risk"].standard, **tails),
        "expected-shortfall": replace(
            MODELS["expected-shortfall"].standard, history=JOINED, stress=STRESS
        ),
        "parametric": parametric,
        "factors": replace(MODELS["factors"].standard, covariance=COVARIANCE),
        "hybrid": replace(MODELS["hybrid"].standard, children=(child,), add_ons=()),
        "delta": MODELS["delta"].standard,
    }


SETS: Final = _sets()
LOOKING_BACK: Final = tuple(name for name in SETS if name != "delta")


def used(name: str) -> UsedModel:
    row = ParameterSet(model=name, code="S1", version=1, values={}, effective_from=DAY)
    return UsedModel(MODELS[name], row, SETS[name], ModelDecision.Standing.PRODUCTION)


def contract(pk: int, *, days: int) -> Contract:
    return Contract(
        asset_id=pk, form="future", underlying_id=INDEX, multiplier=D(1), is_inverse=False,
        expires_at=NOW + timedelta(days=days),
    )  # fmt: skip


@cache
def closes() -> Closes:
    draw = np.random.default_rng(5)
    rows = []
    for pk, count in ((COIN, 60), (SHARE, 60), (GAPS, 60), (NEW, 5), (NEWER, 20), (OIL, 60),
                      (NEAR, 60), (FAR, 40)):  # fmt: skip
        for back, price in enumerate(np.exp(np.cumsum(draw.normal(0, 0.03, count))) * 100):
            day = DAY - timedelta(days=back)
            is_out = (pk == SHARE and day.weekday() > 4) or (pk == GAPS and back in (3, 4, 17))
            if not is_out:
                below = pk == OIL and back == 6
                rows.append(Close(pk, day, D(-3) if below else D(f"{price:.6f}")))
    return Closes(rows)


def inputs(held: Sequence[dict[int, int]], models: Sequence[str]) -> ReadInputs:
    """A run of scopes with such holdings, each under the model of its place."""
    kinds = {pk: "money" if pk in MONEY else "derivative" for pk in range(1, len(CODES) + 1)}
    rows = [
        Holding(n, pk, D(amount), None, 0, 0)
        for n, each in enumerate(held)
        for pk, amount in each.items()
    ]
    marks = {
        pk: Mark(asset_id=pk, as_of=NOW, business_day=DAY, price=D(100), state=Mark.State.VALID)
        for pk in HOLDABLE
    }
    return ReadInputs(
        horizon_id=0, as_of=NOW, business_day=DAY,
        assets={pk: Asset(pk=pk, code=CODES[pk - 1], kind=kind, settles_in_id=USD)
                for pk, kind in kinds.items()},
        scopes=[
            ScopeRow(n, n, n, f"A{n}", "FREE", False, AgreementVersion(model=name, parameters="S1"))
            for n, name in enumerate(models)
        ],
        claims=[row for row in rows if row.asset_id in MONEY],
        positions=[row for row in rows if row.asset_id not in MONEY],
        loans=[], marks=marks,
        terms=cast(TermsInForce, SimpleNamespace(haircuts={COIN}, instruments=set(HOLDABLE))),
        models={(name, "S1"): used(name) for name in set(models)},
        contracts={NEAR: contract(NEAR, days=30), FAR: contract(FAR, days=90)},
        closes=closes(),
    )  # fmt: skip


Said = tuple[Any, ...]


def said(found: Charge) -> Said:
    return found.initial, found.maintenance, found.binding


def answers(read: ReadInputs) -> dict[str, Said]:
    """What is required of each scope, or why it is not said."""
    done = charged(read)
    asked = {done.read.scopes[n].account: said(each) for n, each in done.charges.items()}
    return asked | {f"A{each.account_id}": (each.detail,) for each in done.read.exceptions}


def asked_alone(held: dict[int, int], name: str, *, beside: Sequence[int]) -> Said:
    """The same scope thought of, where the next run would also ask about other assets."""
    read = replace(inputs([], []), asked=frozenset({*held, *beside} - {USD}), shadows={})
    quantities = Quantities(
        claims={CODES[pk - 1]: D(n) for pk, n in held.items() if pk in MONEY},
        positions={CODES[pk - 1]: D(n) for pk, n in held.items() if pk not in MONEY},
    )
    try:
        return said(AskedMarket.of(read).charge(used(name), quantities))
    except ModelRefusedError as refused:
        return (refused.detail,)


holdings = st.dictionaries(
    st.sampled_from((USD, *HOLDABLE)), st.integers(-9, 9).filter(bool), max_size=4
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(holdings, st.sampled_from(tuple(SETS))), min_size=2, max_size=5))
def test_what_a_scope_is_required_does_not_depend_on_who_else_is_asked(
    scopes: list[tuple[dict[int, int], str]],
) -> None:
    together = answers(inputs(*zip(*scopes, strict=True)))  # type: ignore[arg-type]
    for n, (held, name) in enumerate(scopes):
        alone = answers(inputs([held], [name]))
        assert together[f"A{n}"] == alone["A0"], (held, name)
        everything = [pk for other, _ in scopes for pk in other]
        assert asked_alone(held, name, beside=everything) == alone["A0"], (held, name)


@pytest.mark.parametrize("name", LOOKING_BACK)
def test_one_holder_of_something_new_takes_no_days_from_others(name: str) -> None:
    both = answers(inputs([{COIN: 3}, {COIN: 3, NEW: 1}, {USD: 5}], [name] * 3))
    assert both["A0"] == answers(inputs([{COIN: 3}], [name]))["A0"]
    assert sum(amount for _, amount in both["A0"][0]) > 0
    assert "4 days are known, 12 are looked back on. NEW has 5 closes." in both["A1"][0]
    assert sum(amount for _, amount in both["A2"][0]) == 0
    before = replace(inputs([{COIN: 3}, {COIN: 3, NEW: 1}], [name] * 2), days="common")
    assert all("4 days are known" in each[0] for each in answers(before).values())


def test_a_past_below_nothing_is_refused_where_it_is_held_alone() -> None:
    found = answers(inputs([{COIN: 3}, {OIL: 1}], ["value-at-risk"] * 2))
    assert found["A0"] == answers(inputs([{COIN: 3}], ["value-at-risk"]))["A0"]
    assert len(found["A1"]) == 1
    assert "falls by less than all" in found["A1"][0]


def test_what_nobody_quotes_is_priced_and_moves_as_the_first_contract_on_it() -> None:
    alone = answers(inputs([{FAR: 2}], ["value-at-risk"]))
    beside = answers(inputs([{FAR: 2}, {NEAR: 2}], ["value-at-risk"] * 2))
    assert alone["A0"] == beside["A0"]
    assert sum(amount for _, amount in alone["A0"][0]) > 0


# ---------------------------------------------------------------- in the book


@pytest.fixture
def firm(db: None, tmp_path: Path) -> FirmUnderModels:
    return firm_under_models(tmp_path / "firm")


def without_past(read: ReadInputs, asset_id: int) -> ReadInputs:
    """As if this asset had closed for the first time on the day."""
    kept = [c for c in read.closes if c.asset_id != asset_id or c.day == read.business_day]
    return replace(read, closes=Closes(kept))


def test_in_a_firm_a_new_asset_stops_those_alone_who_hold_it(firm: FirmUnderModels) -> None:
    run = MarginRun.objects.get(business_day=SECOND_DAY)
    assert run.days == MarginRun.Days.OWN
    read = read_inputs_of(run)
    looking = {n for n, row in enumerate(read.scopes) if row.agreement.model == "value-at-risk"}
    holders: dict[int, set[int]] = {}
    for each in (*read.claims, *read.positions):
        if each.scope in looking and read.assets[each.asset_id].code != "USD":
            written = read.contracts.get(each.asset_id)
            moved_by = each.asset_id if written is None else written.underlying_id
            holders.setdefault(moved_by, set()).add(each.scope)
    rare = min(holders, key=lambda pk: len(holders[pk]))
    assert holders[rare] < looking
    names = {n: read.scopes[n].scope_id for n in looking}
    before, after = charged(read), charged(without_past(read, rare))
    whole, left = (
        {done.read.scopes[n].scope_id: said(each) for n, each in done.charges.items()}
        for done in (before, after)
    )
    assert {names[n] for n in holders[rare]} == whole.keys() - left.keys()
    assert left.items() <= whole.items()


def test_a_run_of_before_replays_by_its_own_rule(firm: FirmUnderModels) -> None:
    run = MarginRun.objects.get(business_day=SECOND_DAY)
    assert replay(run.number).is_same
    read = read_inputs(horizon_id=run.horizon_id, as_of=run.as_of, days=MarginRun.Days.COMMON)
    done = computed(read)
    assert done.inputs_sha256 != run.inputs_sha256
    with acting(Actor.command("test"), reason="A run of before"):
        old = keep_run(done, business_day=SECOND_DAY, purpose="end-of-day")
    assert old.days == MarginRun.Days.COMMON
    assert replay(old.number).is_same
