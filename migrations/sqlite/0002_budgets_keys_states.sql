-- Budgets and what processes have drawn from them, client keys, small values that outlive a process.
-- Two processes may migrate at once: the second finds its first statement done and tries again.

ALTER TABLE attempts ADD COLUMN budgets TEXT;   -- JSON array of [name, begin of the period]; NULL: none
ALTER TABLE requests ADD COLUMN provider TEXT;  -- that answered; NULL: none did, or written before this column

-- Where its end is looked for when it dies; NULL: none, or written before this column.
ALTER TABLE instances ADD COLUMN last_request BLOB;

-- A budget in one period. allotted: drawn by processes, those still living included. settled: spent by ended ones.
CREATE TABLE budgets (
    budget TEXT NOT NULL,
    start INTEGER NOT NULL,
    allotted INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    PRIMARY KEY (budget, start)
) STRICT, WITHOUT ROWID;

-- What a process that has not ended has drawn from a budget, and spent of it.
CREATE TABLE allotments (
    budget TEXT NOT NULL,
    start INTEGER NOT NULL,
    instance INTEGER NOT NULL REFERENCES instances (id),
    drawn INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    PRIMARY KEY (budget, start, instance)
) STRICT, WITHOUT ROWID;

CREATE INDEX allotments_instance ON allotments (instance);

CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT,
    tags TEXT NOT NULL,             -- JSON arrays
    models TEXT NOT NULL,
    providers TEXT NOT NULL,
    regions TEXT NOT NULL,
    rpm INTEGER,
    tpm INTEGER,
    concurrency INTEGER,
    priority INTEGER NOT NULL,
    budget_nanousd INTEGER,
    budget_period TEXT,             -- day, week, month, total
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked_at IS NULL;

-- Of a key's secrets. Those of revoked keys stay: a secret is never used again.
CREATE TABLE key_hashes (
    sha256 BLOB NOT NULL PRIMARY KEY,
    key TEXT NOT NULL REFERENCES keys (id),
    number INTEGER NOT NULL,        -- of the key, in order
    valid_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX key_hashes_key ON key_hashes (key);

CREATE TABLE keys_version (version INTEGER NOT NULL) STRICT;

INSERT INTO keys_version (version) VALUES (0);

CREATE TABLE states (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    value TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
