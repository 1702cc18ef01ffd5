-- What rests here: see docs/architecture.md. Ids are 16 bytes; codec.go and body.go alone know what bodies and packed keys look like.
-- Rows with bodies stand in the order of arrival with a small index over the random ids beside them; short rows stand in the order
-- in which they are asked for.
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE position (
  source TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
  topic_id TEXT NOT NULL, next INTEGER NOT NULL, epoch INTEGER NOT NULL, owner INTEGER NOT NULL,
  PRIMARY KEY (source, topic, partition)
) WITHOUT ROWID;
CREATE TABLE mapping (source TEXT NOT NULL, revision INTEGER NOT NULL, version TEXT NOT NULL, PRIMARY KEY (source, revision)) WITHOUT ROWID;

CREATE TABLE record (id BLOB NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE held (node BLOB PRIMARY KEY, keys BLOB NOT NULL) WITHOUT ROWID; -- keys: 8 bytes each
CREATE TABLE node_key (key INTEGER NOT NULL, node BLOB NOT NULL, PRIMARY KEY (key, node)) WITHOUT ROWID;
CREATE TABLE edge ( -- between nodes
  a BLOB NOT NULL, b BLOB NOT NULL, weight INTEGER NOT NULL, threshold INTEGER NOT NULL,
  levels BLOB NOT NULL, rule TEXT NOT NULL, against INTEGER NOT NULL, PRIMARY KEY (a, b)
) WITHOUT ROWID;
-- Where a record is. Its node is what it says while it is live.
CREATE TABLE member (
  record BLOB PRIMARY KEY, component BLOB NOT NULL, customer BLOB NOT NULL, live INTEGER NOT NULL, node BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX member_component ON member (component);
CREATE INDEX member_node ON member (node) WHERE live = 1;
CREATE INDEX member_left ON member (customer) WHERE live = 0; -- the living stand in the customer
-- Customers that a record once belonged to: where an erasure looks for what is left of it.
CREATE TABLE stay (record BLOB NOT NULL, customer BLOB NOT NULL, PRIMARY KEY (record, customer)) WITHOUT ROWID;
CREATE INDEX stay_customer ON stay (customer);
CREATE TABLE decision (id TEXT PRIMARY KEY, a BLOB NOT NULL, b BLOB NOT NULL, undone INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX decision_a ON decision (a);
CREATE INDEX decision_b ON decision (b);

CREATE TABLE customer (id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL, status TEXT NOT NULL, body BLOB NOT NULL);
-- Versions that were replaced: the newest stands in customer.
CREATE TABLE customer_history (customer BLOB NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX customer_history_version ON customer_history (customer, version);
CREATE TABLE interaction (id BLOB NOT NULL UNIQUE, forgotten INTEGER NOT NULL, body BLOB NOT NULL);
-- When it occurred: seconds since 1970, and nanoseconds, so that any year fits.
CREATE TABLE party (
  record BLOB NOT NULL, seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, interaction BLOB NOT NULL,
  PRIMARY KEY (record, seconds, nanos, interaction)
) WITHOUT ROWID;

-- What waits to be published. The value is that version's body: it stands in customer or in customer_history.
CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, customer BLOB NOT NULL, version INTEGER NOT NULL);
-- What messages with dead letters hold, once each, however many of their parts are dead; it goes with the last letter that has it.
CREATE TABLE dead_message (number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, head BLOB NOT NULL, value BLOB NOT NULL);
CREATE TABLE dead_letter (
  id TEXT NOT NULL UNIQUE, source TEXT NOT NULL, seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, body BLOB NOT NULL,
  message TEXT NOT NULL, content INTEGER -- the number of a dead_message; null where there are no bytes
);
CREATE INDEX dead_letter_message ON dead_letter (message);
CREATE INDEX dead_letter_content ON dead_letter (content);
-- Records that a message names which has dead letters: where an erasure looks for what they hold.
CREATE TABLE named (record BLOB NOT NULL, message TEXT NOT NULL, PRIMARY KEY (record, message)) WITHOUT ROWID;
CREATE INDEX named_message ON named (message);
CREATE INDEX dead_letter_at ON dead_letter (seconds, nanos, id);
CREATE INDEX dead_letter_source ON dead_letter (source, seconds, nanos, id);

-- How much there is of each, so that nobody has to count millions: one row, changed with the rows that it counts.
CREATE TABLE tally (
  records INTEGER NOT NULL, customers INTEGER NOT NULL, interactions INTEGER NOT NULL, merges INTEGER NOT NULL, dead_letters INTEGER NOT NULL
);
INSERT INTO tally VALUES (0, 0, 0, 0, 0);
