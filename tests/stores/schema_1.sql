-- The schema of a file as the first version made it.
CREATE TABLE notifications (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    source TEXT NOT NULL,
    own TEXT,
    facts TEXT NOT NULL
);
CREATE INDEX notifications_created ON notifications (created, source);
CREATE TABLE messages (
    notification INTEGER NOT NULL,
    number INTEGER NOT NULL,
    status TEXT NOT NULL,
    due INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    unresolved INTEGER NOT NULL DEFAULT 0,
    submitted INTEGER,
    transport TEXT NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,
    priority TEXT NOT NULL,
    body INTEGER,
    ended INTEGER,
    provider_id TEXT NOT NULL DEFAULT '',
    facts TEXT NOT NULL DEFAULT '{}',
    history TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (notification, number)
) WITHOUT ROWID;
CREATE VIEW shown AS
    SELECT n.seq, n.id, n.created, n.facts, m.number, m.status, m.reason, m.attempts, m.sender, m.recipients, m.history
    FROM notifications AS n LEFT JOIN messages AS m ON m.notification = n.seq;
CREATE INDEX messages_due ON messages (due) WHERE due IS NOT NULL;
CREATE INDEX messages_ended ON messages (ended) WHERE ended IS NOT NULL AND body IS NOT NULL;
CREATE INDEX messages_provider_id ON messages (provider_id) WHERE provider_id <> '';
CREATE TABLE bodies (seq INTEGER PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE captured (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message TEXT NOT NULL,
    at INTEGER NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX captured_message ON captured (message);
CREATE INDEX captured_at ON captured (at);
CREATE TABLE blobs (seq INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, content BLOB NOT NULL);
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
