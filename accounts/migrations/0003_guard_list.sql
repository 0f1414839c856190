-- Everything in the catalog that keeps history true, in words that are the same on every machine:
-- no ids, no database name. `object` is a table or a schema, `guard` a part of it.

CREATE FUNCTION accounts.guards() RETURNS TABLE (object text, guard text, definition text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH schemas AS (
        SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_namespace n
        WHERE n.nspname IN ('public', 'accounts', 'ledger', 'margin', 'brokerage')
    ), relations AS (
        SELECT c.*, s.nspname, format('%s %s.%s',
                   CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, s.nspname, c.relname)
                   AS name
        FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    ), rights AS (
        -- What the owner may do to its own is said by who owns it.
        SELECT r.name AS object, 'rights' AS guard, a.* FROM relations r
        CROSS JOIN LATERAL aclexplode(r.relacl) a WHERE a.grantee <> r.relowner
        UNION ALL
        SELECT r.name, 'rights on ' || t.attname, a.* FROM relations r
        JOIN pg_attribute t ON t.attrelid = r.oid AND NOT t.attisdropped
        CROSS JOIN LATERAL aclexplode(t.attacl) a WHERE a.grantee <> r.relowner
        UNION ALL
        SELECT 'schema ' || s.nspname, 'rights', a.* FROM schemas s
        CROSS JOIN LATERAL aclexplode(s.nspacl) a WHERE a.grantee <> s.nspowner
        UNION ALL
        SELECT 'schema ' || s.nspname, format('rights on %s(%s)', p.proname,
                   pg_get_function_identity_arguments(p.oid)), a.*
        FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
        CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        WHERE a.grantee <> p.proowner
    )
    SELECT r.object, r.guard, string_agg(format('%s %s%s',
               coalesce(nullif(r.grantee, 0)::regrole::text, 'PUBLIC'), r.privilege_type,
               CASE WHEN r.is_grantable THEN ' may pass on' ELSE '' END), ', '
               ORDER BY coalesce(nullif(r.grantee, 0)::regrole::text, 'PUBLIC') COLLATE "C",
                        r.privilege_type COLLATE "C")
    FROM rights r GROUP BY 1, 2
    UNION ALL
    SELECT 'schema ' || s.nspname, 'owner', s.nspowner::regrole::text FROM schemas s
    UNION ALL
    SELECT r.name, 'table', format('%s %s %s of %s, row security %s %s, replica identity %s',
               r.relkind, r.relpersistence, r.relispartition, r.relowner::regrole,
               r.relrowsecurity, r.relforcerowsecurity, r.relreplident)
    FROM relations r
    UNION ALL
    SELECT r.name, 'columns', string_agg(format('%s %s%s%s%s', a.attname,
               format_type(a.atttypid, a.atttypmod),
               CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
               CASE a.attidentity WHEN '' THEN '' ELSE ' IDENTITY ' || a.attidentity::text END,
               coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')), ', '
               ORDER BY a.attname COLLATE "C")
    FROM relations r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE r.relkind <> 'S' GROUP BY 1
    UNION ALL
    SELECT r.name, 'trigger ' || t.tgname, t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    -- A foreign key is kept by triggers of the system, which can be switched off too.
    SELECT r.name, 'constraint ' || c.conname, format('%s %s %s %s', pg_get_constraintdef(c.oid),
               c.convalidated, c.connoinherit,
               (SELECT string_agg(t.tgenabled::text, '' ORDER BY t.tgenabled) FROM pg_trigger t
                WHERE t.tgconstraint = c.oid))
    FROM pg_constraint c JOIN relations r ON r.oid = c.conrelid WHERE c.contype <> 'n'
    UNION ALL
    SELECT r.name, 'index ' || i.relname, format('%s %s', pg_get_indexdef(x.indexrelid), x.indisvalid)
    FROM pg_index x JOIN relations r ON r.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE x.indisunique
    UNION ALL
    SELECT r.name, 'rule ' || u.rulename, u.ev_enabled::text || ' ' || pg_get_ruledef(u.oid)
    FROM pg_rewrite u JOIN relations r ON r.oid = u.ev_class
    UNION ALL
    SELECT r.name, 'policy ' || p.polname, format('%s %s %s %s', p.polcmd, p.polpermissive,
               pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
    UNION ALL
    SELECT r.name, 'child ' || h.inhrelid::regclass, 'inherits'
    FROM pg_inherits h JOIN relations r ON r.oid = h.inhparent
    UNION ALL
    SELECT 'schema ' || s.nspname, format('function %s(%s)', p.proname,
               pg_get_function_identity_arguments(p.oid)),
           p.proowner::regrole::text || ' ' || CASE p.prokind WHEN 'a' THEN p.prosrc
                                              ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
    UNION ALL
    -- An operator or a type beside ours could change what a comparison in a guard means.
    SELECT 'schema ' || s.nspname, format('operator %s(%s, %s)', o.oprname,
               o.oprleft::regtype, o.oprright::regtype), o.oprcode::regproc::text
    FROM pg_operator o JOIN schemas s ON s.oid = o.oprnamespace
    UNION ALL
    SELECT 'schema ' || s.nspname, 'type ' || t.typname, t.typtype::text || ' ' || t.typowner::regrole::text
    FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
    WHERE t.typrelid = 0 AND t.typelem = 0
       OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')
$$;

REVOKE ALL ON FUNCTION accounts.guards() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.guards(), accounts.fingerprint(jsonb, text[])
    TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION accounts.row_key(jsonb, text[]), accounts.masked(jsonb, text[]),
    accounts.payload_sha256(jsonb) TO bo_auditor;
