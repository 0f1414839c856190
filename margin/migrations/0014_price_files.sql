-- Price files taken during a day: kept as they came, and the runs they brought about.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'price files during a day')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'margin_pricefile', 'margin_rejectedprice', 'margin_remargin']) t;

ALTER TABLE margin_pricefile ADD CONSTRAINT price_file_is_what_its_hash_says
    CHECK (sha256 = encode(sha256(content), 'hex'));

-- Prices never go back: what is taken is newer than every mark there is.
CREATE FUNCTION margin.price_file_goes_on() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted n
               JOIN margin_mark m ON m.as_of >= n.as_of AND m.business_day >= n.business_day)
       OR EXISTS (SELECT FROM inserted n JOIN margin_pricefile f
                  ON f.as_of >= n.as_of AND f.id <> n.id) THEN
        PERFORM accounts.refuse('price_file_goes_on',
            'a price file is of an instant after every mark there is');
    END IF;
    IF EXISTS (SELECT FROM inserted n
               WHERE n.business_day <> (n.as_of AT TIME ZONE 'UTC')::date) THEN
        PERFORM accounts.refuse('price_file_is_of_its_day',
            'a price file belongs to the day of its instant');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER price_file_goes_on AFTER INSERT ON margin_pricefile
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION margin.price_file_goes_on();
ALTER TABLE margin_pricefile ENABLE ALWAYS TRIGGER price_file_goes_on;

REVOKE ALL ON FUNCTION margin.price_file_goes_on() FROM PUBLIC;
GRANT INSERT ON margin_pricefile, margin_rejectedprice, margin_remargin TO bo_runtime;
GRANT USAGE ON SEQUENCE margin_pricefile_id_seq, margin_rejectedprice_id_seq,
    margin_remargin_id_seq TO bo_runtime;
