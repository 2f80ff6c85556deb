-- Conversations and messages: where each one stands, what was tried, and what was given up.
CREATE TABLE conversation_mappings (
    tenant_id               text NOT NULL,
    wa_id                   text NOT NULL,
    conversation_id         uuid NOT NULL DEFAULT gen_random_uuid(),
    genesys_conversation_id text,
    status                  text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    created_at              timestamptz NOT NULL DEFAULT now(),
    last_activity_at        timestamptz NOT NULL DEFAULT now(),
    last_inbound_at         timestamptz,
    PRIMARY KEY (tenant_id, conversation_id)
);
CREATE UNIQUE INDEX conversation_mappings_open ON conversation_mappings (tenant_id, wa_id) WHERE status = 'open';
CREATE INDEX conversation_mappings_person ON conversation_mappings (tenant_id, wa_id, created_at DESC);

-- `conversation_id` is null until the conversation is known; `wa_id` is the customer's identity, which orders.
-- `owner`, `attempt_id` and `claim_until` say who may be sending it just now, and until when that may last.
CREATE TABLE messages (
    tenant_id       text NOT NULL,
    message_id      uuid NOT NULL,
    wa_id           text NOT NULL,
    conversation_id uuid,
    direction       text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'status')),
    kind            text NOT NULL,
    status          text NOT NULL CHECK (status IN
                        ('received', 'waiting', 'sending', 'unknown', 'delivered', 'failed', 'dead', 'purged')),
    wamid           text,
    genesys_id      text,
    text            text,
    parts_done      smallint NOT NULL DEFAULT 0,
    attempts        smallint NOT NULL DEFAULT 0,
    unknowns        smallint NOT NULL DEFAULT 0,
    attempt_id      uuid,
    owner           text,
    claimed_at      timestamptz,
    claim_until     timestamptz,
    receipt         text,
    accepted_at     timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, message_id)
) WITH (fillfactor = 80);
-- Partial, so that it is never taken for a look-up by tenant and message, which an empty table's statistics suggest.
CREATE INDEX messages_conversation ON messages (tenant_id, conversation_id, created_at DESC)
    WHERE conversation_id IS NOT NULL;
CREATE INDEX messages_wamid ON messages (tenant_id, wamid) WHERE wamid IS NOT NULL;
CREATE INDEX messages_genesys ON messages (tenant_id, genesys_id) WHERE genesys_id IS NOT NULL;

-- Attempts and other steps worth telling; a plain delivery is told by its messages row alone.
CREATE TABLE message_events (
    tenant_id       text NOT NULL,
    message_id      uuid NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    event           text NOT NULL,
    attempt_id      uuid,
    detail          jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX message_events_message ON message_events (tenant_id, message_id, at);

-- Dedupe: outlives retention and erasure of the messages themselves.
CREATE TABLE seen (
    tenant_id       text NOT NULL,
    key_hash        uuid NOT NULL,
    seen_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key_hash)
);
CREATE INDEX seen_at ON seen USING brin (seen_at);

-- `tenant_id` is null for what belongs to no tenant (reason `unrouted`).
CREATE TABLE dead_letters (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text,
    message_id      uuid NOT NULL,
    direction       text NOT NULL,
    reason          text NOT NULL,
    answer          text,
    attempts        smallint NOT NULL DEFAULT 0,
    wamid           text,
    genesys_id      text,
    envelope        bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_attempt_at timestamptz
);
CREATE UNIQUE INDEX dead_letters_message ON dead_letters (COALESCE(tenant_id, ''), message_id);
CREATE INDEX dead_letters_tenant ON dead_letters (tenant_id, reason, created_at DESC);

-- Lanes that carried something: what a starting supervisor looks into.
CREATE TABLE lanes (
    tenant_id       text NOT NULL,
    direction       text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'status')),
    last_used_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, direction)
);
