"""Moves that margin decides, what may leave, and blocks, on a firm with two days in its book."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from accounts.approvals import apply_approved
from accounts.audit import Actor, RefusedError, acting
from accounts.models import (
    AccountGroup,
    Approval,
    Bucket,
    GroupMember,
    LegalEntity,
    MarginAccount,
    Role,
)
from ledger.blocks import block_outflows, blocks_on, lift, live_blocks, request_rule
from ledger.bucket_moves import BucketMove
from ledger.bucket_moves import request_rule as request_move_rule
from ledger.models import (
    Asset,
    Balance,
    BlockSweep,
    Location,
    MoveGuard,
    OutflowBlock,
    Pool,
    Posting,
    Release,
)
from ledger.posting import AccountKey, Draft, Leg, open_accounts, post_entry
from margin.bucket_moves import MoveRefusedError, make_move, plan_move
from margin.collateral import Payment, WithdrawalRefusedError, withdraw
from margin.free import free_amount
from margin.holding import balances_of, newest_gate, standing_of
from margin.models import MarginRun
from margin.sweeps import block_negative_accounts, sweep
from margin.transit import transit_tasks
from tests.accounts.people import found_desk, person
from tests.margin.test_collateral import claim_of, payment
from tests.stage import booked_days

JOB = Actor.job("test")
AT = datetime(2031, 3, 5, 12, tzinfo=UTC)
USD = "USD"


@pytest.fixture
def firm(db: None, tmp_path: Path) -> LegalEntity:
    booked_days(tmp_path / "firm", accounts=90, seed=3, days=2)
    return LegalEntity.objects.get()


def margined(mode: str, *, spare: Decimal = Decimal(500)) -> Bucket:
    """A margined bucket with positions that can spare something but not all of its money."""
    gate = newest_gate()
    for bucket in Bucket.objects.filter(
        account__mode=mode, account__owner_class="CLIENT", is_margined=True
    ).select_related("account__client").order_by("pk"):  # fmt: skip
        held = balances_of(bucket)
        standing = standing_of(bucket, held, gate=gate)
        claim = held.claims.get(USD, Decimal(0))
        free = standing.equity - standing.initial_margin
        if standing.initial_margin > 0 and spare < free < claim:
            return bucket
    pytest.fail(f"the firm has no {mode} account like that")


def other_bucket(bucket: Bucket, role: str) -> Bucket:
    with acting(JOB, reason="A bucket for a test"):
        return Bucket.objects.create(
            account=bucket.account, code=role, role=role, is_margined=False
        )


def move(source: Bucket, target: Bucket, amount: Decimal, *, key: str = "M1") -> BucketMove:
    return BucketMove(
        key=key, source=source, target=target, asset=Asset.objects.get(code=USD), amount=amount,
        reference=key, effective_at=AT,
    )  # fmt: skip


def test_a_move_that_would_break_margin_is_refused_with_what_it_would_lack(
    firm: LegalEntity,
) -> None:
    bucket = margined("cross")
    hold = other_bucket(bucket, "HOLD")
    standing = standing_of(bucket, balances_of(bucket), gate=newest_gate())
    free = (standing.equity - standing.initial_margin).quantize(Decimal("0.01"), "ROUND_DOWN")
    too_much = free + 1
    before = Posting.objects.count(), Release.objects.count()
    with pytest.raises(MoveRefusedError) as refused:
        make_move(move(bucket, hold, too_much), actor=JOB, reason="Too much of it")
    assert refused.value.rule == "initial_margin"
    lacks = too_much - (standing.equity - standing.initial_margin)
    assert refused.value.shortfall == lacks
    assert f"{lacks:,.2f} short" in str(refused.value)
    assert (Posting.objects.count(), Release.objects.count()) == before
    # What is shown beforehand is what is decided.
    plan = plan_move(move(bucket, hold, too_much))
    assert (plan.refusal, plan.shortfall) == (("initial_margin", str(refused.value)), lacks)
    made = make_move(move(bucket, hold, free), actor=JOB, reason="As much as is free")
    again = make_move(move(bucket, hold, free), actor=JOB, reason="As much as is free")
    assert (made.is_new, again.entry_id, again.is_new) == (True, made.entry_id, False)
    assert claim_of(hold) == free


def test_a_release_of_a_move_is_margins_and_is_used_once(firm: LegalEntity) -> None:
    bucket = margined("cross")
    hold = other_bucket(bucket, "HOLD")
    posted = make_move(move(bucket, hold, Decimal(1)), actor=JOB, reason="One dollar of it")
    release = Release.objects.get(use__entry=posted.entry_id)
    assert (release.kind_id, release.amount, release.bucket_id) == ("bucket_move", 1, bucket.pk)


def test_a_rule_of_moves_begins_after_the_last_day_that_is_done(firm: LegalEntity) -> None:
    desk = found_desk(entity=firm)
    asked = request_move_rule(
        from_role="FREE", to_role="HOLD", guard=MoveGuard.NEVER,
        effective_from=date(2031, 3, 4), reason="The desk works like this now.",
        legal_entity=firm, actor=person(desk[Role.OPERATIONS]),
    )  # fmt: skip
    decide(asked, desk[Role.RISK])
    with pytest.raises(RefusedError) as refused:
        apply_approved(Approval.objects.get(pk=asked), actor=person(desk[Role.RISK]))
    assert refused.value.rule == "move_rule_begins_later"


def decide(approval: object, checker: object) -> None:
    with acting(person(checker), reason="Decides"), connection.cursor() as cursor:  # type: ignore[arg-type]
        cursor.execute(
            "SELECT accounts.decide_approval(%s, 'approved', 'I have looked at it.')", [approval]
        )


# ---------------------------------------------------------------- what may leave


def test_one_unit_more_than_is_free_is_refused_with_the_term_that_binds(
    firm: LegalEntity,
) -> None:
    bucket = margined("cross")
    usd = Asset.objects.get(code=USD)
    free = free_amount(bucket, usd, gate=newest_gate())
    assert free.binding.name == "initial_margin"
    whole = free.amount.quantize(Decimal("0.01"), "ROUND_DOWN")
    with pytest.raises(WithdrawalRefusedError) as refused:
        withdraw(payment(bucket, whole + Decimal("0.01"), key="W1"), actor=JOB, reason="Too much")
    assert refused.value.term == "initial_margin"
    withdraw(payment(bucket, whole, key="W2"), actor=JOB, reason="All that is free")


def test_a_linked_account_under_water_holds_back_its_group(firm: LegalEntity) -> None:
    """Two accounts of one client are linked; what one lacks the other cannot take out."""
    bucket = margined("cross")
    usd = Asset.objects.get(code=USD)
    alone = free_amount(bucket, usd, gate=newest_gate())
    with acting(JOB, reason="A second account of the client, linked with the first"):
        second = MarginAccount.objects.create(
            legal_entity=firm, code="second", owner_class="CLIENT", client=bucket.account.client,
            mode="cross", opened_on=AT.date(),
        )  # fmt: skip
        weak = Bucket.objects.create(account=second, code="FREE", role="FREE", is_margined=True)
        group = AccountGroup.objects.create(
            legal_entity=firm, code="linked", owner_class="CLIENT", client=bucket.account.client
        )
        for account in (bucket.account, second):
            GroupMember.objects.create(group=group, account=account, joined_on=AT.date())
        owes(weak, Decimal(100))
    found = free_amount(bucket, usd, gate=newest_gate())
    assert found.binding.name == "group_headroom"
    assert found.amount == alone.amount - 100
    assert newest_gate().price_snapshot
    with pytest.raises(WithdrawalRefusedError) as refused:
        withdraw(payment(bucket, alone.amount, key="W1"), actor=JOB, reason="All of its own")
    assert refused.value.term == "group_headroom"


def owes(bucket: Bucket, amount: Decimal) -> None:
    """Lend a bucket money and let it pay that out as a fee: it stands at minus the loan."""
    client, house = Pool.objects.get(code="CLIENT"), Pool.objects.get(code="HOUSE")
    usd = Asset.objects.get(code=USD)
    places = {
        code: Location.objects.get(code=code).pk for code in ("bank:client-usd", "bank:house-usd")
    }
    keys = (
        AccountKey(client.pk, usd.pk, "claim", bucket.pk),
        AccountKey(client.pk, usd.pk, "custody", None, places["bank:client-usd"]),
        AccountKey(house.pk, usd.pk, "custody", None, places["bank:house-usd"]),
        AccountKey(house.pk, usd.pk, "loan_receivable", bucket.pk),
        AccountKey(client.pk, usd.pk, "residual_interest"),
    )
    ids = open_accounts(keys)
    claim, bank, house_bank, loan, residual = (ids[key] for key in keys)
    for kind, legs in (
        ("borrow", [(bank, amount), (claim, -amount), (house_bank, -amount), (loan, amount)]),
        ("fee", [(claim, amount), (residual, -amount)]),
    ):
        post_entry(
            Draft(
                key=f"{kind} {bucket.pk}", kind=kind, effective_at=AT, reference=kind,
                legs=[Leg(account, change) for account, change in legs],
            )
        )  # fmt: skip


# ---------------------------------------------------------------- blocks


def test_a_block_holds_a_client_until_its_time_and_a_clean_sweep(
    firm: LegalEntity, superuser: psycopg.Connection[tuple[object, ...]]
) -> None:
    bucket = margined("cross")
    client = bucket.account.client
    assert client is not None
    with acting(JOB, reason="An outage"):
        block = block_outflows(
            legal_entity=firm, cause="outage", detail="The venue did not answer.", client=client
        )
    assert [each.id for each in blocks_on(bucket.account_id)] == [block.pk]
    with pytest.raises(WithdrawalRefusedError) as refused:
        withdraw(payment(bucket, Decimal(1), key="W1"), actor=JOB, reason="One dollar")
    assert (refused.value.term, refused.value.free_amount) == ("block", 0)
    with pytest.raises(RefusedError) as early:
        lift(block, actor=JOB, reason="Too early")
    assert early.value.rule == "block_ends_with_a_clean_sweep"
    run = MarginRun.objects.latest("pk")
    with acting(JOB, reason="Looks at the accounts"):
        sweep(block, run)
    with pytest.raises(RefusedError) as early:
        lift(block, actor=JOB, reason="Too early")
    assert early.value.rule == "block_lasts_its_time"

    # Its time runs out; the look before that does not count, the one after does.
    past(superuser, block)
    with pytest.raises(RefusedError) as unswept:
        lift(block, actor=JOB, reason="Not looked at since")
    assert unswept.value.rule == "block_ends_with_a_clean_sweep"
    with acting(JOB, reason="Looks at the accounts"):
        dirty = BlockSweep.objects.create(
            block=block, run_number=run.number, scopes_swept=3, scopes_negative=1
        )
    with pytest.raises(RefusedError) as negative:
        lift(block, actor=JOB, reason="One is negative")
    assert negative.value.rule == "block_ends_with_a_clean_sweep"
    assert dirty.scopes_negative == 1
    with acting(JOB, reason="Looks at the accounts"):
        clean = sweep(block, run)
    assert (clean.scopes_negative, clean.scopes_swept > 0) == (0, True)
    lift(block, actor=JOB, reason="Clean again")
    assert blocks_on(bucket.account_id) == []
    withdraw(payment(bucket, Decimal(1), key="W1"), actor=JOB, reason="One dollar")


def past(superuser: psycopg.Connection[tuple[object, ...]], block: OutflowBlock) -> None:
    """Let a block's time have run, which nobody but the superuser of a test can."""
    superuser.execute("ALTER TABLE ledger_outflowblock DISABLE TRIGGER ALL")
    superuser.execute(
        "UPDATE ledger_outflowblock SET lasts_until = clock_timestamp() WHERE id = %s", [block.pk]
    )


def test_the_book_itself_refuses_what_is_blocked(firm: LegalEntity) -> None:
    found = Balance.objects.filter(
        account__account_class="claim", account__asset__code=USD,
        account__margin_account__mode="isolated", account__bucket__code="FREE", amount__lt=-10,
    ).select_related("account__bucket__account__client")[0]  # fmt: skip
    bucket = found.account.bucket
    assert bucket is not None
    with acting(JOB, reason="An outage"):
        block_outflows(legal_entity=firm, cause="outage", detail="Everything is held.")
    where = Location.objects.get(code="bank:client-usd")
    with acting(JOB, reason="Opens the bank's account"):
        custody = AccountKey(where.pool_id, found.account.asset_id, "custody", None, where.pk)
        bank = open_accounts([custody])[custody]
    draft = Draft(
        key="past margin", kind="withdrawal", effective_at=AT, reference="W9",
        legs=[Leg(found.account_id, Decimal(1)), Leg(bank, Decimal(-1))],
    )  # fmt: skip
    with pytest.raises(RefusedError) as refused, acting(JOB, reason="Past margin"):
        post_entry(draft)
    assert refused.value.rule == "outflow_is_blocked"


def test_a_run_sets_a_block_where_the_rule_of_the_firm_says_so(firm: LegalEntity) -> None:
    desk = found_desk(entity=firm)
    run = MarginRun.objects.latest("pk")
    results = list(
        run.results.select_related("scope__bucket__account__client", "agreement_version")
    )
    negative = min(results, key=lambda result: result.equity)
    negative.equity = Decimal("-12.50")
    with acting(JOB, reason="A run"):
        assert block_negative_accounts([negative], run=run) == 0
    asked = request_rule(
        cause="negative_account", lasts_for=timedelta(minutes=5), is_automatic=True,
        effective_from=date(2031, 3, 1), reason="Runs shall block by themselves.",
        legal_entity=firm, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    decide(asked, desk[Role.COMPLIANCE])
    apply_approved(Approval.objects.get(pk=asked), actor=person(desk[Role.COMPLIANCE]))
    with acting(JOB, reason="A run"):
        assert block_negative_accounts([negative], run=run) == 1
        assert block_negative_accounts([negative], run=run) == 0
    (block,) = live_blocks()
    assert negative.scope.bucket is not None
    assert block.client == negative.scope.bucket.account.client
    assert "-12.50" in block.detail


def test_a_payment_beyond_the_claim_names_the_claim(firm: LegalEntity) -> None:
    bucket = Bucket.objects.filter(account__mode="cash").select_related("account__client")[0]
    usd = Asset.objects.get(code=USD)
    asked = Payment(
        key="W1", bucket=bucket, asset=usd, amount=Decimal(10) ** 12, reference="W1",
        location=Location.objects.get(code="bank:client-usd"), effective_at=AT,
    )  # fmt: skip
    with pytest.raises(WithdrawalRefusedError) as refused:
        withdraw(asked, actor=JOB, reason="Far too much")
    assert refused.value.term == free_amount(bucket, usd, gate=newest_gate()).binding.name


def test_money_on_its_way_for_too_long_is_a_task_until_it_arrives(firm: LegalEntity) -> None:
    client = Pool.objects.get(code="CLIENT")
    usd = Asset.objects.get(code=USD)
    bank = Location.objects.get(code="bank:client-usd")
    house, house_bank = Pool.objects.get(code="HOUSE"), Location.objects.get(code="bank:house-usd")
    bucket = margined("cross")
    keys = (
        AccountKey(client.pk, usd.pk, "in_transit"),
        AccountKey(client.pk, usd.pk, "claim", bucket.pk),
        AccountKey(house.pk, usd.pk, "custody", None, house_bank.pk),
        AccountKey(house.pk, usd.pk, "loan_receivable", bucket.pk),
        AccountKey(client.pk, usd.pk, "custody", None, bank.pk),
    )

    def post(kind: str, at: datetime, *legs: tuple[int, int]) -> None:
        with acting(JOB, reason="A loan whose line the bank did not send"):
            ids = open_accounts(keys)
            post_entry(
                Draft(
                    key=kind, kind=kind, effective_at=at, reference="LOAN-7",
                    legs=[Leg(ids[keys[place]], Decimal(amount)) for place, amount in legs],
                )
            )  # fmt: skip

    run = MarginRun.objects.latest("pk")
    left = datetime(2031, 3, 4, 20, tzinfo=UTC)
    post("borrow_in_transit", left, (0, 40), (1, -40), (2, -40), (3, 40))
    assert list(transit_tasks(run)) == []
    run.business_day = date(2031, 3, 7)
    (needed,) = transit_tasks(run)
    assert needed.subject == "40.00 USD for CLIENT on the way since 2031-03-04"
    assert "3 business days; 2 are allowed" in needed.detail
    post("transit_in", AT, (0, -40), (4, 40))
    assert list(transit_tasks(run)) == []
