-- A proposal is no parameter: it changes nothing until its rates are asked for and approved.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'proposals of margin rates')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only('margin_marginproposal');
GRANT INSERT ON margin_marginproposal TO bo_runtime;
GRANT USAGE ON SEQUENCE margin_marginproposal_id_seq TO bo_runtime;
