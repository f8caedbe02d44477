-- The request of an API key that made an alert, so that the same one sent again makes no other.
ALTER TABLE alerts ADD COLUMN api_key_id bigint;
ALTER TABLE alerts ADD COLUMN request_id text;
