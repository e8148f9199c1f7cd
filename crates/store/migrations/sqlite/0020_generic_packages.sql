-- Software without a package manager has advisories now: it is touched by name, and matched once more.
UPDATE packages SET ecosystem = 'Generic', base = 'Generic', stale = 1
WHERE base IS NULL AND json_extract(key, '$.format') = 'generic';
