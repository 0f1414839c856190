"""Which terms an account is under on a day. Where no agreement is in force there are none."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from accounts.models import Agreement, AgreementVersion

# The newest agreement of the account that began by that day, if it has not ended; of that one the
# newest version that began by then. An agreement without a version in force gives no terms: the
# one before it has been replaced, so falling back to it would be a default.
IN_FORCE = """
    SELECT version.*, signed.account_id, agreement.code AS agreement_code,
           agreement.legal_entity_id AS agreement_entity_id
    FROM (
        SELECT DISTINCT ON (account_id) account_id, agreement_id, effective_to
        FROM accounts_accountagreement
        WHERE effective_from <= %(day)s
          AND (%(accounts)s::bigint[] IS NULL OR account_id = ANY (%(accounts)s::bigint[]))
        ORDER BY account_id, effective_from DESC
    ) signed
    JOIN accounts_agreement agreement ON agreement.id = signed.agreement_id
    JOIN LATERAL (
        SELECT * FROM accounts_agreementversion v
        WHERE v.agreement_id = signed.agreement_id AND v.effective_from <= %(day)s
        ORDER BY v.effective_from DESC LIMIT 1
    ) version ON true
    WHERE signed.effective_to IS NULL OR signed.effective_to > %(day)s
    ORDER BY signed.account_id
"""


def terms_in_force(
    day: date, *, account_ids: Sequence[int] | None = None
) -> dict[int, AgreementVersion]:
    """Terms by account id on `day`; an account without terms is absent. One query.

    Accounts under the same version share one object, whose `agreement` is read already.

    Args:
        day: the business day.
        account_ids: only these accounts; all if None.
    """
    asked = {"day": day, "accounts": None if account_ids is None else list(account_ids)}
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
