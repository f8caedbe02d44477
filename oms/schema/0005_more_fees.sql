-- What a fill cost in other currencies than that of its `fee`: currency -> amount as text.
ALTER TABLE oms_deals ADD COLUMN more_fees jsonb NOT NULL DEFAULT '{}';
