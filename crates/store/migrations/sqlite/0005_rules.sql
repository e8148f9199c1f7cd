-- Documents that people edit as a whole, each with its revision: `extraction-rules`, `tuning`.
CREATE TABLE documents (
    name     TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Edits of intent that nothing was judged for yet: written with the edit, removed once everything was judged.
CREATE TABLE causes (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL
) STRICT;

-- Of failed and partly read images: how often these detector versions were tried, and when the next try is due.
ALTER TABLE image_states ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE image_states ADD COLUMN retry_at INTEGER;
CREATE INDEX image_states_retry ON image_states (retry_at) WHERE retry_at IS NOT NULL;

-- The same of manifests that could not be read.
ALTER TABLE manifests ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE manifests ADD COLUMN retry_at INTEGER;
CREATE INDEX manifests_retry ON manifests (retry_at) WHERE retry_at IS NOT NULL;

DROP VIEW readings;
-- How far each reader is with an image; a leased job overrides what is stored.
CREATE VIEW readings AS
SELECT s.image_id, s.reader, s.reason, s.changed_at, s.tries, s.retry_at,
       CASE WHEN EXISTS (SELECT 1 FROM jobs j WHERE j.image = i.digest AND j.reader = s.reader AND j.state = 'leased')
            THEN 2 ELSE s.state END AS state
FROM image_states s
JOIN images i ON i.id = s.image_id;
