-- People ask without naming a tenant: an index that begins with the tenant would be probed once for each of them.
DROP INDEX messages_wamid;
DROP INDEX messages_genesys;
DROP INDEX message_parts_wamid;
CREATE INDEX messages_wamid ON messages (wamid, tenant_id) WHERE wamid IS NOT NULL;
CREATE INDEX messages_genesys ON messages (genesys_id, tenant_id) WHERE genesys_id IS NOT NULL;
CREATE INDEX message_parts_wamid ON message_parts (wamid, tenant_id) WHERE wamid IS NOT NULL;

-- Dead letters are listed newest first, by tenant, by reason, or all of them, and found by any of their message's ids.
CREATE INDEX dead_letters_newest ON dead_letters (tenant_id, id);
CREATE INDEX dead_letters_reason ON dead_letters (reason, id, tenant_id);
CREATE INDEX dead_letters_message_id ON dead_letters (message_id, tenant_id);
CREATE INDEX dead_letters_wamid ON dead_letters (wamid, tenant_id) WHERE wamid IS NOT NULL;
CREATE INDEX dead_letters_genesys ON dead_letters (genesys_id, tenant_id) WHERE genesys_id IS NOT NULL;
