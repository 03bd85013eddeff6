-- The ledger: attempts, requests, and how far each process's spool has been read into them.
-- Money is in nano-USD, times in microseconds since the Unix epoch. Request ids are the 16 bytes of a UUIDv7, whose order
-- is that of time: rows are appended, a request's attempts lie together, and a window of time is a range of the primary
-- key, so that no index on a time has to be kept. What a request used is the sum of its attempts, not stored twice.
-- IF NOT EXISTS: two processes may start on a new database at once.

CREATE TABLE IF NOT EXISTS instances (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    finished INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE IF NOT EXISTS positions (
    instance INTEGER NOT NULL REFERENCES instances (id),
    series INTEGER NOT NULL,
    file INTEGER NOT NULL,
    byte_offset INTEGER NOT NULL,
    PRIMARY KEY (instance, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS attempts (
    request BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    at INTEGER NOT NULL,
    deployment TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    key TEXT,
    tags TEXT,                      -- JSON array; NULL: none
    rule TEXT,
    ceiling_nanousd INTEGER NOT NULL,
    price_version TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT,                   -- success, failure, cancelled, lost; NULL: not ended
    failure TEXT,                   -- of a failure, its kind
    input_tokens INTEGER NOT NULL DEFAULT 0,
    cached_input_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0,
    audio_input_tokens INTEGER NOT NULL DEFAULT 0,
    cached_audio_input_tokens INTEGER NOT NULL DEFAULT 0,
    image_input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    audio_output_tokens INTEGER NOT NULL DEFAULT 0,
    cost_nanousd INTEGER NOT NULL DEFAULT 0,
    estimated INTEGER NOT NULL DEFAULT 0,
    first_byte_ms INTEGER,
    total_ms INTEGER,
    provider_cost_nanousd INTEGER,
    PRIMARY KEY (request, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS attempts_open ON attempts (instance) WHERE outcome IS NULL;

CREATE TABLE IF NOT EXISTS requests (
    request BLOB NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    model TEXT NOT NULL,
    key TEXT,
    client_request_id TEXT,
    rule TEXT,
    deployment TEXT,                -- that answered; NULL: none did
    outcome TEXT NOT NULL,          -- success, cancelled, lost, or the error code the client saw
    attempts INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    reference_cost_nanousd INTEGER NOT NULL,
    first_byte_ms INTEGER,
    overhead_us INTEGER NOT NULL,
    simulated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
