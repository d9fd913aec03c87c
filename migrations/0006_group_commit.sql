-- Expands only: earlier control planes go on beside it.

-- A run is only ever written by the statement that advances its lane, and a lane
-- names its bundle; looking the bundle up again for each run cost more than the run.
ALTER TABLE ticket_runs DROP CONSTRAINT ticket_runs_tenant_id_bundle_id_fkey;

-- Hashes and signatures cannot be compressed, and runs of some dozen tickets are
-- better kept beside their numbers than in a table of their own.
ALTER TABLE ticket_runs ALTER COLUMN entries SET STORAGE EXTERNAL;
ALTER TABLE ticket_runs SET (toast_tuple_target = 8160);
