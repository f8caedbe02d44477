-- Dead man's switches: when all orders of an account are canceled, unless that is put off before.
CREATE TABLE cancel_all_after (
    account_id bigint PRIMARY KEY REFERENCES accounts,
    due_at timestamptz NOT NULL
);
