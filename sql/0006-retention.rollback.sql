DROP TABLE retention_tallies, retention_runs, customer_files, unfinished_erasures, erasures;
DROP INDEX dead_letters_content, dead_letters_age, dead_letters_person;
ALTER TABLE dead_letters DROP COLUMN wa_id;
DROP INDEX aliases_identity, conversation_mappings_age, message_events_age;
DROP INDEX messages_content, messages_age, messages_person;
