-- Whose key an execution was begun with, and a schedule was made with: what its prompts cost counts for that key.
ALTER TABLE executions ADD COLUMN key_id uuid;
ALTER TABLE schedules ADD COLUMN key_id uuid;
