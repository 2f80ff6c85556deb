-- Erasing people, and letting data go once it has been kept for long enough.

-- Whose content was erased, and when: everything of theirs that was accepted before is settled as purged, wherever it
-- still waits. `person` is a hash of tenant and address.
CREATE TABLE erasures (
    tenant_id       text NOT NULL,
    person          uuid NOT NULL,
    erased_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, person)
);
CREATE INDEX erasures_at ON erasures (erased_at);

-- Erasures that are to be looked at once more, for somebody may not have known of them at once; then the addresses go too.
CREATE TABLE unfinished_erasures (
    erasure_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text NOT NULL,
    addresses       text[] NOT NULL,
    erased_at       timestamptz NOT NULL
);

-- Whose a customer's file is. An erased one has no owner any more; every node removes it from its disk.
CREATE TABLE customer_files (
    tenant_id       text NOT NULL,
    media_id        text NOT NULL,
    wa_id           text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    erased_at       timestamptz,
    PRIMARY KEY (tenant_id, media_id)
);
CREATE INDEX customer_files_person ON customer_files (tenant_id, wa_id) WHERE wa_id <> '';
CREATE INDEX customer_files_age ON customer_files (tenant_id, created_at) WHERE created_at IS NOT NULL;
CREATE INDEX customer_files_erased ON customer_files (erased_at) WHERE erased_at IS NOT NULL;

-- All of them are partial, even by conditions that always hold: so that none is taken for a look-up by a table's key, which
-- an empty table's statistics suggest.
CREATE INDEX messages_person ON messages (tenant_id, wa_id) WHERE wa_id <> '';
CREATE INDEX messages_age ON messages (tenant_id, created_at) WHERE accepted_at IS NOT NULL;
CREATE INDEX messages_content ON messages (tenant_id, created_at) WHERE text IS NOT NULL;
CREATE INDEX message_events_age ON message_events (tenant_id, at) WHERE at IS NOT NULL;
-- By its beginning, which never changes: its last activity changes with every message.
CREATE INDEX conversation_mappings_age ON conversation_mappings (tenant_id, created_at) WHERE created_at IS NOT NULL;
CREATE INDEX aliases_identity ON aliases (tenant_id, identity) WHERE identity IS NOT NULL;

-- Whose message a dead letter is; null where its body does not tell.
ALTER TABLE dead_letters ADD COLUMN wa_id text;
CREATE FUNCTION customer_of(body bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::json ->> 'conversation';
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
UPDATE dead_letters SET wa_id = customer_of(envelope) WHERE tenant_id IS NOT NULL;
DROP FUNCTION customer_of(bytea);
CREATE INDEX dead_letters_person ON dead_letters (tenant_id, wa_id) WHERE wa_id IS NOT NULL;
CREATE INDEX dead_letters_age ON dead_letters (tenant_id, created_at) WHERE created_at IS NOT NULL;
CREATE INDEX dead_letters_content ON dead_letters (tenant_id, created_at) WHERE envelope <> '';

-- When retention ran, and what it removed.
CREATE TABLE retention_runs (
    run_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began_at        timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    removed         jsonb NOT NULL DEFAULT '{}'
);

-- What was removed of a tenant and is not in the audit log yet; the tenant is empty for what belongs to none.
CREATE TABLE retention_tallies (
    tenant_id       text NOT NULL,
    what            text NOT NULL,
    removed         bigint NOT NULL,
    PRIMARY KEY (tenant_id, what)
);
