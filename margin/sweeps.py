"""Looking at every account under a block, and setting blocks where a run says a rule wants one."""

from collections.abc import Iterable

from django.db.models import Q

from accounts.models import AccountGroup, GroupMember
from ledger.blocks import block_outflows, is_automatic
from ledger.models import BlockRule, BlockSweep, OutflowBlock
from margin.models import MarginResult, MarginRun
from margin.standing_results import standing_runs

MAY_BE_NEGATIVE = BlockRule.Cause.NEGATIVE


def swept_results(block: OutflowBlock, run: MarginRun) -> "list[MarginResult]":
    """What a run says of every scope that the block covers, and of the newest what came since."""
    account = "scope__bucket__account"
    runs = standing_runs()
    said = runs.results() if runs.whole == run else MarginResult.objects.filter(run=run)
    found = said.filter(**{f"{account}__legal_entity": block.legal_entity_id})
    if block.client_id is not None:
        found = found.filter(**{f"{account}__client": block.client_id})
    if block.group_id is not None:
        members = GroupMember.objects.filter(group=block.group_id, left_on__isnull=True)
        found = found.filter(
            Q(**{f"{account}__in": members.values("account_id")})
            | Q(**{f"{account}__margin_group": block.group_id})
        )
    return list(found)


def sweep(block: OutflowBlock, run: MarginRun) -> BlockSweep:
    """Record what a run says of the accounts under a block; call inside an act."""
    results = swept_results(block, run)
    return BlockSweep.objects.create(
        block=block,
        run_number=run.number,
        scopes_swept=len(results),
        scopes_negative=sum(result.equity < 0 for result in results),
    )


def block_negative_accounts(results: Iterable[MarginResult], *, run: MarginRun) -> int:
    """Block what leaves the groups of negative accounts, where the firm's rule says so.

    A negative account that is in no group blocks all accounts of its client. Call inside the act
    of the run.

    Returns:
        How many blocks were set.
    """
    made = 0
    automatic: dict[int, bool] = {}
    for result in results:
        if result.equity >= 0:
            continue
        bucket = result.scope.bucket
        if bucket is None:
            continue
        account = bucket.account
        firm = account.legal_entity_id
        if firm not in automatic:
            automatic[firm] = is_automatic(firm, MAY_BE_NEGATIVE, day=run.business_day)
        if not automatic[firm]:
            continue
        member = GroupMember.objects.filter(account=account, left_on__isnull=True).first()
        own = AccountGroup.objects.filter(account=account).first()
        group = member.group if member is not None else own
        client = None if group is not None else account.client
        if group is None and client is None:
            continue
        standing = OutflowBlock.objects.filter(
            lift__isnull=True, cause=MAY_BE_NEGATIVE, group=group, client=client
        )
        if not standing.exists():
            block_outflows(
                legal_entity=account.legal_entity, cause=MAY_BE_NEGATIVE, group=group,
                client=client,
                detail=f"{account.code} {bucket.code} stands at {result.equity:,.2f}"
                f" in run {run.number}",
            )  # fmt: skip
            made += 1
    return made
