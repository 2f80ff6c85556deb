-- Tenants, their credentials, keys and Meta apps. Secrets are sealed (Fernet) by the application.
CREATE TABLE tenants (
    tenant_id       text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9][a-z0-9-]{1,62}$'),
    name            text NOT NULL,
    status          text NOT NULL CHECK (status IN ('active', 'suspended', 'deleted')),
    rate_limit      integer NOT NULL CHECK (rate_limit > 0),
    dedicated       boolean NOT NULL,
    settings        jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tenant_credentials (
    tenant_id               text PRIMARY KEY REFERENCES tenants,
    -- false once the tenant is deleted, so that its number and integration can be given to another
    in_use                  boolean NOT NULL DEFAULT true,
    meta_app                text NOT NULL,
    phone_number_id         text NOT NULL,
    waba_id                 text NOT NULL,
    display_phone_number    text,
    access_token            bytea NOT NULL,
    genesys_region          text NOT NULL,
    genesys_client_id       text NOT NULL,
    genesys_client_secret   bytea NOT NULL,
    integration_id          text NOT NULL,
    webhook_secret          bytea NOT NULL,
    updated_at              timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX tenant_credentials_phone_number_id ON tenant_credentials (phone_number_id) WHERE in_use;
CREATE UNIQUE INDEX tenant_credentials_integration_id ON tenant_credentials (integration_id) WHERE in_use;

CREATE TABLE tenant_api_keys (
    key_id          text PRIMARY KEY,
    tenant_id       text REFERENCES tenants,
    role            text NOT NULL CHECK (role IN ('admin', 'operator', 'tenant')),
    name            text NOT NULL,
    key_sha256      bytea NOT NULL UNIQUE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    revoked_at      timestamptz,
    CHECK ((role = 'tenant') = (tenant_id IS NOT NULL))
);
CREATE INDEX tenant_api_keys_tenant ON tenant_api_keys (tenant_id);

CREATE TABLE meta_apps (
    app             text PRIMARY KEY CHECK (app ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    app_secret      bytea NOT NULL,
    verify_token    bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- One row a tenant; the number grows with every activation and fences the claims of older ones.
CREATE TABLE tenant_activations (
    tenant_id       text PRIMARY KEY REFERENCES tenants,
    epoch           bigint NOT NULL,
    cell            text NOT NULL,
    activated_at    timestamptz NOT NULL DEFAULT now()
);

-- Whoever keeps tenants or Meta apps in memory listens to this channel; the payload names what changed.
CREATE FUNCTION announce_directory_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'meta_apps' THEN
        PERFORM pg_notify('trunkline_directory', 'app:' || COALESCE(NEW.app, OLD.app));
    ELSE
        PERFORM pg_notify('trunkline_directory', 'tenant:' || COALESCE(NEW.tenant_id, OLD.tenant_id));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_announce AFTER INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION announce_directory_change();
CREATE TRIGGER tenant_credentials_announce AFTER INSERT OR UPDATE OR DELETE ON tenant_credentials
    FOR EACH ROW EXECUTE FUNCTION announce_directory_change();
CREATE TRIGGER meta_apps_announce AFTER INSERT OR UPDATE OR DELETE ON meta_apps
    FOR EACH ROW EXECUTE FUNCTION announce_directory_change();
