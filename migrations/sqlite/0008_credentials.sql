-- How a principal may prove itself, whatever credentials it holds: words with commas between them. Null, as a version that
-- knows of no restriction leaves it, stands for every way.
ALTER TABLE principals ADD COLUMN allowed_methods TEXT CHECK (allowed_methods <> '');

-- Public keys that came without a certificate stand among those of certificates: `sha256_thumbprint` is then that of the
-- key itself (RFC 7638), and `sha1_thumbprint`, which the table demands, is zero and no name.
ALTER TABLE key_credentials ADD COLUMN is_certificate INTEGER NOT NULL DEFAULT 1 CHECK (is_certificate IN (0, 1));
