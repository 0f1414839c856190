"""Which terms an account is under on a day; where no agreement is in force there are none."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final

from accounts.models import Agreement, AgreementVersion

# The newest agreement of the account that began by that day, if it has not ended; of that one the
# newest version that began by then. An agreement without a version in force gives no terms: the
# one before it has been replaced, so falling back to it would be a default. At a horizon only rows
# count that it knew, and a signature ends as the trail says it did then.
IN_FORCE_IDS: Final = """
    SELECT signed.account_id, version.id
    FROM (
        SELECT DISTINCT ON (account_id) id, account_id, agreement_id, effective_to
        FROM accounts_accountagreement
        WHERE effective_from <= %(day)s
          AND (%(accounts)s::bigint[] IS NULL OR account_id = ANY (%(accounts)s::bigint[]))
          AND (%(known)s::text IS NULL
               OR pg_visible_in_snapshot(xid, %(known)s::text::pg_snapshot))
        ORDER BY account_id, effective_from DESC
    ) signed
    LEFT JOIN LATERAL (
        SELECT true AS is_later, (r.before ->> 'effective_to')::date AS stood
        FROM accounts_auditrow r
        WHERE %(known)s::text IS NOT NULL AND signed.effective_to IS NOT NULL
          AND r.table_name = 'accounts_accountagreement' AND r.row_key = signed.id::text
          AND r.operation = 'update'
          AND NOT pg_visible_in_snapshot(r.xid, %(known)s::text::pg_snapshot)
        ORDER BY r.id LIMIT 1
    ) later ON signed.effective_to IS NOT NULL
    JOIN (
        SELECT DISTINCT ON (agreement_id) agreement_id, id
        FROM accounts_agreementversion
        WHERE effective_from <= %(day)s
          AND (%(known)s::text IS NULL
               OR pg_visible_in_snapshot(xid, %(known)s::text::pg_snapshot))
        ORDER BY agreement_id, effective_from DESC
    ) version ON version.agreement_id = signed.agreement_id
    WHERE (CASE WHEN later.is_later THEN later.stood ELSE signed.effective_to END
           > %(day)s) IS NOT FALSE
"""
IN_FORCE: Final = f"""
    SELECT version.*, signed.account_id, agreement.code AS agreement_code,
           agreement.legal_entity_id AS agreement_entity_id
    FROM ({IN_FORCE_IDS}) signed
    JOIN accounts_agreementversion version ON version.id = signed.id
    JOIN accounts_agreement agreement ON agreement.id = version.agreement_id
    ORDER BY signed.account_id
"""  # noqa: S608 - fixed texts


def terms_in_force(
    day: date, *, account_ids: Sequence[int] | None = None, known: str | None = None
) -> dict[int, AgreementVersion]:
    """Terms by account id on `day`; an account without terms is absent. One query.

    Accounts under the same version share one object, whose `agreement` is read already.

    Args:
        day: the business day.
        account_ids: only these accounts; all if None.
        known: the snapshot of a committed horizon, which counts what it knew; now if None.
    """
    asked = {
        "day": day,
        "accounts": None if account_ids is None else list(account_ids),
        "known": known,
    }
    shared: dict[int, AgreementVersion] = {}
    terms: dict[int, AgreementVersion] = {}
    rows: Iterable[Any] = AgreementVersion.objects.raw(IN_FORCE, asked)
    for row in rows:
        if row.pk not in shared:
            row.agreement = Agreement(
                pk=row.agreement_id,
                code=row.agreement_code,
                legal_entity_id=row.agreement_entity_id,
            )
            shared[row.pk] = row
        terms[row.account_id] = shared[row.pk]
    return terms


def account_terms(account_id: int, *, day: date) -> AgreementVersion | None:
    """The terms of one account on `day`, or None."""
    return terms_in_force(day, account_ids=[account_id]).get(account_id)
