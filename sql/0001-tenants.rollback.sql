DROP TABLE tenant_activations, meta_apps, tenant_api_keys, tenant_credentials, tenants;
DROP FUNCTION announce_directory_change();
