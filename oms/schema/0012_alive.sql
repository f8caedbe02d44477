-- When a process that records connections was last there: what it left open without an end ended no later than that.
CREATE TABLE websocket_processes (
    id text PRIMARY KEY,
    alive_at timestamptz NOT NULL
);
ALTER TABLE websocket_connections ADD COLUMN process text NOT NULL DEFAULT '';
