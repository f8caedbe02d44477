-- What connections were and are subscribed to. `subscriptions` are the requests that bring a client's back.
ALTER TABLE websocket_connections ADD COLUMN dialect text NOT NULL DEFAULT '';
ALTER TABLE websocket_connections ADD COLUMN subscriptions text NOT NULL DEFAULT '[]';
CREATE INDEX ON websocket_connections (opened_at);
ALTER TABLE websocket_subscriptions ADD COLUMN timeframe text NOT NULL DEFAULT '';
ALTER TABLE websocket_subscriptions ADD PRIMARY KEY (connection_id, channel, symbol, timeframe);
DROP INDEX websocket_subscriptions_connection_id_idx;
