-- Rules on prices, and that one was met: written by the desk, together with the event that tells of it.
ALTER TABLE accounts ADD COLUMN alerts_sequence bigint NOT NULL DEFAULT 0;
CREATE SEQUENCE alert_ids;
CREATE TABLE alerts (
    id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts,
    user_id bigint NOT NULL,
    exchange text NOT NULL,
    symbol text NOT NULL,
    type text NOT NULL CHECK (type IN ('above', 'below', 'crosses', 'percent_change')),
    price numeric(36, 18),
    percent numeric(36, 18),
    window_s integer,
    message text NOT NULL,
    state text NOT NULL CHECK (state IN ('armed', 'triggered', 'deleted')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    triggered_at timestamptz,
    triggered_price numeric(54, 30)
);
CREATE INDEX ON alerts (account_id, id);

-- Beside oms_write, in one statement with it; one that is deleted leaves its table.
CREATE FUNCTION oms_write_alerts(sequences json, changed json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts SET alerts_sequence = s.alerts
    FROM json_to_recordset(sequences) AS s (account_id bigint, alerts bigint)
    WHERE accounts.id = s.account_id;

    INSERT INTO alerts
    SELECT * FROM json_populate_recordset(NULL::alerts, changed)
    ON CONFLICT (id) DO UPDATE
    SET state = EXCLUDED.state, updated_at = EXCLUDED.updated_at, triggered_at = EXCLUDED.triggered_at,
        triggered_price = EXCLUDED.triggered_price;

    DELETE FROM alerts WHERE state = 'deleted' AND id IN (
        SELECT id FROM json_to_recordset(changed) AS c (id bigint)
    );
END
$$;
