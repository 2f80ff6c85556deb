DROP TABLE lanes, dead_letters, seen, message_events, messages, conversation_mappings;
