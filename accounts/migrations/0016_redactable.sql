-- Said twice of a table it is as good as once: which of two migrations of two apps comes first
-- differs between a new book and an old one.
CREATE OR REPLACE FUNCTION accounts.let_words_be_redacted(target regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_trigger t
               WHERE t.tgrelid = target AND t.tgname = 'only_words_are_redacted') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER only_words_are_redacted BEFORE UPDATE ON %s FOR EACH ROW
                    EXECUTE FUNCTION accounts.only_words_are_redacted()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER only_words_are_redacted', target);
END $$;

-- A table of this app that was made since: a new book makes it before its words become redactable,
-- an old one after. Both have the trigger from here on.
SELECT accounts.let_words_be_redacted(c.oid::regclass)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relname LIKE 'accounts\_%'
  AND c.relname NOT IN ('accounts_erasure', 'accounts_redaction', 'accounts_sealblock',
                        'accounts_sealleaf', 'accounts_sealepoch')
  AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'change_has_an_actor')
  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
              AND NOT a.attisdropped AND a.attname = ANY (accounts.words()));
