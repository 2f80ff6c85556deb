DROP TABLE media_fetches, parked_statuses, message_parts, aliases;
