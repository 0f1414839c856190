-- A condition with BETWEEN is written another way once a dump was restored, and guards are compared
-- word by word; two comparisons are written alike in both.
ALTER TABLE margin_noticetemplate
    DROP CONSTRAINT template_body_is_plain_text,
    ADD CONSTRAINT template_body_is_plain_text
        CHECK (length(body) >= 1 AND length(body) <= 20000
               AND translate(body, E'\n', '') !~ '[[:cntrl:]\u2028\u2029]');
