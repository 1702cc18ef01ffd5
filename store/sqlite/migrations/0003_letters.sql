-- Dead letters are grouped by cause, edited, and written again: what is edited stands beside what came. Groups of letters from before are
-- named when the file is opened: see letters.go.
ALTER TABLE dead_letter ADD COLUMN grp TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN edited INTEGER; -- the number of a dead_message, with what a person has put in the place of content
ALTER TABLE dead_letter ADD COLUMN revision INTEGER NOT NULL DEFAULT 1; -- grows with each writing
CREATE INDEX dead_letter_group ON dead_letter (grp, seconds, nanos, id);
CREATE INDEX dead_letter_edited ON dead_letter (edited) WHERE edited IS NOT NULL;
-- What people did to letters that have gone.
CREATE TABLE dead_note (seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, message TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX dead_note_at ON dead_note (seconds, nanos);
CREATE INDEX dead_note_message ON dead_note (message);
