ALTER TABLE tenant_api_keys DROP COLUMN last_used_at;
DROP TABLE audit_head, audit_removed, audit_log;
DROP FUNCTION refuse_audit_change(), keep_audit_entry(), keep_audit_note(), keep_audit_head();
