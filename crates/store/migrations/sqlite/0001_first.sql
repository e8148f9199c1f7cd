-- Times are microseconds since 1970, UTC. Digests are 32 raw bytes. JSON is what serde writes for the model's types.
-- States of images: 0 scanned, 1 partial, 2 scanning, 3 failed, 4 pending; the smallest of several readers wins.
-- Severities: 0 critical, 1 high, 2 medium, 3 low, 4 negligible, 5 unknown.

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('fence', 0), ('mark', 0), ('stale_writes', 0);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Contents up to 64 KiB stand here, larger ones in a file named by the hash.
CREATE TABLE blobs (
    id      INTEGER PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE,
    bytes   INTEGER NOT NULL,
    content BLOB
) STRICT;

-- Files whose row went in a transaction that is over: they may be removed.
CREATE TABLE blob_trash (
    hash BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE registries (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE,
    config        TEXT NOT NULL,
    enabled       INTEGER NOT NULL,
    credentials   BLOB,
    status        TEXT NOT NULL,
    reason        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    discovered_at INTEGER,
    -- Fencing token of the last lease: who waited longest has its turn.
    last_turn     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Whose facts count for a registry; the smallest rank wins.
CREATE TABLE registry_readers (
    registry_id INTEGER NOT NULL REFERENCES registries (id) ON DELETE CASCADE,
    reader      TEXT NOT NULL,
    rank        INTEGER NOT NULL,
    PRIMARY KEY (registry_id, reader)
) STRICT, WITHOUT ROWID;

CREATE TABLE repositories (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    registry_id   INTEGER NOT NULL REFERENCES registries (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    first_seen    INTEGER NOT NULL,
    last_seen     INTEGER NOT NULL,
    -- When the tags were last listed: the last sight of every live tag.
    tags_seen     INTEGER NOT NULL,
    gone_at       INTEGER,
    -- Number of the last mark for judgement, and of the first since the last judgement (NULL: judged).
    mark          INTEGER NOT NULL DEFAULT 0,
    marked_since  INTEGER,
    next_boundary INTEGER,
    UNIQUE (registry_id, name)
) STRICT;
CREATE INDEX repositories_marked ON repositories (marked_since, id) WHERE marked_since IS NOT NULL;
CREATE INDEX repositories_boundary ON repositories (next_boundary) WHERE next_boundary IS NOT NULL;

CREATE TABLE tags (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    digest        BLOB NOT NULL,
    wanted        INTEGER NOT NULL,
    why_not       TEXT,
    first_seen    INTEGER NOT NULL,
    -- Of a deleted tag.
    last_seen     INTEGER,
    deleted_at    INTEGER,
    UNIQUE (repository_id, name)
) STRICT;
CREATE INDEX tags_digest ON tags (digest);

CREATE TABLE tag_history (
    id      INTEGER PRIMARY KEY,
    tag_id  INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
    digest  BLOB NOT NULL,
    from_at INTEGER NOT NULL,
    to_at   INTEGER
) STRICT;
CREATE INDEX tag_history_tag ON tag_history (tag_id, id);

CREATE TABLE images (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE
) STRICT;

-- Manifest and configuration as one reader resolved them: an agent's word does not count for the server.
CREATE TABLE image_descriptions (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    reader   TEXT NOT NULL,
    resolved TEXT NOT NULL,
    PRIMARY KEY (image_id, reader)
) STRICT;

CREATE TABLE image_states (
    image_id   INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    reader     TEXT NOT NULL,
    state      INTEGER NOT NULL,
    reason     TEXT,
    -- Detector versions of the last commit or failure.
    detectors  TEXT,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (image_id, reader)
) STRICT, WITHOUT ROWID;

-- What a digest turned out to be, as found through one registry (its configuration chooses platforms).
CREATE TABLE manifests (
    id          INTEGER PRIMARY KEY,
    registry_id INTEGER NOT NULL REFERENCES registries (id) ON DELETE CASCADE,
    digest      BLOB NOT NULL,
    reader      TEXT NOT NULL,
    media_type  TEXT NOT NULL,
    kind        TEXT NOT NULL,
    -- Of what is no image: what it is, or why it could not be read.
    note        TEXT,
    skipped     TEXT NOT NULL,
    -- The configuration changed since: to be resolved again.
    outdated    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (registry_id, digest)
) STRICT;
CREATE INDEX manifests_digest ON manifests (digest);

CREATE TABLE index_members (
    manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    image_id    INTEGER NOT NULL REFERENCES images (id),
    platform    TEXT NOT NULL,
    why_not     TEXT,
    PRIMARY KEY (manifest_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_members_image ON index_members (image_id);

CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL,
    key         TEXT NOT NULL,
    reader      TEXT NOT NULL,
    registry_id INTEGER NOT NULL REFERENCES registries (id) ON DELETE CASCADE,
    work        TEXT NOT NULL,
    -- Of scan jobs: the image.
    image       BLOB,
    priority    INTEGER NOT NULL,
    state       TEXT NOT NULL,
    -- 1 while queued or leased.
    live        INTEGER NOT NULL,
    -- 1 when known to be due, or its lease to be over.
    ready       INTEGER NOT NULL,
    -- When it becomes due, the lease ends, or it ended.
    due_at      INTEGER NOT NULL,
    holder      TEXT,
    token       INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    error       TEXT,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX jobs_live ON jobs (kind, key, reader) WHERE live = 1;
CREATE INDEX jobs_ready ON jobs (reader, kind, registry_id, priority DESC, id) WHERE ready = 1;
CREATE INDEX jobs_waiting ON jobs (due_at) WHERE live = 1 AND ready = 0;
CREATE INDEX jobs_due ON jobs (reader, due_at) WHERE live = 1;
CREATE INDEX jobs_leased ON jobs (registry_id) WHERE state = 'leased';
CREATE INDEX jobs_reading ON jobs (image, reader) WHERE state = 'leased';
CREATE INDEX jobs_over ON jobs (id) WHERE live = 0;
CREATE INDEX jobs_registry ON jobs (registry_id, id);

CREATE TABLE blob_claims (
    blob   BLOB NOT NULL,
    reader TEXT NOT NULL,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    token  INTEGER NOT NULL,
    PRIMARY KEY (blob, reader)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_claims_job ON blob_claims (job_id);

-- A blob as one reader read it.
CREATE TABLE layer_reads (
    blob               BLOB NOT NULL,
    reader             TEXT NOT NULL,
    diff_id            BLOB NOT NULL,
    bytes              INTEGER NOT NULL,
    bytes_uncompressed INTEGER NOT NULL,
    PRIMARY KEY (blob, reader)
) STRICT, WITHOUT ROWID;

CREATE TABLE layer_facts (
    blob        BLOB NOT NULL,
    reader      TEXT NOT NULL,
    detector    TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    blob_id     INTEGER NOT NULL REFERENCES blobs (id),
    PRIMARY KEY (blob, reader, detector, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX layer_facts_blob ON layer_facts (blob_id);

CREATE TABLE packages (
    id         INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    key        TEXT NOT NULL,
    -- Ecosystem with release, and without, and the names by which intelligence touches it, folded.
    ecosystem  TEXT,
    base       TEXT,
    name       TEXT NOT NULL,
    source     TEXT,
    stale      INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX packages_stale ON packages (id) WHERE stale = 1;
CREATE INDEX packages_name ON packages (base, name);
CREATE INDEX packages_source ON packages (base, source) WHERE source IS NOT NULL;

CREATE TABLE matches (
    package_id INTEGER PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    count      INTEGER NOT NULL,
    blob_id    INTEGER REFERENCES blobs (id)
) STRICT;
CREATE INDEX matches_blob ON matches (blob_id);

CREATE TABLE package_sets (
    id   INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE package_set_members (
    set_id     INTEGER NOT NULL REFERENCES package_sets (id) ON DELETE CASCADE,
    package_id INTEGER NOT NULL REFERENCES packages (id),
    PRIMARY KEY (set_id, package_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX package_set_members_package ON package_set_members (package_id);

CREATE TABLE inventories (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id     INTEGER NOT NULL REFERENCES images (id),
    reader       TEXT NOT NULL,
    detectors    TEXT NOT NULL,
    blob_id      INTEGER NOT NULL REFERENCES blobs (id),
    committed_at INTEGER NOT NULL,
    UNIQUE (image_id, reader, detectors)
) STRICT;
CREATE INDEX inventories_blob ON inventories (blob_id);

CREATE TABLE inventory_sets (
    inventory_id INTEGER NOT NULL REFERENCES inventories (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    set_id       INTEGER NOT NULL REFERENCES package_sets (id),
    PRIMARY KEY (inventory_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX inventory_sets_set ON inventory_sets (set_id);

CREATE TABLE layers (
    id          INTEGER PRIMARY KEY,
    blob        BLOB NOT NULL UNIQUE,
    -- Hash over the list of file hashes that was last entered for it.
    hashes_hash BLOB
) STRICT;

CREATE TABLE image_layers (
    inventory_id INTEGER NOT NULL REFERENCES inventories (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    layer_id     INTEGER NOT NULL REFERENCES layers (id),
    PRIMARY KEY (inventory_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layers_layer ON image_layers (layer_id);

-- The first 16 bytes of the digests of files: a collision costs one needless judgement.
CREATE TABLE file_hashes (
    prefix   BLOB NOT NULL,
    layer_id INTEGER NOT NULL REFERENCES layers (id) ON DELETE CASCADE,
    PRIMARY KEY (prefix, layer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE image_counters (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    image_id      INTEGER NOT NULL REFERENCES images (id),
    counters      TEXT NOT NULL,
    PRIMARY KEY (repository_id, image_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_counters_image ON image_counters (image_id);

CREATE TABLE policies (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;

CREATE TABLE exceptions (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    document TEXT NOT NULL
) STRICT;

-- Issues outlive their registry: registry_id is no foreign key.
CREATE TABLE issues (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL UNIQUE,
    registry_id INTEGER NOT NULL,
    registry    TEXT NOT NULL,
    repository  TEXT NOT NULL,
    -- 0 open, 1 resolved.
    state       INTEGER NOT NULL,
    severity    INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    policy      TEXT NOT NULL,
    desired     TEXT NOT NULL,
    opened_at   INTEGER NOT NULL,
    -- When it was last opened or reopened: the due date counts from there.
    due_from    INTEGER NOT NULL,
    due_at      INTEGER,
    resolved_at INTEGER,
    resolution  TEXT,
    assignee    TEXT
) STRICT;
CREATE INDEX issues_place ON issues (registry_id, repository, state);
CREATE INDEX issues_registry ON issues (registry);
CREATE INDEX issues_order ON issues (state, severity, opened_at, id);

CREATE TABLE issue_images (
    issue_id INTEGER NOT NULL REFERENCES issues (id) ON DELETE CASCADE,
    digest   BLOB NOT NULL,
    PRIMARY KEY (issue_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX issue_images_digest ON issue_images (digest);

CREATE TABLE issue_history (
    id       INTEGER PRIMARY KEY,
    issue_id INTEGER NOT NULL REFERENCES issues (id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    by       TEXT NOT NULL,
    what     TEXT NOT NULL,
    why      TEXT NOT NULL,
    -- The run of re-evaluation that did it.
    evaluation_id INTEGER
) STRICT;
CREATE INDEX issue_history_issue ON issue_history (issue_id, id);

CREATE TABLE evaluations (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    reason      TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    summary     TEXT NOT NULL
) STRICT;

CREATE TABLE tokens (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL,
    hash        BLOB NOT NULL UNIQUE,
    role        TEXT NOT NULL,
    agent_group TEXT,
    once        INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    spent_at    INTEGER,
    revoked_at  INTEGER
) STRICT;

CREATE TABLE agents (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL,
    agent_group TEXT NOT NULL,
    mode        TEXT NOT NULL,
    secret_hash BLOB NOT NULL UNIQUE,
    version     TEXT NOT NULL,
    joined_at   INTEGER NOT NULL,
    last_seen   INTEGER
) STRICT;

CREATE TABLE audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    by     TEXT NOT NULL,
    what   TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

-- Every image that a wanted live tag shows, as its registry's configuration takes it and its readers resolved it.
-- Two views with the same rows: CROSS JOIN fixes the order of the loops, here from the repository down.
CREATE VIEW shown AS
SELECT p.registry_id, p.id AS repository_id, p.name AS repository, t.id AS tag_id, t.name AS tag, m.id AS manifest_id,
       c.image_id, c.platform
FROM repositories p
CROSS JOIN tags t ON t.repository_id = p.id AND t.deleted_at IS NULL AND t.wanted = 1
CROSS JOIN manifests m ON m.registry_id = p.registry_id AND m.digest = t.digest
CROSS JOIN registry_readers trusted ON trusted.registry_id = p.registry_id AND trusted.reader = m.reader
CROSS JOIN index_members c ON c.manifest_id = m.id AND c.why_not IS NULL;

-- The same from the image up.
CREATE VIEW showing AS
SELECT p.registry_id, p.id AS repository_id, p.name AS repository, t.id AS tag_id, t.name AS tag, m.id AS manifest_id,
       c.image_id, c.platform
FROM index_members c
CROSS JOIN manifests m ON m.id = c.manifest_id
CROSS JOIN registry_readers trusted ON trusted.registry_id = m.registry_id AND trusted.reader = m.reader
CROSS JOIN tags t ON t.digest = m.digest AND t.deleted_at IS NULL AND t.wanted = 1
CROSS JOIN repositories p ON p.id = t.repository_id AND p.registry_id = m.registry_id
WHERE c.why_not IS NULL;

-- How far each reader is with an image; a leased job overrides what is stored.
CREATE VIEW readings AS
SELECT s.image_id, s.reader, s.reason, s.changed_at,
       CASE WHEN EXISTS (SELECT 1 FROM jobs j WHERE j.image = i.digest AND j.reader = s.reader AND j.state = 'leased')
            THEN 2 ELSE s.state END AS state
FROM image_states s
JOIN images i ON i.id = s.image_id;
