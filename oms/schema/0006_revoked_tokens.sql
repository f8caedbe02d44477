-- Tokens that are good no more before their time (oms/revocations.py).
CREATE TABLE revoked_tokens (
    kind text NOT NULL CHECK (kind IN ('token', 'signing-key', 'api-key', 'user')),
    name text NOT NULL CHECK (name <> ''),
    revoked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON revoked_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
