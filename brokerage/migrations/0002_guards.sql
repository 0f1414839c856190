-- Table classes of brokerage. Jobs are the queue: not audited, guarded by their lease.

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'brokerage_firm', 'brokerage_daystep', 'brokerage_dayfile', 'brokerage_inboxevent',
    'brokerage_rejectedrow', 'brokerage_reportfile']) t;
SELECT accounts.watch('brokerage_businessday', 'id', 'result#');
SELECT accounts.keep_rows('brokerage_businessday');
SELECT accounts.keep_columns('brokerage_businessday', 'business_day_stays_itself',
    'legal_entity_id,day,as_of,content_sha256,folder');

GRANT INSERT ON brokerage_firm, brokerage_daystep, brokerage_dayfile, brokerage_inboxevent,
    brokerage_rejectedrow, brokerage_reportfile, brokerage_businessday TO bo_runtime;
GRANT UPDATE (closed_at, result) ON brokerage_businessday TO bo_runtime;
GRANT INSERT, UPDATE, DELETE ON brokerage_job TO bo_runtime;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bo_runtime;
REVOKE ALL ON SEQUENCE ledger_entry_id, accounts_approval_number FROM bo_runtime;
