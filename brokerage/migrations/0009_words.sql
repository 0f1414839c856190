-- A table made since words became redactable has its trigger where the book is new, and not where
-- it is older than the table; both get what is missing.
SELECT accounts.let_words_be_redacted(c.oid::regclass)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relname NOT IN ('accounts_erasure', 'accounts_redaction', 'accounts_sealblock',
                        'accounts_sealleaf', 'accounts_sealepoch')
  AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'change_has_an_actor')
  AND NOT EXISTS (SELECT FROM pg_trigger t
                  WHERE t.tgrelid = c.oid AND t.tgname = 'only_words_are_redacted')
  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
              AND NOT a.attisdropped AND a.attname = ANY (accounts.words()));
