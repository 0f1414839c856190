-- Epochs: on which copy of the book a stretch of the chain was made. The chain goes on across them,
-- and blocks, epochs and leaves only ever follow what is there.

SELECT accounts.make_append_only('accounts_sealepoch');

-- Whatever was sealed so far was sealed on the first copy.
INSERT INTO accounts_act (actor, channel, request_id, reason)
SELECT 'system:migration', 'migration', '', 'seals have epochs'
WHERE NOT EXISTS (SELECT FROM accounts_act WHERE xid = pg_current_xact_id());
INSERT INTO accounts_sealepoch (number, cause, began_at, after_number, after_head, highest_xid,
    given_up, server, public_key, signature)
SELECT 1, 'first', coalesce((SELECT min(sealed_at) FROM accounts_sealblock), clock_timestamp()),
       0, decode(repeat('00', 32), 'hex'), '2', '[]', '', '', '';

-- An epoch begins where the chain ends, and behind every transaction the book knows of.
CREATE FUNCTION accounts.epoch_is_next() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    newest public.accounts_sealblock;
BEGIN
    SELECT * INTO newest FROM public.accounts_sealblock ORDER BY number DESC LIMIT 1;
    IF NEW.number <= (SELECT max(number) FROM public.accounts_sealepoch)
       OR NEW.after_number <> coalesce(newest.number, 0)
       OR NEW.after_head <> coalesce(newest.head_hash, decode(repeat('00', 32), 'hex'))
       OR NEW.highest_xid >= pg_current_xact_id()
       OR NEW.highest_xid < (SELECT max(xid) FROM public.accounts_act
                             WHERE xid < pg_current_xact_id()) THEN
        PERFORM accounts.refuse('epoch_follows_the_chain',
            format('epoch %s does not begin where the chain ends', NEW.number));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER epoch_follows_the_chain BEFORE INSERT ON accounts_sealepoch
FOR EACH ROW EXECUTE FUNCTION accounts.epoch_is_next();
ALTER TABLE accounts_sealepoch ENABLE ALWAYS TRIGGER epoch_follows_the_chain;

-- A block follows the one before it, has its leaves, and ends where no transaction is open.
CREATE FUNCTION accounts.block_is_next() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    before public.accounts_sealblock;
BEGIN
    SELECT * INTO before FROM public.accounts_sealblock ORDER BY number DESC LIMIT 1;
    IF NEW.number <> coalesce(before.number, 0) + 1
       OR NEW.epoch <> (SELECT max(number) FROM public.accounts_sealepoch)
       OR NEW.from_xid <> coalesce(before.to_xid, '3')
       OR NEW.previous_hash <> coalesce(before.head_hash, decode(repeat('00', 32), 'hex')) THEN
        PERFORM accounts.refuse('block_follows_the_chain',
            format('block %s does not follow from the block before it', NEW.number));
    END IF;
    IF NEW.to_xid > pg_snapshot_xmin(pg_current_snapshot()) THEN
        PERFORM accounts.refuse('block_ends_below_the_horizon',
            format('block %s would cover transactions that have not ended', NEW.number));
    END IF;
    IF NEW.leaf_count <> (SELECT count(*) FROM public.accounts_sealleaf
                          WHERE block_id = NEW.number) THEN
        PERFORM accounts.refuse('block_has_its_leaves',
            format('block %s does not have the leaves it counts', NEW.number));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER block_follows_the_chain BEFORE INSERT ON accounts_sealblock
FOR EACH ROW EXECUTE FUNCTION accounts.block_is_next();
ALTER TABLE accounts_sealblock ENABLE ALWAYS TRIGGER block_follows_the_chain;

-- Leaves are written before their block, and to no block that is there.
CREATE FUNCTION accounts.leaves_are_of_the_next_block() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM new_rows WHERE block_id <>
               (SELECT coalesce(max(number), 0) + 1 FROM public.accounts_sealblock)) THEN
        PERFORM accounts.refuse('leaf_is_of_the_next_block',
            'leaves are written for the next block only');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER leaf_is_of_the_next_block AFTER INSERT ON accounts_sealleaf
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION accounts.leaves_are_of_the_next_block();
ALTER TABLE accounts_sealleaf ENABLE ALWAYS TRIGGER leaf_is_of_the_next_block;

GRANT SELECT ON accounts_sealepoch TO bo_runtime, bo_auditor;
GRANT INSERT ON accounts_sealepoch TO bo_runtime;
REVOKE ALL ON FUNCTION accounts.epoch_is_next(), accounts.block_is_next(),
    accounts.leaves_are_of_the_next_block() FROM PUBLIC;
