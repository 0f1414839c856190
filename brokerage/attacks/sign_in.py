"""Attacks on how people prove who they are: second factors, codes on paper, what is asked."""

from brokerage.attacks.forms import by_owner, by_person, copy, row


def _factor(**changed: str) -> str:
    """A code generator of somebody of risk, written by hand."""
    right = {
        "id": "gen_random_uuid()", "operator_id": "$risk", "kind": "'totp'",
        "label": "'attack'", "secret": "decode('00', 'hex')", "step": "5", "added_at": "now()",
        "confirmed_at": "now()",
    }  # fmt: skip
    return row("accounts_secondfactor", **right | changed)


def _code(**changed: str) -> str:
    right = {"operator_id": "$risk", "digest": "decode('00', 'hex')", "made_at": "now()"}
    return row("accounts_recoverycode", **right | changed)


def _rule(minutes: str) -> str:
    return row(
        "accounts_signinrule", legal_entity_id="$entity", second_factor_for="'{}'",
        proof_minutes=minutes,
    )  # fmt: skip


def _edit(table: str, change: str) -> str:
    return f"UPDATE {table} SET {change} WHERE operator_id = $risk"


SIGN_IN = [
    by_person("treasury", "factor_is_enrolled_by_its_owner", "one's own phone for somebody else",
              _factor()),
    by_person("treasury", "factor_is_enrolled_by_its_owner", "a code on paper made for another",
              _code()),
    by_person("risk", "factor_is_of_a_kind", "a generator that is a passkey too",
              _factor(public_key="decode('00', 'hex')")),
    by_person("risk", "factor_label_is_unique", "two factors of one name",
              _factor(), _factor(added_at="now()")),
    by_person("risk", "factor_stays_as_enrolled", "a factor with another secret",
              _factor(), _edit("accounts_secondfactor",
                               "secret = decode('02', 'hex'), step = 6")),
    by_person("risk", "factor_stays_as_enrolled", "a factor that becomes somebody else's",
              _factor(), _edit("accounts_secondfactor", "operator_id = $treasury")),
    by_person("risk", "code_is_used_once", "a code that was used before",
              _factor(), _edit("accounts_secondfactor", "step = 4")),
    by_person("risk", "recovery_code_is_used_once", "a code on paper used again",
              _code(used_at="now()"), _edit("accounts_recoverycode", "used_at = now()")),
    by_person("risk", "recovery_code_stays_as_made", "a code on paper that becomes another",
              _code(), _edit("accounts_recoverycode", "digest = decode('01', 'hex')")),
    by_person("risk", "session_has_its_second_factor", "a password alone where a factor is set up",
              _factor(), "SELECT accounts.open_session($risk, 'attack', interval '1 hour')"),
    by_owner("proof_lasts_one_to_sixty_minutes", "a proof that is good for ever", _rule("6000")),
    by_owner("sign_in_is_changed_by_two", "what is asked of people, changed by one", _rule("60")),
    by_owner("conflict_is_changed_by_two", "a conflict of duties, changed by one",
             copy("accounts_dutyconflict", "legal_entity_id IS NULL")),
    by_owner("emergency_rule_is_unique", "an emergency permitted twice",
             copy("accounts_emergencyrule", "true")),
]  # fmt: skip
