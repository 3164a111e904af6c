-- Schema 2. Of an operation that was deleted, or that retention has taken, only this stays: its recording is gone, not unknown.
CREATE TABLE gone (
    id       TEXT PRIMARY KEY,
    app      TEXT NOT NULL,
    since_ms INTEGER NOT NULL
) WITHOUT ROWID;
-- Schema 1 kept deleted operations with a mark in their documents.
INSERT INTO gone (id, app, since_ms) SELECT id, app, created_ms FROM operations
    WHERE json_valid(doc) AND json_extract(doc, '$.forgotten');
DELETE FROM operations WHERE id IN (SELECT id FROM gone);
