-- Messages that came back to the notices' mailbox, each read once. One that counts names an e-mail
-- that came back.

SELECT accounts.make_append_only('margin_mailbounce');

CREATE FUNCTION margin.bounce_names_its_notice() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.outcome = 'bounced' AND NOT EXISTS (
            SELECT FROM margin_delivery d
            WHERE d.id = NEW.delivery_id AND d.channel = 'email' AND d.state = 'bounced') THEN
        PERFORM accounts.refuse('bounce_names_its_notice',
            'a message that counts as a bounce names an e-mail that came back');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bounce_names_its_notice BEFORE INSERT ON margin_mailbounce
FOR EACH ROW EXECUTE FUNCTION margin.bounce_names_its_notice();
ALTER TABLE margin_mailbounce ENABLE ALWAYS TRIGGER bounce_names_its_notice;

REVOKE ALL ON FUNCTION margin.bounce_names_its_notice() FROM PUBLIC;
GRANT INSERT ON margin_mailbounce TO bo_runtime;
