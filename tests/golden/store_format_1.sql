CREATE TABLE devices (
        id INTEGER PRIMARY KEY,
        uid BLOB NOT NULL UNIQUE CHECK (typeof(uid) = 'blob' AND length(uid) = 16)
    );
CREATE TABLE store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        device INTEGER NOT NULL REFERENCES devices,
        backbone TEXT NOT NULL CHECK (typeof(backbone) = 'text'),
        fingerprint TEXT NOT NULL CHECK (typeof(fingerprint) = 'text'),
        dim INTEGER NOT NULL CHECK (typeof(dim) = 'integer' AND dim > 0),
        counter INTEGER NOT NULL CHECK (typeof(counter) = 'integer'),
        lines INTEGER NOT NULL CHECK (typeof(lines) = 'integer'),
        scrub INTEGER NOT NULL CHECK (scrub IN (0, 1)),
        created REAL NOT NULL CHECK (typeof(created) = 'real'),
        tool TEXT NOT NULL CHECK (typeof(tool) = 'text')
    );
CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL CHECK (typeof(name) = 'text'),
        sha256 TEXT NOT NULL CHECK (typeof(sha256) = 'text'),
        UNIQUE (sha256, name)
    );
CREATE TABLE classes (
        id INTEGER PRIMARY KEY,
        label TEXT NOT NULL UNIQUE CHECK (typeof(label) = 'text')
    );
CREATE TABLE operations (
        id INTEGER PRIMARY KEY,
        uid BLOB NOT NULL UNIQUE CHECK (typeof(uid) = 'blob' AND length(uid) = 16),
        device INTEGER NOT NULL REFERENCES devices,
        counter INTEGER NOT NULL CHECK (typeof(counter) = 'integer'),
        number INTEGER CHECK (typeof(number) IN ('integer', 'null')),
        kind TEXT NOT NULL CHECK (typeof(kind) = 'text'),
        detail TEXT NOT NULL CHECK (typeof(detail) = 'text'),
        time REAL NOT NULL CHECK (typeof(time) = 'real'),
        tool TEXT NOT NULL CHECK (typeof(tool) = 'text'),
        file INTEGER REFERENCES files,
        undone INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1))
    );
CREATE TABLE samples (
        id INTEGER PRIMARY KEY,
        uid BLOB NOT NULL UNIQUE CHECK (typeof(uid) = 'blob' AND length(uid) = 16),
        live INTEGER NOT NULL CHECK (live IN (0, 1)),
        class INTEGER REFERENCES classes,
        origin INTEGER REFERENCES classes,
        operation INTEGER REFERENCES operations,
        digest BLOB CHECK (typeof(digest) IN ('blob', 'null')),
        source TEXT CHECK (typeof(source) IN ('text', 'null')),
        embedding BLOB CHECK (typeof(embedding) IN ('blob', 'null')),
        CHECK ((class IS NULL) = (embedding IS NULL) AND (live = 0 OR class IS NOT NULL))
    );
CREATE TABLE thumbnails (
        sample INTEGER PRIMARY KEY REFERENCES samples,
        image BLOB NOT NULL CHECK (typeof(image) = 'blob')
    );
CREATE TABLE removals (
        sample INTEGER NOT NULL REFERENCES samples,
        operation INTEGER NOT NULL REFERENCES operations,
        PRIMARY KEY (sample, operation)
    ) WITHOUT ROWID;
CREATE TABLE relabels (
        sample INTEGER NOT NULL REFERENCES samples,
        operation INTEGER NOT NULL REFERENCES operations,
        class INTEGER NOT NULL REFERENCES classes,
        PRIMARY KEY (sample, operation)
    ) WITHOUT ROWID;
CREATE INDEX samples_content ON samples (class, live, digest, uid)
        WHERE class IS NOT NULL;
CREATE INDEX samples_operation ON samples (operation) WHERE operation IS NOT NULL;
CREATE INDEX removals_operation ON removals (operation);
CREATE INDEX relabels_operation ON relabels (operation);
