-- What signs an API key's messages (oms/signing.py), sealed under the master key; keys made before have none.
ALTER TABLE api_keys ADD COLUMN sealed_signing bytea;
DROP TRIGGER told ON api_keys;
CREATE TRIGGER told AFTER INSERT OR DELETE
    OR UPDATE OF hash, scopes, expires_at, revoked_at, requests_per_s, sealed_signing ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();

-- Whether an account takes signed commands only.
ALTER TABLE accounts ADD COLUMN requires_signing boolean NOT NULL DEFAULT false;
DROP TRIGGER told ON accounts;
CREATE TRIGGER told AFTER INSERT OR DELETE
    OR UPDATE OF name, exchange, environment, position_mode, blocked, requires_signing ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
