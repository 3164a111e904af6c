-- Schema 1. Documents are JSON that only `control` reads; columns are what is searched by. Times are Unix milliseconds.
CREATE TABLE calls (
    id   TEXT PRIMARY KEY,
    app  TEXT NOT NULL,
    doc  TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE operations (
    id         TEXT PRIMARY KEY,
    call_id    TEXT NOT NULL,
    app        TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('live', 'ended')),
    created_ms INTEGER NOT NULL,
    doc        TEXT NOT NULL
);
CREATE INDEX operations_of_call ON operations (call_id, seq);
CREATE INDEX operations_live ON operations (seq) WHERE state = 'live';

CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id   TEXT NOT NULL UNIQUE,
    order_key    TEXT NOT NULL,
    app          TEXT NOT NULL,
    callback_uri TEXT NOT NULL,
    body         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'undeliverable')),
    attempts     INTEGER NOT NULL,
    since_ms     INTEGER NOT NULL,
    next_at_ms   INTEGER NOT NULL,
    last_error   TEXT
);
CREATE INDEX outbox_pending ON outbox (order_key, seq) WHERE state = 'pending';
CREATE INDEX outbox_by_state ON outbox (state, seq);

CREATE TABLE idempotency (
    app          TEXT NOT NULL,
    path         TEXT NOT NULL,
    key          TEXT NOT NULL,
    body_hash    TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (app, path, key)
) WITHOUT ROWID;
