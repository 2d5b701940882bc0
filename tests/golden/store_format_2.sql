ALTER TABLE store ADD COLUMN changed INTEGER NOT NULL DEFAULT 0 CHECK (typeof(changed) = 'integer');
ALTER TABLE store ADD COLUMN tip INTEGER NOT NULL DEFAULT 0 CHECK (typeof(tip) = 'integer');
ALTER TABLE store ADD COLUMN floor INTEGER NOT NULL DEFAULT 0 CHECK (typeof(floor) = 'integer');
ALTER TABLE store ADD COLUMN nonnegative INTEGER CHECK (nonnegative IN (0, 1));
ALTER TABLE classes ADD COLUMN examples INTEGER NOT NULL DEFAULT 0 CHECK (typeof(examples) = 'integer');
CREATE TABLE changes (
        id INTEGER PRIMARY KEY,
        class INTEGER NOT NULL CHECK (typeof(class) = 'integer'),
        sample INTEGER NOT NULL CHECK (typeof(sample) = 'integer'),
        sign INTEGER NOT NULL CHECK (sign IN (-1, 1)),
        before INTEGER NOT NULL CHECK (typeof(before) = 'integer')
    );
CREATE TABLE gram (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seq INTEGER NOT NULL CHECK (typeof(seq) = 'integer'),
        tip INTEGER NOT NULL CHECK (typeof(tip) = 'integer'),
        form TEXT NOT NULL CHECK (typeof(form) = 'text'),
        matrix BLOB NOT NULL CHECK (typeof(matrix) = 'blob'),
        digest BLOB NOT NULL CHECK (typeof(digest) = 'blob')
    );
CREATE TABLE sums (
        class INTEGER PRIMARY KEY,
        marks BLOB NOT NULL CHECK (typeof(marks) = 'blob'),
        total BLOB NOT NULL CHECK (typeof(total) = 'blob'),
        digest BLOB NOT NULL CHECK (typeof(digest) = 'blob')
    );
UPDATE classes SET examples = (
        SELECT count(DISTINCT digest) FROM samples s WHERE s.class = classes.id AND s.live = 1
    );
UPDATE store SET tip = abs(random() / 256),
        changed = (SELECT coalesce(sum(examples), 0) FROM classes),
        floor = (SELECT coalesce(sum(examples), 0) FROM classes);
