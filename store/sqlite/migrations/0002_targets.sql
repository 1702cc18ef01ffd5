-- What targets are given. A customer's place in their feed is the number of its last entry in the outbox; the customers of an older file
-- are put in the order in which they last changed. Each has had an entry, so no number is higher than those that were given out.
ALTER TABLE customer ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
UPDATE customer SET seq = f.n FROM (
  SELECT c.rowid AS r, row_number() OVER (ORDER BY coalesce(o.seq, 0), c.rowid) AS n
  FROM customer c LEFT JOIN (SELECT customer, max(seq) AS seq FROM outbox GROUP BY customer) o ON o.customer = c.id
) f WHERE f.r = customer.rowid;
CREATE INDEX customer_seq ON customer (seq);

CREATE TABLE target (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID; -- how far each has been given the feed
-- What is known of a customer at a target. due: when what is owed is tried again, nanoseconds since 1970; null where nothing is.
CREATE TABLE receipt (
  target TEXT NOT NULL, customer BLOB NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, remote TEXT NOT NULL,
  remote_version TEXT NOT NULL, hash BLOB NOT NULL, said BLOB NOT NULL, last INTEGER NOT NULL, heard BLOB NOT NULL,
  contests INTEGER NOT NULL, tries INTEGER NOT NULL, due INTEGER, class TEXT NOT NULL, reason TEXT NOT NULL, error TEXT NOT NULL,
  at INTEGER NOT NULL, PRIMARY KEY (target, customer)
) WITHOUT ROWID;
CREATE INDEX receipt_due ON receipt (target, due) WHERE due IS NOT NULL;
CREATE INDEX receipt_refused ON receipt (target, customer) WHERE state = 'refused';
CREATE INDEX receipt_remote ON receipt (target, remote) WHERE remote <> '';

-- How many receipts there are in each state, changed with them.
CREATE TABLE receipt_tally (target TEXT NOT NULL, state TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (target, state)) WITHOUT ROWID;
CREATE TRIGGER receipt_new AFTER INSERT ON receipt BEGIN
  INSERT INTO receipt_tally VALUES (NEW.target, NEW.state, 1) ON CONFLICT (target, state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER receipt_turned AFTER UPDATE OF state ON receipt WHEN OLD.state <> NEW.state BEGIN
  UPDATE receipt_tally SET n = n - 1 WHERE target = OLD.target AND state = OLD.state;
  INSERT INTO receipt_tally VALUES (NEW.target, NEW.state, 1) ON CONFLICT (target, state) DO UPDATE SET n = n + 1;
END;
