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
