//! What makes a public key worthless though its form is right. Looked at when a key is loaded, not when it is used.

use num_bigint::BigUint;

/// FIPS 186-4, appendix D.1.2.3: the field of P-256 and the constant of its equation.
const P: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];
const B: [u8; 32] = [
    0x5a, 0xc6, 0x35, 0xd8, 0xaa, 0x3a, 0x93, 0xe7, 0xb3, 0xeb, 0xbd, 0x55, 0x76, 0x98, 0x86, 0xbc, 0x65,
    0x1d, 0x06, 0xb0, 0xcc, 0x53, 0xb0, 0xf6, 0x3b, 0xce, 0x3c, 0x3e, 0x27, 0xd2, 0x60, 0x4b,
];

/// Whether y² = x³ − 3x + b, with both below p. ring says it only when it verifies, and then only as a wrong signature.
pub fn is_on_p256(x: &[u8], y: &[u8]) -> bool {
    let [x, y, p, b] = [x, y, &P, &B].map(BigUint::from_bytes_be);
    // −3 is p − 3: these numbers have no sign.
    x < p && y < p && &y * &y % &p == (&x * &x * &x + (&p - 3_u32) * &x + b) % &p
}

/// Of the primes modulo which 65537 generates less than all of the group, those that the published test looks at.
const DISCRIMINATORS: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// Whether an RSA modulus has the mark of Infineon's library (ROCA, CVE-2017-15361): its primes are
/// k·M + (65537^a mod M), so their product is a power of 65537 modulo each small prime (Nemec and others, "The Return of
/// Coppersmith's Attack", CCS 2017, section 2.3). Another modulus has it by chance, once in some hundred million.
pub fn is_of_roca(n: &[u8]) -> bool {
    DISCRIMINATORS.iter().all(|prime| {
        let residue = n.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        loop {
            if power == residue {
                return true;
            }
            power = power * 65_537 % prime;
            if power == 1 {
                return false;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn product_of_primes(most: u32) -> BigUint {
        (2..=most).filter(|n| (2..*n).all(|d| n % d != 0)).map(BigUint::from).product()
    }

    #[test]
    fn a_modulus_of_infineons_form_is_found_and_another_is_not() {
        // The first 126 primes, as the library uses for 2048 bits.
        let m = product_of_primes(701);
        let base = BigUint::from(65_537_u32);
        for (k, a) in [(7_u32, 5_u32), (1_000_003, 77), (4_294_967_291, 123_456_789)] {
            let prime_like = |k: u32, a: u32| &m * k + base.modpow(&a.into(), &m);
            let modulus = prime_like(k, a) * prime_like(k + 1, a + 1);
            assert!(is_of_roca(&modulus.to_bytes_be()), "k {k}, a {a}");
            for more in [2_u32, 4, 6] {
                assert!(!is_of_roca(&(&modulus + more).to_bytes_be()), "k {k}, a {a}, + {more}");
            }
        }
        // RFC 7515, appendix A.2.
        let sound = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
        assert!(!is_of_roca(&URL_SAFE_NO_PAD.decode(sound).unwrap_or_default()));
    }

    #[test]
    fn a_point_lies_on_the_curve_or_is_none() {
        // RFC 7515, appendix A.3.
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let x = decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        assert!(is_on_p256(&x, &y));
        let negated = (BigUint::from_bytes_be(&P) - BigUint::from_bytes_be(&y)).to_bytes_be();
        assert!(is_on_p256(&x, &negated));
        assert!(!is_on_p256(&y, &x));
        // The point at infinity has no coordinates; zeros are what some libraries write for it.
        assert!(!is_on_p256(&[0; 32], &[0; 32]));
        // x + p is the same number modulo p, and no second name of it.
        let sum = (BigUint::from_bytes_be(&x) + BigUint::from_bytes_be(&P)).to_bytes_be();
        assert!(!is_on_p256(&sum, &y));
        for at in 0..32 {
            let mut beside = y.clone();
            beside[at] ^= 1;
            assert!(!is_on_p256(&x, &beside), "bit of byte {at}");
        }
    }
}
