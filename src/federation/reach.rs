//! Which addresses an issuer's host may have. What is looked at here is what is connected to, so a name that changes its
//! addresses in between gains nothing.

use std::net::IpAddr;

use ureq::config::Config;
use ureq::http::Uri;
// Not under semver: a later ureq may ask for another form, which then doesn't compile.
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Resolves names, and refuses addresses that a request from here should not go to.
#[derive(Debug)]
pub struct Reach {
    /// Whether the operator says that the issuer is near.
    pub private: bool,
}

impl Resolver for Reach {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let plain = uri.scheme_str() != Some("https");
        let refused = |ip: IpAddr| if plain { !ip.is_loopback() } else { !self.private && !is_public(ip) };
        match found.iter().find(|address| refused(address.ip())) {
            None => Ok(found),
            Some(address) => {
                let why = if plain {
                    "is no loopback address, as plain HTTP needs"
                } else {
                    "is not public: allow_private_addresses = true permits it"
                };
                let text = format!("its address {} {why}", address.ip());
                Err(ureq::Error::Io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, text)))
            }
        }
    }
}

/// Whether the address is anyone's on the Internet, by IANA's special-purpose registries (RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [0 | 10 | 127, ..] | [169, 254, ..] | [192, 168, ..] | [192, 0, 0, _] => false,
            [100, second, ..] => !(64..128).contains(&second),
            [172, second, ..] => !(16..32).contains(&second),
            [198, 18 | 19, ..] => false,
            [first, ..] => first < 224 && !ip.is_documentation(),
        },
        IpAddr::V6(ip) => match ip.segments() {
            // An IPv4 address in another form: mapped, and by NAT64 (RFC 6052).
            [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                is_public(IpAddr::V4((u32::from(high) << 16 | u32::from(low)).into()))
            }
            // Tunnels (Teredo, 6to4) that carry an IPv4 address, and documentation.
            [0x2001, 0 | 0xdb8, ..] | [0x2002, ..] => false,
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for (address, expected) in [
            ("1.1.1.1", true),
            ("100.63.0.1", true),
            ("172.32.0.1", true),
            ("2606:4700::1111", true),
            ("64:ff9b::101:101", true),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("127.0.0.2", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.2.1", false),
            ("192.168.1.1", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("2002:a00:1::1", false),
            ("2001:db8::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}
