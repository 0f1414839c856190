"""WHO: legal entities, clients, the account tree, agreements, operators, approvals, the audit trail."""
