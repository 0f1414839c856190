-- Why value may move: one row per kind, one row per leg it permits. Anything else is refused as
-- `entry_fits_its_kind`. Two clients meet only in internal_trade, client_transfer, deleveraging.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'entry kinds')
ON CONFLICT (xid) DO NOTHING;
SELECT accounts.watch('ledger_entrykind', 'code');
SELECT accounts.watch('ledger_kindleg', 'id');

INSERT INTO ledger_entrykind (code, title, pools_max, clients_max, accounts_max, buckets_max,
                              needs_approval, needs_release, keeps_custody) VALUES
    ('opening', 'Opening balance', 1, 1, 1, 1, false, false, false),
    ('deposit', 'Deposit', 1, 1, 1, 1, false, false, false),
    ('withdrawal', 'Withdrawal', 1, 1, 1, 1, false, true, false),
    ('custody_move', 'Move between locations', 1, 0, 0, 0, false, false, true),
    ('bucket_move', 'Move between buckets', 1, 1, 1, 2, false, true, true),
    ('borrow', 'Loan paid out', 2, 1, 1, 1, false, false, true),
    ('repay', 'Loan repaid', 2, 1, 1, 1, false, true, true),
    ('security_trade', 'Securities trade', 1, 1, 1, 1, false, false, true),
    ('derivative_trade', 'Derivatives trade', 1, 1, 1, 1, false, false, true),
    ('covered_loss', 'Trade with a loss beyond its bucket, paid by the firm', 3, 1, 1, 1, false, false, true),
    ('uncovered_loss', 'Trade with a loss beyond its bucket, not all of it paid', 3, 1, 1, 1, false, false, true),
    ('fee', 'Fee', 1, 1, 1, 1, false, false, true),
    ('interest', 'Interest to a client', 1, 1, 1, 1, true, false, true),
    ('refund', 'Refund to a client', 1, 1, 1, 1, true, false, true),
    ('compensation', 'Compensation to a client', 1, 1, 1, 1, true, false, true),
    ('residual_withdrawal', 'Residual interest to the firm', 2, 0, 0, 0, true, false, true),
    ('residual_deposit', 'Firm money into a client pool', 2, 0, 0, 0, true, false, true),
    ('shortfall_funding', 'Shortfall paid by the firm', 2, 0, 0, 0, true, false, true),
    ('insurance_funding', 'Firm money into the insurance fund', 2, 0, 0, 0, true, false, true),
    ('bank_error', 'Money missing through a bank''s error', 1, 0, 0, 0, true, false, false),
    ('house_expense', 'Expense of the firm', 1, 0, 0, 0, false, false, false),
    ('house_income', 'Income of the firm', 1, 0, 0, 0, false, false, false),
    ('unidentified_receipt', 'Receipt without an owner', 1, 0, 0, 0, false, false, false),
    ('receipt_allocation', 'Receipt given to its owner', 1, 1, 1, 1, true, false, true),
    ('receipt_return', 'Receipt returned', 1, 0, 0, 0, true, false, false),
    ('internal_trade', 'Trade between two clients', 1, 2, 2, 2, false, false, true),
    ('client_transfer', 'Transfer between two clients', 1, 2, 2, 2, true, true, true),
    ('deleveraging', 'Deleveraging between two clients', 1, 2, 2, 2, true, false, true),
    ('write_off', 'Difference written off to the firm', 1, 0, 0, 0, true, false, false),
    ('transit_out', 'Money sent, not yet there', 1, 0, 0, 0, true, false, false),
    ('transit_in', 'Money arrived from transit', 1, 0, 0, 0, false, false, false),
    ('manual_journal', 'Manual journal of the firm''s own books', 1, 0, 0, 0, true, false, false),
    ('reversal', 'Reversal of an entry', 3, 2, 2, 2, true, false, false);

-- Required: an entry of the kind has such a leg, on one side or the other, in each pool of that
-- owner class that it touches; a kind of several pools has all of them.
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT k.kind, k.class, owner, asset, side, k.required
FROM (VALUES
    -- kind, class, owner classes, asset kinds, sides, required
    ('opening', 'custody', '{CLIENT,HOUSE,HOUSE_PROP,INSURANCE}', '{money,security}', '{debit}', false),
    ('opening', 'custody', '{CLIENT,HOUSE_PROP}', '{derivative}', '{debit,credit}', false),
    ('opening', 'claim', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', '{credit}', false),
    ('opening', 'position', '{CLIENT,HOUSE,HOUSE_PROP}', '{security}', '{credit}', false),
    ('opening', 'position', '{CLIENT,HOUSE_PROP}', '{derivative}', '{debit,credit}', false),
    ('opening', 'residual_interest', '{CLIENT}', '{money,security,derivative}', '{credit}', false),
    ('opening', 'shortfall', '{CLIENT}', '{money,security,derivative}', '{debit}', false),
    ('opening', 'own_equity', '{HOUSE,HOUSE_PROP,INSURANCE}', '{money,security,derivative}', '{debit,credit}', false),
    ('opening', 'loan_receivable', '{HOUSE}', '{money}', '{debit}', false),
    ('opening', 'opening', '{CLIENT,HOUSE,HOUSE_PROP,INSURANCE}', '{money,security,derivative}', '{debit,credit}', true),
    ('deposit', 'claim', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', '{credit}', true),
    ('deposit', 'custody', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', '{debit}', true),
    ('withdrawal', 'claim', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', '{debit}', true),
    ('withdrawal', 'custody', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', '{credit}', true),
    ('custody_move', 'custody', '{CLIENT,HOUSE,HOUSE_PROP,INSURANCE}', '{money,security}', '{debit,credit}', true),
    ('bucket_move', 'claim', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', '{debit,credit}', true),
    ('borrow', 'claim', '{CLIENT}', '{money}', '{credit}', true),
    ('borrow', 'custody', '{CLIENT}', '{money}', '{debit}', true),
    ('borrow', 'custody', '{HOUSE}', '{money}', '{credit}', true),
    ('borrow', 'loan_receivable', '{HOUSE}', '{money}', '{debit}', true),
    ('repay', 'claim', '{CLIENT}', '{money}', '{debit}', true),
    ('repay', 'custody', '{CLIENT}', '{money}', '{credit}', true),
    ('repay', 'custody', '{HOUSE}', '{money}', '{debit}', true),
    ('repay', 'loan_receivable', '{HOUSE}', '{money}', '{credit}', true),
    ('security_trade', 'position', '{CLIENT,HOUSE,HOUSE_PROP}', '{security}', '{debit,credit}', true),
    ('security_trade', 'custody', '{CLIENT,HOUSE,HOUSE_PROP}', '{security,money}', '{debit,credit}', false),
    ('security_trade', 'claim', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', '{debit,credit}', false),
    ('security_trade', 'residual_interest', '{CLIENT}', '{money}', '{credit}', false),
    ('security_trade', 'own_equity', '{HOUSE,HOUSE_PROP}', '{money}', '{credit}', false),
    ('derivative_trade', 'position', '{CLIENT,HOUSE_PROP}', '{derivative}', '{debit,credit}', true),
    ('derivative_trade', 'custody', '{CLIENT,HOUSE_PROP}', '{derivative,money}', '{debit,credit}', false),
    ('derivative_trade', 'claim', '{CLIENT,HOUSE_PROP}', '{money}', '{debit,credit}', false),
    ('derivative_trade', 'residual_interest', '{CLIENT}', '{money}', '{credit}', false),
    ('derivative_trade', 'own_equity', '{HOUSE_PROP}', '{money}', '{credit}', false),
    ('covered_loss', 'position', '{CLIENT}', '{derivative}', '{debit,credit}', true),
    ('covered_loss', 'custody', '{CLIENT}', '{derivative,money}', '{debit,credit}', false),
    ('covered_loss', 'claim', '{CLIENT}', '{money}', '{debit}', false),
    ('covered_loss', 'custody', '{HOUSE,INSURANCE}', '{money}', '{credit}', false),
    ('covered_loss', 'own_equity', '{HOUSE,INSURANCE}', '{money}', '{debit}', false),
    ('uncovered_loss', 'position', '{CLIENT}', '{derivative}', '{debit,credit}', true),
    ('uncovered_loss', 'custody', '{CLIENT}', '{derivative,money}', '{debit,credit}', false),
    ('uncovered_loss', 'claim', '{CLIENT}', '{money}', '{debit}', false),
    ('uncovered_loss', 'custody', '{HOUSE,INSURANCE}', '{money}', '{credit}', false),
    ('uncovered_loss', 'own_equity', '{HOUSE,INSURANCE}', '{money}', '{debit}', false),
    ('uncovered_loss', 'shortfall', '{CLIENT}', '{money}', '{debit}', true),
    ('fee', 'claim', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', '{debit}', true),
    ('fee', 'residual_interest', '{CLIENT}', '{money}', '{credit}', false),
    ('fee', 'own_equity', '{HOUSE,HOUSE_PROP}', '{money}', '{credit}', false),
    ('interest', 'residual_interest', '{CLIENT}', '{money}', '{debit}', true),
    ('interest', 'claim', '{CLIENT}', '{money}', '{credit}', true),
    ('refund', 'residual_interest', '{CLIENT}', '{money}', '{debit}', true),
    ('refund', 'claim', '{CLIENT}', '{money}', '{credit}', true),
    ('compensation', 'residual_interest', '{CLIENT}', '{money}', '{debit}', true),
    ('compensation', 'claim', '{CLIENT}', '{money}', '{credit}', true),
    ('residual_withdrawal', 'residual_interest', '{CLIENT}', '{money}', '{debit}', true),
    ('residual_withdrawal', 'custody', '{CLIENT}', '{money}', '{credit}', true),
    ('residual_withdrawal', 'custody', '{HOUSE}', '{money}', '{debit}', true),
    ('residual_withdrawal', 'own_equity', '{HOUSE}', '{money}', '{credit}', true),
    ('residual_deposit', 'own_equity', '{HOUSE}', '{money}', '{debit}', true),
    ('residual_deposit', 'custody', '{HOUSE}', '{money}', '{credit}', true),
    ('residual_deposit', 'custody', '{CLIENT}', '{money}', '{debit}', true),
    ('residual_deposit', 'residual_interest', '{CLIENT}', '{money}', '{credit}', true),
    ('shortfall_funding', 'own_equity', '{HOUSE}', '{money}', '{debit}', true),
    ('shortfall_funding', 'custody', '{HOUSE}', '{money}', '{credit}', true),
    ('shortfall_funding', 'custody', '{CLIENT}', '{money}', '{debit}', true),
    ('shortfall_funding', 'shortfall', '{CLIENT}', '{money}', '{credit}', true),
    ('insurance_funding', 'own_equity', '{HOUSE}', '{money}', '{debit}', true),
    ('insurance_funding', 'custody', '{HOUSE}', '{money}', '{credit}', true),
    ('insurance_funding', 'custody', '{INSURANCE}', '{money}', '{debit}', true),
    ('insurance_funding', 'own_equity', '{INSURANCE}', '{money}', '{credit}', true),
    ('bank_error', 'shortfall', '{CLIENT}', '{money}', '{debit,credit}', true),
    ('bank_error', 'custody', '{CLIENT}', '{money}', '{debit,credit}', true),
    ('house_expense', 'own_equity', '{HOUSE,HOUSE_PROP}', '{money}', '{debit}', true),
    ('house_expense', 'custody', '{HOUSE,HOUSE_PROP}', '{money}', '{credit}', true),
    ('house_income', 'own_equity', '{HOUSE,HOUSE_PROP,INSURANCE}', '{money}', '{credit}', true),
    ('house_income', 'custody', '{HOUSE,HOUSE_PROP,INSURANCE}', '{money}', '{debit}', true),
    ('unidentified_receipt', 'unallocated', '{CLIENT}', '{money}', '{credit}', true),
    ('unidentified_receipt', 'custody', '{CLIENT}', '{money}', '{debit}', true),
    ('receipt_allocation', 'unallocated', '{CLIENT}', '{money}', '{debit}', true),
    ('receipt_allocation', 'claim', '{CLIENT}', '{money}', '{credit}', true),
    ('receipt_return', 'unallocated', '{CLIENT}', '{money}', '{debit}', true),
    ('receipt_return', 'custody', '{CLIENT}', '{money}', '{credit}', true),
    ('internal_trade', 'claim', '{CLIENT}', '{money}', '{debit,credit}', false),
    ('internal_trade', 'custody', '{CLIENT}', '{money}', '{debit,credit}', false),
    ('internal_trade', 'position', '{CLIENT}', '{security,derivative}', '{debit,credit}', true),
    ('internal_trade', 'residual_interest', '{CLIENT}', '{money}', '{credit}', false),
    ('client_transfer', 'claim', '{CLIENT}', '{money}', '{debit,credit}', true),
    ('deleveraging', 'claim', '{CLIENT}', '{money}', '{debit,credit}', false),
    ('deleveraging', 'custody', '{CLIENT}', '{money}', '{debit,credit}', false),
    ('deleveraging', 'position', '{CLIENT}', '{derivative}', '{debit,credit}', true),
    ('write_off', 'custody', '{HOUSE,HOUSE_PROP,INSURANCE}', '{money}', '{debit,credit}', true),
    ('write_off', 'own_equity', '{HOUSE,HOUSE_PROP,INSURANCE}', '{money}', '{debit,credit}', true),
    ('transit_out', 'in_transit', '{CLIENT,HOUSE,INSURANCE}', '{money}', '{debit}', true),
    ('transit_out', 'custody', '{CLIENT,HOUSE,INSURANCE}', '{money}', '{credit}', true),
    ('transit_in', 'in_transit', '{CLIENT,HOUSE,INSURANCE}', '{money}', '{credit}', true),
    ('transit_in', 'custody', '{CLIENT,HOUSE,INSURANCE}', '{money}', '{debit}', true),
    ('manual_journal', 'custody', '{HOUSE,HOUSE_PROP,INSURANCE}', '{money,security}', '{debit,credit}', false),
    ('manual_journal', 'own_equity', '{HOUSE,HOUSE_PROP,INSURANCE}', '{money,security}', '{debit,credit}', true)
) AS k(kind, class, owners, assets, sides, required)
CROSS JOIN LATERAL unnest(k.owners::text[]) AS owner
CROSS JOIN LATERAL unnest(k.assets::text[]) AS asset
CROSS JOIN LATERAL unnest(k.sides::text[]) AS side;

-- A reversal may touch whatever its entry touched; `reversal_mirrors_its_entry` binds it.
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT DISTINCT 'reversal', account_class, owner_class, asset_kind,
       CASE side WHEN 'debit' THEN 'credit' ELSE 'debit' END, false
FROM ledger_kindleg WHERE kind_id <> 'opening';

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for)
SELECT 'entry.' || code, title, '{operations,treasury}', '{treasury,risk,compliance}', '1 day'
FROM ledger_entrykind WHERE needs_approval;
