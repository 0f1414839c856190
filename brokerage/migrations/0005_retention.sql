-- Every table that only grows and holds what people or files said lets the name of an erased person
-- be taken out of its words, and nothing else. Seals, keys and the record of it stay as they are.
SELECT accounts.let_words_be_redacted(c.oid::regclass)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relname NOT IN ('accounts_erasure', 'accounts_redaction', 'accounts_sealblock',
                        'accounts_sealleaf', 'accounts_sealepoch')
  AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'change_has_an_actor'
              OR t.tgrelid = c.oid AND c.relname = 'accounts_act')
  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
              AND NOT a.attisdropped AND a.attname = ANY (accounts.words()));

-- Jobs whose latest date has passed go; nothing of the business stands in them.
GRANT DELETE ON brokerage_job TO bo_runtime;
GRANT EXECUTE ON FUNCTION accounts.words() TO bo_runtime;
