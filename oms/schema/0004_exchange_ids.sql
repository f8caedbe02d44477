-- An exchange may give an id again, as test networks do after they were reset: what it calls an order or a fill says
-- which one it is at a time, not for good. Two orders with one id are no reason to write nothing any more.
ALTER TABLE oms_orders DROP CONSTRAINT oms_orders_account_id_symbol_exchange_order_id_key;
CREATE INDEX oms_orders_exchange ON oms_orders (account_id, symbol, exchange_order_id);
ALTER TABLE oms_deals DROP CONSTRAINT oms_deals_account_id_symbol_exchange_trade_id_position_id_key;
ALTER TABLE oms_deals ADD UNIQUE (account_id, symbol, exchange_trade_id, order_id, position_id);
