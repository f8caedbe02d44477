-- Which way a position went, also once nothing is left of it: a deal never turns one, what is beyond closing it opens
-- another. Those that are there are of the side of what opened them.
ALTER TABLE oms_positions ADD COLUMN side text CHECK (side IN ('long', 'short'));
UPDATE oms_positions
SET side = CASE WHEN qty > 0 THEN 'long' WHEN qty < 0 THEN 'short' ELSE (
    SELECT CASE oms_deals.side WHEN 'buy' THEN 'long' ELSE 'short' END
    FROM oms_deals WHERE oms_deals.position_id = oms_positions.id ORDER BY oms_deals.id LIMIT 1
) END;
