-- Pairs of customers that may be one and wait for a person. Rows follow the component whose division has left them.
CREATE TABLE review (
  a BLOB NOT NULL, b BLOB NOT NULL, component BLOB NOT NULL, record_a BLOB NOT NULL, record_b BLOB NOT NULL,
  weight INTEGER NOT NULL, threshold INTEGER NOT NULL, records INTEGER NOT NULL, interactions INTEGER NOT NULL, priority INTEGER NOT NULL,
  since INTEGER NOT NULL, -- nanoseconds since 1970, as until
  state INTEGER NOT NULL DEFAULT 0, author TEXT NOT NULL DEFAULT '', until INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (a, b)
) WITHOUT ROWID;
CREATE INDEX review_component ON review (component);
CREATE INDEX review_order ON review (priority DESC, a, b);
CREATE INDEX review_state ON review (state, priority DESC, a, b);
CREATE INDEX review_until ON review (until) WHERE state > 0;
CREATE INDEX review_since ON review (since);
