-- What messages of every kind need beside their rows: addresses of people, parts, early statuses, files to fetch.

-- Addresses (digits or business-scoped user ids) of a person whom Genesys knows by another one, their `identity`.
-- `moved_at` says since when the person is written to at this address.
CREATE TABLE aliases (
    tenant_id       text NOT NULL,
    address         text NOT NULL,
    identity        text NOT NULL,
    moved_at        timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, address)
);
CREATE INDEX aliases_moved ON aliases (tenant_id, identity, moved_at DESC) WHERE moved_at IS NOT NULL;

-- The WhatsApp messages of an agent's message that became several; one that stayed whole has none.
CREATE TABLE message_parts (
    tenant_id       text NOT NULL,
    message_id      uuid NOT NULL,
    part            smallint NOT NULL,
    parts           smallint NOT NULL,
    wamid           text,
    delivered       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, message_id, part)
);
CREATE INDEX message_parts_wamid ON message_parts (tenant_id, wamid) WHERE wamid IS NOT NULL;

-- Statuses of messages that nobody here has heard of, kept for a few minutes: the answer to the send may come later.
CREATE TABLE parked_statuses (
    tenant_id       text NOT NULL,
    message_id      uuid NOT NULL,
    wamid           text NOT NULL,
    envelope        bytea NOT NULL,
    parked_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, message_id)
);

-- Files of customers that have to be fetched before Meta forgets them, should their message wait so long.
CREATE TABLE media_fetches (
    tenant_id       text NOT NULL,
    media_id        text NOT NULL,
    phone_number_id text NOT NULL,
    attempts        smallint NOT NULL DEFAULT 0,
    due_at          timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, media_id)
);
CREATE INDEX media_fetches_due ON media_fetches (due_at);
