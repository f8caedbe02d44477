-- How the desk writes, one statement and so one transaction a batch, and how changes made elsewhere are heard.

-- Each argument is an array of rows as their table has them. `sequences` comes first and is a compare-and-set: a writer
-- that is not the only one changes nothing at all.
CREATE FUNCTION oms_write(sequences json, commands json, orders json, positions json, deals json, events json)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    UPDATE accounts
    SET event_sequence = s.event, orders_sequence = s.orders,
        deals_sequence = s.deals, positions_sequence = s.positions
    FROM json_to_recordset(sequences) AS s (
        account_id bigint, old_event bigint, event bigint, orders bigint, deals bigint, positions bigint
    )
    WHERE accounts.id = s.account_id AND accounts.event_sequence = s.old_event;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> json_array_length(sequences) THEN
        RAISE EXCEPTION 'another desk has written to this database' USING ERRCODE = 'TW001';
    END IF;

    INSERT INTO oms_commands
    SELECT * FROM json_populate_recordset(NULL::oms_commands, commands)
    ON CONFLICT (id) DO UPDATE
    SET status = EXCLUDED.status, order_id = EXCLUDED.order_id, result = EXCLUDED.result,
        finished_at = EXCLUDED.finished_at;

    INSERT INTO oms_orders
    SELECT * FROM json_populate_recordset(NULL::oms_orders, orders)
    ON CONFLICT (id) DO UPDATE
    SET qty = EXCLUDED.qty, price = EXCLUDED.price, trigger_price = EXCLUDED.trigger_price,
        expires_at = EXCLUDED.expires_at, stop_loss = EXCLUDED.stop_loss, stop_gain = EXCLUDED.stop_gain,
        strategy_id = EXCLUDED.strategy_id, position_id = EXCLUDED.position_id, reason = EXCLUDED.reason,
        comment = EXCLUDED.comment, params = EXCLUDED.params, state = EXCLUDED.state,
        exchange_order_id = EXCLUDED.exchange_order_id, filled = EXCLUDED.filled,
        average_price = EXCLUDED.average_price, replaces = EXCLUDED.replaces, error_code = EXCLUDED.error_code,
        error_message = EXCLUDED.error_message, flags = EXCLUDED.flags, exchange_time = EXCLUDED.exchange_time,
        updated_at = EXCLUDED.updated_at, closed_at = EXCLUDED.closed_at, version = EXCLUDED.version;

    INSERT INTO oms_positions
    SELECT * FROM json_populate_recordset(NULL::oms_positions, positions)
    ON CONFLICT (id) DO UPDATE
    SET strategy_id = EXCLUDED.strategy_id, qty = EXCLUDED.qty, entry_price = EXCLUDED.entry_price,
        realized_pnl = EXCLUDED.realized_pnl, fees = EXCLUDED.fees, stop_loss = EXCLUDED.stop_loss,
        stop_gain = EXCLUDED.stop_gain, comment = EXCLUDED.comment, reason = EXCLUDED.reason, state = EXCLUDED.state,
        net_key = EXCLUDED.net_key, updated_at = EXCLUDED.updated_at, closed_at = EXCLUDED.closed_at,
        version = EXCLUDED.version;

    INSERT INTO oms_deals
    SELECT * FROM json_populate_recordset(NULL::oms_deals, deals)
    ON CONFLICT (id) DO UPDATE
    SET order_id = EXCLUDED.order_id, position_id = EXCLUDED.position_id, realized_pnl = EXCLUDED.realized_pnl,
        strategy_id = EXCLUDED.strategy_id, reason = EXCLUDED.reason;

    INSERT INTO oms_events
    SELECT * FROM json_populate_recordset(NULL::oms_events, events);
END
$$;

-- Whoever changes who may do what says so, whatever program it is: channel `tickwire`, payload the table's name.
CREATE FUNCTION tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tickwire', TG_TABLE_NAME);
    RETURN NULL;
END
$$;
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
CREATE TRIGGER told AFTER INSERT OR DELETE OR UPDATE OF hash, scopes, expires_at, revoked_at, requests_per_s ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON api_key_account_permissions
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
CREATE TRIGGER told AFTER INSERT OR DELETE OR UPDATE OF name, exchange, environment, position_mode, blocked ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON account_credentials
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON account_risk
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON strategies
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON settings
    FOR EACH STATEMENT EXECUTE FUNCTION tell_change();
