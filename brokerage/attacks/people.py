"""Attacks on who acts, on history, on four eyes and on roles."""

from brokerage.attacks.forms import Attack, by_nobody, by_owner, by_person, copy, row

_LONG = "A reason that is long enough"
_DECIDED = f"decision = 'approved', decided_at = clock_timestamp(), decision_reason = '{_LONG}'"
_USED = "used_xid = pg_current_xact_id(), used_at = clock_timestamp()"


def _edit(which: str, change: str) -> str:
    return f"UPDATE accounts_approval SET {change} WHERE id = '${which}'"


def _ask(action: str = "role.grant", *, reason: str = _LONG, entity: str = "$entity") -> str:
    return (
        f"SELECT accounts.request_approval({entity}, '{action}', 'attack',"
        f" '$role_payload'::jsonb, '{reason}')"
    )


def _decide(which: str, *, reason: str = _LONG) -> str:
    return f"SELECT accounts.decide_approval('${which}', 'approved', '{reason}')"


def _request(**changed: str) -> str:
    """A request written by hand."""
    right = {
        "id": "gen_random_uuid()", "number": "900000", "legal_entity_id": "$entity",
        "action_id": "'role.grant'", "subject": "'by hand'", "payload": "'{}'",
        "payload_sha256": "accounts.payload_sha256('{}')", "reason": f"'{_LONG}'",
        "maker_id": "$administrator", "made_at": "clock_timestamp()",
        "expires_at": "clock_timestamp() + interval '1 hour'", "decision": "''",
        "decision_reason": "''",
    }  # fmt: skip
    return row("accounts_approval", **right | changed)


def _block(**changed: str) -> str:
    """The first seal, written by hand over the oldest history."""
    right = {
        "number": "1", "epoch": "1", "from_xid": "'3'", "to_xid": "'4'", "leaf_count": "0",
        "layout": "'{}'", "root": "''", "previous_hash": "decode(repeat('00', 32), 'hex')",
        "head_hash": "''", "signature": "''", "sealed_at": "now()",
    }  # fmt: skip
    return row("accounts_sealblock", **right | changed)


ACTORS = [
    by_nobody("change_has_an_actor", "a client that nobody adds",
              "UPDATE accounts_legalentity SET name = name || '.' WHERE id = $entity"),
    by_owner("transaction_has_one_actor", "two actors in one transaction",
             "SELECT accounts.act('system:command:other', NULL, 'command', '', 'x')"),
    by_nobody("person_acts_through_a_session", "a person without a session",
              "SELECT accounts.act('operator:attack.risk', NULL, 'screen', '', 'x')",
              who="runtime"),
    by_nobody("person_acts_through_a_session", "a person written by hand",
              row("accounts_act", actor="'operator:attack.risk'", channel="'screen'",
                  request_id="''", reason="''")),
    by_nobody("session_is_live", "a session that has ended",
              "SELECT accounts.act(NULL, '$key_ended', 'screen', '', 'x')", who="runtime"),
    by_nobody("session_is_live", "a session of somebody else, by hand",
              row("accounts_act", actor="'operator:attack.risk'", operator_id="$risk",
                  session_id="(SELECT min(id::text)::uuid FROM accounts_operatorsession"
                             " WHERE operator_id = $treasury)",
                  channel="'screen'", request_id="''", reason="''")),
    by_nobody("session_stays_as_opened", "a session prolonged",
              "UPDATE accounts_operatorsession SET expires_at = expires_at + interval '1 day'"
              " WHERE operator_id = $risk"),
    by_nobody("session_stays_as_opened", "a session passed on",
              "UPDATE accounts_operatorsession SET operator_id = $risk"
              " WHERE operator_id = $treasury"),
    by_nobody("row_carries_its_transaction", "a header of another transaction",
              row("accounts_act", actor="'system:command:x'", channel="'command'",
                  request_id="''", reason="''", xid="'3'")),
    by_owner("trail_writes_itself", "a line of the trail written by hand",
             row("accounts_auditrow", table_name="'accounts_client'", operation="'update'",
                 row_key="'1'", before="'{}'", after="'{}'")),
    *(by_owner(rule, says, _block(**changed)) for rule, says, changed in (
        ("seal_block_goes_forward", "a seal over nothing", {"to_xid": "'3'"}),
        ("block_follows_the_chain", "a seal out of its turn", {"number": "900000"}),
        ("block_follows_the_chain", "a seal after another history", {"previous_hash": "'x'"}),
        ("block_ends_below_the_horizon", "a seal over what is still being written",
         {"to_xid": "'999999999999'"}),
        ("block_has_its_leaves", "a seal that counts leaves it has not", {"leaf_count": "5"}),
    )),
]  # fmt: skip

_SEALED = (
    "ledger_entry", "ledger_posting", "ledger_entrykey", "ledger_loss", "ledger_releaseuse",
    "ledger_release", "ledger_statementline", "accounts_act", "accounts_auditrow",
    "accounts_sealblock", "accounts_sealleaf", "margin_price", "margin_marginresult",
)  # fmt: skip
_KEPT = (
    "accounts_client", "accounts_marginaccount", "accounts_bucket", "accounts_approval",
    "accounts_rolegrant", "accounts_operator", "ledger_location", "ledger_break",
)  # fmt: skip
HISTORY = [
    *(by_nobody("history_is_append_only", f"{verb} of {table}", statement)
      for table in _SEALED
      for verb, statement in (
          ("deletion", f"DELETE FROM {table}"), ("truncation", f"TRUNCATE {table} CASCADE"),
      )),
    by_owner("history_is_append_only", "an amount changed",
             "UPDATE ledger_posting SET amount = amount + 1 WHERE account_id = $alice"),
    by_owner("history_is_append_only", "an entry re-dated",
             "UPDATE ledger_entry SET effective_at = effective_at - interval '1 day'"),
    by_owner("history_is_append_only", "an actor renamed",
             "UPDATE accounts_act SET actor = 'system:command:nobody'"),
    by_owner("history_is_append_only", "a line of the trail changed",
             "UPDATE accounts_auditrow SET after = '{}'"),
    *(by_owner("row_is_kept", f"rows of {table} deleted", f"DELETE FROM {table}")
      for table in _KEPT),
]  # fmt: skip

REQUESTS = [
    by_person("administrator", "approval_begins_undecided", "a request born approved",
              _request(decision="'approved'", checker_id="$administrator_2",
                       decided_at="clock_timestamp()")),
    by_person("administrator", "approval_begins_undecided", "a request with another content's hash",
              _request(payload_sha256="accounts.payload_sha256('{\"a\": 1}')")),
    by_person("administrator", "maker_is_the_session", "a request in another's name",
              _request(maker_id="$administrator_2")),
    by_person("risk", "maker_holds_the_role", "a request without the role for it",
              _ask(), who="runtime"),
    by_person("administrator", "approval_has_an_action", "a request for something unknown",
              _ask("money.print"), who="runtime"),
    by_person("administrator", "approval_has_a_reason", "a request without a reason",
              _ask(reason="x"), who="runtime"),
    by_person("administrator", "maker_holds_the_role", "a request at another firm",
              _ask(entity="$other_entity"), who="runtime"),
    by_person("administrator", "approval_exists", "a decision on no request",
              "SELECT accounts.decide_approval(gen_random_uuid(), 'approved', 'x')",
              who="runtime"),
    by_person("administrator", "approval_is_not_ones_own", "a decision on one's own request",
              _decide("asked"), who="runtime"),
    by_person("risk", "checker_holds_the_role", "a decision without the role for it",
              _decide("asked"), who="runtime"),
    by_person("administrator_2", "approval_is_decided_once", "a second decision",
              _decide("rejected"), who="runtime"),
    by_person("administrator_2", "approval_has_a_reason", "a decision without a reason",
              _decide("asked", reason="x"), who="runtime"),
    by_person("administrator_2", "checker_is_the_session", "a decision in another's name",
              _edit("asked", f"checker_id = $compliance, {_DECIDED}")),
    by_owner("session_is_live", "a decision by a machine", _decide("asked")),
    by_person("administrator", "approval_stays_as_asked", "a request whose content changes",
              _edit("asked", "payload = '{}', payload_sha256 = accounts.payload_sha256('{}')")),
    by_person("administrator", "approval_stays_as_asked", "a request that lives longer",
              _edit("asked", "expires_at = expires_at + interval '1 day'")),
    by_owner("approval_is_given", "the use of what nobody approved", _edit("asked", _USED)),
    by_owner("approval_is_used_once", "an approval used again", _edit("used", _USED)),
    by_owner("row_carries_its_transaction", "an approval used in another transaction",
             _edit("approved", "used_xid = '3', used_at = clock_timestamp()")),
    by_owner("approval_is_used_once", "a role given twice by one approval",
             "SELECT accounts.grant_role('$used')"),
    by_owner("approval_is_for_this", "an approval of a role used for an erasure",
             "SELECT accounts.erase_person('$approved')"),
]  # fmt: skip

ROLES = [
    by_owner("role_is_given_by_two", "a role given by one person",
             row("accounts_rolegrant", operator_id="$newcomer", role="'treasury'",
                 legal_entity_id="$entity", desk="'x'", granted_xid="pg_current_xact_id()")),
    by_owner("role_is_taken_by_two", "a role taken away by one person",
             "UPDATE accounts_rolegrant SET revoked_xid = pg_current_xact_id() WHERE id = $grant"),
    by_owner("role_grant_stays_as_given", "a role that becomes another",
             "UPDATE accounts_rolegrant SET role = 'administrator' WHERE id = $grant"),
    by_owner("role_grant_stays_as_given", "a role passed on",
             "UPDATE accounts_rolegrant SET operator_id = $auditor WHERE id = $grant"),
    by_owner("role_is_known", "a role there is not",
             row("accounts_rolegrant", operator_id="$newcomer", role="'owner'",
                 legal_entity_id="$entity", desk="''", granted_xid="pg_current_xact_id()")),
    by_owner("role_is_held_once", "a role held twice",
             copy("accounts_rolegrant", "id = $grant")),
    by_owner("row_carries_its_transaction", "a role given in another transaction",
             row("accounts_rolegrant", operator_id="$newcomer", role="'risk'",
                 legal_entity_id="$entity", desk="''", granted_xid="'3'")),
    by_owner("desk_is_founded_once", "first roles given twice",
             "SELECT accounts.found_desk($entity, '[]')"),
    by_owner("desk_has_two_administrators", "a desk with one administrator",
             "SELECT accounts.found_desk($other_entity,"
             " '[{\"operator\": $newcomer, \"role\": \"administrator\"}]')"),
    by_owner("operator_stays_itself", "an operator who becomes another",
             "UPDATE accounts_operator SET username = 'another' WHERE id = $risk"),
    Attack("roles_do_not_conflict", "an administrator who moves money",
           (row("accounts_rolegrant", operator_id="$newcomer", role="'administrator'",
                legal_entity_id="$other_entity", desk="''", granted_xid="pg_current_xact_id()")
            + ", ($administrator, 'administrator', $other_entity, '', pg_current_xact_id()),"
            " ($administrator, 'treasury', $other_entity, '', pg_current_xact_id())",)),
]  # fmt: skip

PEOPLE_RULES = (*ACTORS, *HISTORY, *REQUESTS, *ROLES)
