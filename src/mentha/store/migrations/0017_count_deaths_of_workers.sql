-- How often in a row a worker has died with an execution, and at which `seq`: where that is no longer the row's, it has got on since then.
ALTER TABLE executions ADD COLUMN deaths smallint NOT NULL DEFAULT 0, ADD COLUMN died_seq integer NOT NULL DEFAULT -1;
