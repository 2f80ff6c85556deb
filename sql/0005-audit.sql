-- Who did what: a log that is only ever added to, each entry chained to the one before; and when keys were last used.

CREATE TABLE audit_log (
    -- given out without gaps, under the lock of the head
    id              bigint PRIMARY KEY,
    at              timestamptz NOT NULL,
    key_id          text NOT NULL,
    role            text NOT NULL,
    address         text,
    action          text NOT NULL,
    tenant_id       text,
    subject         text,
    before          jsonb,
    after           jsonb,
    content_hash    bytea NOT NULL,
    previous_hash   bytea NOT NULL,
    hash            bytea NOT NULL
);
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, id);
CREATE INDEX audit_log_action ON audit_log (action, id);

-- What retention has removed between entries that stay: enough for the chain to be followed across it.
CREATE TABLE audit_removed (
    id              bigint PRIMARY KEY,
    content_hash    bytea NOT NULL
);

-- One row: the newest entry, and the newest of those that have gone with all before them, which the oldest one follows.
CREATE TABLE audit_head (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    last_id         bigint NOT NULL,
    last_hash       bytea NOT NULL,
    anchor_id       bigint NOT NULL CHECK (anchor_id <= last_id),
    anchor_hash     bytea NOT NULL
);
INSERT INTO audit_head (last_id, last_hash, anchor_id, anchor_hash)
VALUES (0, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever added to: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- An entry may go once it is among those removed by retention, with its own hash.
CREATE FUNCTION keep_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM audit_removed r WHERE r.id = OLD.id AND r.content_hash = OLD.content_hash) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is only ever added to: DELETE of entry % is refused', OLD.id
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- The note on a removed entry may go once everything before it has gone.
CREATE FUNCTION keep_audit_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.id <= (SELECT anchor_id FROM audit_head) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is only ever added to: the note on entry % stays', OLD.id
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION keep_audit_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.last_id < OLD.last_id OR NEW.anchor_id < OLD.anchor_id THEN
        RAISE EXCEPTION 'the head of the audit log never goes back' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_log_kept BEFORE DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION keep_audit_entry();
CREATE TRIGGER audit_log_unchanged BEFORE UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_removed_kept BEFORE DELETE ON audit_removed FOR EACH ROW EXECUTE FUNCTION keep_audit_note();
CREATE TRIGGER audit_removed_unchanged BEFORE UPDATE ON audit_removed
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_removed_whole BEFORE TRUNCATE ON audit_removed EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_head_onward BEFORE UPDATE ON audit_head FOR EACH ROW EXECUTE FUNCTION keep_audit_head();
CREATE TRIGGER audit_head_kept BEFORE DELETE ON audit_head FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_head_whole BEFORE TRUNCATE ON audit_head EXECUTE FUNCTION refuse_audit_change();

-- Written once a minute at most, and by nobody who is waited for.
ALTER TABLE tenant_api_keys ADD COLUMN last_used_at timestamptz;
