-- How a principal may prove itself, whatever credentials it holds: words with commas between them. Null, as a version that
-- knows of no restriction leaves it, stands for every way.
ALTER TABLE principals ADD COLUMN allowed_methods TEXT CHECK (allowed_methods <> '');
