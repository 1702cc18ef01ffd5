-- What rests here: see docs/architecture.md. Ids are 16 bytes; bodies are JSON (codec.go).
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE position (
  source TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
  topic_id TEXT NOT NULL, next INTEGER NOT NULL, epoch INTEGER NOT NULL, owner INTEGER NOT NULL,
  PRIMARY KEY (source, topic, partition)
) WITHOUT ROWID;
CREATE TABLE mapping (source TEXT NOT NULL, revision INTEGER NOT NULL, version TEXT NOT NULL, PRIMARY KEY (source, revision)) WITHOUT ROWID;

CREATE TABLE record (id BLOB NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE held (record BLOB PRIMARY KEY, node INTEGER NOT NULL, keys BLOB NOT NULL) WITHOUT ROWID; -- keys: 8 bytes each
CREATE TABLE record_key (key INTEGER NOT NULL, record BLOB NOT NULL, node INTEGER NOT NULL, PRIMARY KEY (key, record)) WITHOUT ROWID;
CREATE TABLE edge (
  a BLOB NOT NULL, b BLOB NOT NULL, weight INTEGER NOT NULL, threshold INTEGER NOT NULL,
  levels BLOB NOT NULL, rule TEXT NOT NULL, against INTEGER NOT NULL, PRIMARY KEY (a, b)
) WITHOUT ROWID;
CREATE TABLE member (record BLOB PRIMARY KEY, component BLOB NOT NULL, customer BLOB NOT NULL, live INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX member_component ON member (component);
CREATE INDEX member_customer ON member (customer);
CREATE TABLE decision (id TEXT PRIMARY KEY, a BLOB NOT NULL, b BLOB NOT NULL, undone INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX decision_a ON decision (a);

CREATE TABLE customer (id BLOB NOT NULL UNIQUE, status TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX customer_status ON customer (status);
CREATE TABLE customer_history (customer BLOB NOT NULL, version INTEGER NOT NULL, at TEXT NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX customer_history_version ON customer_history (customer, version);
CREATE TABLE interaction (id BLOB NOT NULL UNIQUE, forgotten INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE party (record BLOB NOT NULL, occurred INTEGER NOT NULL, interaction BLOB NOT NULL, PRIMARY KEY (record, occurred, interaction)) WITHOUT ROWID;

CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, customer BLOB NOT NULL, version INTEGER NOT NULL, value BLOB);
CREATE TABLE dead_letter (id TEXT PRIMARY KEY, source TEXT NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX dead_letter_at ON dead_letter (at, id);
