-- The ledger: attempts, requests, and how far each process's spool has been read into them.
-- Money is in nano-USD, times in microseconds since the Unix epoch. Request ids are the 16 bytes of a UUIDv7, whose order
-- is that of time: rows are appended, a request's attempts lie together, and a window of time is a range of the primary
-- key, so that no index on a time has to be kept. What a request used is the sum of its attempts, not stored twice.

CREATE TABLE instances (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    finished BOOLEAN NOT NULL DEFAULT false
);

CREATE TABLE positions (
    instance BIGINT NOT NULL REFERENCES instances (id),
    series BIGINT NOT NULL,
    file BIGINT NOT NULL,
    byte_offset BIGINT NOT NULL,
    PRIMARY KEY (instance, series)
);

CREATE TABLE attempts (
    request BYTEA NOT NULL,
    attempt BIGINT NOT NULL,
    instance BIGINT NOT NULL,
    at BIGINT NOT NULL,
    deployment TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    key TEXT,
    tags TEXT,                      -- JSON array; NULL: none
    rule TEXT,
    ceiling_nanousd BIGINT NOT NULL,
    price_version TEXT NOT NULL,
    simulated BOOLEAN NOT NULL,
    ended_at BIGINT,
    outcome TEXT,                   -- success, failure, cancelled, lost; NULL: not ended
    failure TEXT,                   -- of a failure, its kind
    input_tokens BIGINT NOT NULL DEFAULT 0,
    cached_input_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_1h_tokens BIGINT NOT NULL DEFAULT 0,
    audio_input_tokens BIGINT NOT NULL DEFAULT 0,
    cached_audio_input_tokens BIGINT NOT NULL DEFAULT 0,
    image_input_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    reasoning_tokens BIGINT NOT NULL DEFAULT 0,
    audio_output_tokens BIGINT NOT NULL DEFAULT 0,
    cost_nanousd BIGINT NOT NULL DEFAULT 0,
    estimated BOOLEAN NOT NULL DEFAULT false,
    first_byte_ms BIGINT,
    total_ms BIGINT,
    provider_cost_nanousd BIGINT,
    PRIMARY KEY (request, attempt)
);

CREATE INDEX attempts_open ON attempts (instance) WHERE outcome IS NULL;

CREATE TABLE requests (
    request BYTEA NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    model TEXT NOT NULL,
    key TEXT,
    client_request_id TEXT,
    rule TEXT,
    deployment TEXT,                -- that answered; NULL: none did
    outcome TEXT NOT NULL,          -- success, cancelled, lost, or the error code the client saw
    attempts BIGINT NOT NULL,
    cost_nanousd BIGINT NOT NULL,
    reference_cost_nanousd BIGINT NOT NULL,
    first_byte_ms BIGINT,
    overhead_us BIGINT NOT NULL,
    simulated BOOLEAN NOT NULL
);
