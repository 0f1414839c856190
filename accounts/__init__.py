"""WHO: legal entities, clients, account tree, agreements, operators, approvals, audit trail."""
