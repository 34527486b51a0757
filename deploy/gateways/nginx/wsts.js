// Checks a bearer token of wsts inside nginx (njs 0.7.9 or newer), offline: signature with the keys of the JWKS, then
// issuer, audience and times. Which keys there are is nginx.conf's business: its cache keeps them for their max-age.
//
// ES256 only, which is what wsts signs with unless keys.algorithm says otherwise.

// tokens.gateway_leeway_seconds
const LEEWAY_SECONDS = 60;
const LONGEST_TOKEN = 8192;

// A P-256 public key in DER (RFC 5480) up to its point; njs 0.7.9 does not read a JWK.
const P256_POINT = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

const bytes = (text) => Buffer.from(text, 'base64url');
const json = (text) => JSON.parse(bytes(text).toString());

// For auth_request: 204 lets the request in, 401 keeps it out, anything else is our own trouble.
async function check(r) {
    const keys = await r.subrequest('/_wsts/jwks', { method: 'GET' });
    if (keys.status !== 200) {
        r.error(`wsts: no keys: the JWKS was answered with ${keys.status}`);
        r.return(503);
        return;
    }
    const refusal = await refuse(r, JSON.parse(keys.responseText).keys);
    if (refusal) {
        r.warn(`wsts: refused: ${refusal}`);
        r.headersOut['WWW-Authenticate'] = 'Bearer error="invalid_token"';
        r.return(401);
        return;
    }
    r.return(204);
}

// Why the token is refused; nothing when it is not.
async function refuse(r, keys) {
    const given = /^Bearer +([\w-]+)\.([\w-]+)\.([\w-]+)$/i.exec(r.headersIn.Authorization || '');
    if (!given || given[0].length > LONGEST_TOKEN) {
        return 'no token';
    }
    let header, claims;
    try {
        header = json(given[1]);
        claims = json(given[2]);
    } catch (error) {
        return 'no JSON in it';
    }
    if (!header || !claims) {
        return 'no objects in it';
    }
    if (header.alg !== 'ES256' || header.typ !== 'at+jwt' || header.crit !== undefined) {
        return 'not an access token signed with ES256';
    }
    const jwk = keys.find((key) => key.kid === header.kid && key.kty === 'EC' && key.crv === 'P-256');
    if (!jwk) {
        return `no key ${header.kid}`;
    }
    const signed = `${given[1]}.${given[2]}`;
    const good = await verify(jwk, bytes(given[3]), signed);
    return good ? wrong(claims, r.variables.wsts_issuer, r.variables.wsts_audience) : 'wrong signature';
}

async function verify(jwk, signature, signed) {
    const spki = Buffer.concat([P256_POINT, bytes(jwk.x), bytes(jwk.y)]);
    const curve = { name: 'ECDSA', namedCurve: 'P-256' };
    const key = await crypto.subtle.importKey('spki', spki, curve, false, ['verify']);
    return crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, signature, signed);
}

// What is wrong with the claims; nothing when they are right.
function wrong(claims, issuer, audience) {
    const now = Date.now() / 1000;
    if (claims.iss !== issuer) {
        return 'another issuer';
    }
    if (claims.aud !== audience) {
        return 'another audience';
    }
    if (typeof claims.exp !== 'number' || claims.exp + LEEWAY_SECONDS <= now) {
        return 'expired';
    }
    if (claims.nbf !== undefined && !(claims.nbf - LEEWAY_SECONDS <= now)) {
        return 'not valid yet';
    }
}

export default { check };
