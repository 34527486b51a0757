-- Two roles and the database, when the server is made: one that owns the tables, and one that serves and has by itself
-- no right to any of them (grants.sql). Run once by psql as the server's administrator, with the secrets mounted.
\set owner_password `cat /run/secrets/owner-password`
\set serve_password `cat /run/secrets/serve-password`
CREATE ROLE wsts_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE wsts_serve LOGIN PASSWORD :'serve_password';
CREATE DATABASE wsts OWNER wsts_owner ENCODING 'UTF8' TEMPLATE template0;
-- By default every role may enter every database.
REVOKE CONNECT ON DATABASE wsts FROM PUBLIC;
GRANT CONNECT ON DATABASE wsts TO wsts_serve;
