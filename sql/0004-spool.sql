-- What waits in Postgres instead of the broker, what kills its transformer, and the sizes of the pools.

-- Envelopes that come before anything newer of their conversation, in the order (accepted_at, id): accepted while the
-- broker was away, parked because their conversation has to wait for long, or replayed. `due_at`: not before then.
CREATE TABLE intake_spool (
    id              bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id       text NOT NULL,
    direction       text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'status')),
    wa_id           text NOT NULL,
    message_id      uuid NOT NULL,
    cause           text NOT NULL CHECK (cause IN ('broker_away', 'parked', 'replayed')),
    envelope        bytea NOT NULL,
    accepted_at     timestamptz NOT NULL,
    due_at          timestamptz NOT NULL DEFAULT now(),
    spooled_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, message_id)
);
CREATE INDEX intake_spool_order ON intake_spool (tenant_id, direction, wa_id, accepted_at, id);

-- Messages whose reader ended before it could claim them: the third time they are poison.
CREATE TABLE take_overs (
    tenant_id       text NOT NULL,
    message_id      uuid NOT NULL,
    count           smallint NOT NULL,
    noted_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, message_id)
);

-- Sizes that an operator has set; a pool without a row has those of the settings.
CREATE TABLE pools (
    pool            text PRIMARY KEY CHECK (pool IN ('inbound', 'outbound')),
    min_size        smallint NOT NULL CHECK (min_size >= 1),
    max_size        smallint NOT NULL CHECK (max_size >= min_size),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
