ALTER TABLE dead_letters DROP COLUMN ordered_at;
