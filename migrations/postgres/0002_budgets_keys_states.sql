-- Budgets and what processes have drawn from them, client keys, small values that outlive a process.

ALTER TABLE attempts ADD COLUMN budgets TEXT;   -- JSON array of [name, begin of the period]; NULL: none
ALTER TABLE requests ADD COLUMN provider TEXT;  -- that answered; NULL: none did, or written before this column

-- Where its end is looked for when it dies; NULL: none, or written before this column.
ALTER TABLE instances ADD COLUMN last_request BYTEA;

-- A budget in one period. allotted: drawn by processes, those still living included. settled: spent by ended ones.
CREATE TABLE budgets (
    budget TEXT NOT NULL,
    start BIGINT NOT NULL,
    allotted BIGINT NOT NULL,
    settled BIGINT NOT NULL,
    PRIMARY KEY (budget, start)
);

-- What a process that has not ended has drawn from a budget, and spent of it.
CREATE TABLE allotments (
    budget TEXT NOT NULL,
    start BIGINT NOT NULL,
    instance BIGINT NOT NULL REFERENCES instances (id),
    drawn BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    PRIMARY KEY (budget, start, instance)
);

CREATE INDEX allotments_instance ON allotments (instance);

CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT,
    tags TEXT NOT NULL,             -- JSON arrays
    models TEXT NOT NULL,
    providers TEXT NOT NULL,
    regions TEXT NOT NULL,
    rpm BIGINT,
    tpm BIGINT,
    concurrency BIGINT,
    priority BIGINT NOT NULL,
    budget_nanousd BIGINT,
    budget_period TEXT,             -- day, week, month, total
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked_at IS NULL;

-- Of a key's secrets. Those of revoked keys stay: a secret is never used again.
CREATE TABLE key_hashes (
    sha256 BYTEA NOT NULL PRIMARY KEY,
    key TEXT NOT NULL REFERENCES keys (id),
    number BIGINT NOT NULL,        -- of the key, in order
    valid_until BIGINT
);

CREATE INDEX key_hashes_key ON key_hashes (key);

CREATE TABLE keys_version (version BIGINT NOT NULL);

INSERT INTO keys_version (version) VALUES (0);

CREATE TABLE states (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    value TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
