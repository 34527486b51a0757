//! Who a request comes from when proxies stand in front: told by those that the configuration names, by nobody else.
//!
//! For limits, audit and logs alone. No link and no issuer is ever made of what a proxy says.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderName};
use serde::Deserialize;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An address, or a block of them: 10.0.0.0/8, 2001:db8::/32, 192.0.2.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    /// An IPv4 address in its IPv6 form, and the bits of the prefix reckoned likewise: one comparison for both.
    address: Ipv6Addr,
    bits: u32,
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither an address nor a block such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| wrong())?)),
            None => (text.as_str(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (width, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(wrong());
        }
        let network = Self { address: wide(address), bits: bits + before };
        // 10.1.2.3/8 is more often a slip than a wish.
        if u128::from(network.address) & !network.mask() == 0 { Ok(network) } else { Err(wrong()) }
    }
}

impl Network {
    const fn mask(self) -> u128 {
        if self.bits == 0 { 0 } else { u128::MAX << (128 - self.bits) }
    }

    fn contains(self, address: IpAddr) -> bool {
        (u128::from(wide(address)) ^ u128::from(self.address)) & self.mask() == 0
    }
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<Network>);

impl TrustedProxies {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The client behind a peer. Each proxy appends whom it saw, so the right-most entry that is no proxy's own was
    /// written by one that is believed; what stands left of it the client may have made up.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.contains(peer) {
            return peer.to_canonical();
        }
        let mut nearest = peer;
        let values: Vec<_> = headers.get_all(FORWARDED_FOR).collect();
        for value in values.into_iter().rev() {
            let Ok(text) = value.to_str() else { break };
            for entry in text.rsplit(',') {
                // What is no address ends the chain: whoever wrote it is the last one known.
                let Some(address) = address_in(entry.trim()) else { return nearest.to_canonical() };
                nearest = address;
                if !self.contains(address) {
                    return address.to_canonical();
                }
            }
        }
        nearest.to_canonical()
    }
}

/// Some proxies write the port, too.
fn address_in(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

// A test has no caller to hand an error to.
#[allow(clippy::expect_used, clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        TrustedProxies(
            networks.iter().map(|text| Network::try_from((*text).to_owned()).expect(text)).collect(),
        )
    }

    fn client(peer: &str, values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(value).unwrap());
        }
        trusted(&["10.0.0.0/8", "2001:db8::/32"]).client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_right_most_entry_that_is_no_proxy_is_the_client() {
        assert_eq!(client("10.0.0.1", &[b"192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[b"6.6.6.6, 192.0.2.1, 10.9.9.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[b"6.6.6.6", b"192.0.2.1 ,10.9.9.9"]), "192.0.2.1");
        assert_eq!(client("2001:db8::1", &[b"[2001:db9::7]:4711"]), "2001:db9::7");
        assert_eq!(client("::ffff:10.0.0.1", &[b"192.0.2.1:80"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[b"10.0.0.3, 10.0.0.2"]), "10.0.0.3", "a proxy asks for itself");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(client("192.0.2.9", &[b"192.0.2.1"]), "192.0.2.9");
        assert_eq!(client("11.0.0.1", &[b"10.0.0.1"]), "11.0.0.1");
    }

    #[test]
    fn what_is_no_address_ends_the_chain() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        for odd in
            [&b""[..], b",", b"unknown", b"\xff\xfe", b"192.0.2.1, x", b"999.1.1.1", b"[::1", b"_hidden"]
        {
            assert_eq!(client("10.0.0.1", &[odd]), "10.0.0.1");
        }
        assert_eq!(client("10.0.0.1", &[b"192.0.2.1, x, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn blocks_are_read_and_slips_are_not() {
        let all = trusted(&["0.0.0.0/0"]);
        assert!(all.contains("192.0.2.1".parse().unwrap()) && !all.contains("2001:db8::1".parse().unwrap()));
        assert!(trusted(&["::/0"]).contains("192.0.2.1".parse().unwrap()));
        for wrong in
            ["", "x", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8"]
        {
            Network::try_from(wrong.to_owned()).expect_err(wrong);
        }
    }
}
