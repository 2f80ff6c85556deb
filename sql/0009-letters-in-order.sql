-- When the message of a dead letter was accepted: they are replayed in that order, and the oldest are found by it.
ALTER TABLE dead_letters ADD COLUMN ordered_at timestamptz;
UPDATE dead_letters d SET ordered_at = COALESCE((
    SELECT m.accepted_at
    FROM seen s JOIN messages m ON m.tenant_id = s.tenant_id AND m.message_id = s.key_hash AND m.created_at = s.seen_at
    WHERE s.tenant_id = d.tenant_id AND s.key_hash = d.message_id
), d.created_at);
ALTER TABLE dead_letters ALTER COLUMN ordered_at SET DEFAULT now(), ALTER COLUMN ordered_at SET NOT NULL;
CREATE INDEX dead_letters_order ON dead_letters (ordered_at, id);
CREATE INDEX dead_letters_order_of_tenant ON dead_letters (tenant_id, ordered_at, id);
