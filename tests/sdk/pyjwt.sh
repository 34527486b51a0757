#!/usr/bin/env bash
# PyJWT's PyJWKClient verifies a token over HTTPS, and refuses one for another audience.
source "$(dirname "$0")/common.bash"
venv=$tools/pyjwt-2.15
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import jwt, cryptography' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet 'pyjwt[crypto]>=2.10,<3'
fi
start_service
token=$(fetch_token)
SSL_CERT_FILE=$ca "$venv/bin/python" - "$base" "$webservice" "$token" <<'PYTHON'
import sys
import jwt

base, webservice, token = sys.argv[1:]
key = jwt.PyJWKClient(base + "/.well-known/jwks.json").get_signing_key_from_jwt(token)
claims = jwt.decode(token, key.key, algorithms=["ES256"], audience=base + webservice, issuer=base,
                    options={"require": ["exp", "iat", "nbf", "jti", "sub"]})
assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
assert claims["iat"] < claims["refresh_by"] < claims["exp"]
try:
    jwt.decode(token, key.key, algorithms=["ES256"], audience=base + "/other", issuer=base)
    raise SystemExit("a token for another audience was taken")
except jwt.InvalidAudienceError:
    pass
print("PyJWT", jwt.__version__, "verified", claims["webservice"], "for", claims["client_id"])
PYTHON
