//! `[region]` and `[[regions]]`: which region this process serves, and where the others answer.

use serde::Deserialize;
use ureq::http::Uri;

use super::ConfigError;
use crate::domain::region::{Region, RegionAddress, Regions};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionSection {
    pub name: Region,
}

/// One region of the deployment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedRegion {
    pub name: Region,
    /// Where callers reach it: https, a host and perhaps a port; no path, no trailing slash.
    pub url: String,
}

/// Each has up to four published keys, and many validators stop reading a JWKS at a hundred.
const MOST_REGIONS: usize = 20;

/// # Errors
/// They are too many, a name or an address stands twice, an address is none, or the own region is not in a list that there is.
pub fn check(own: &RegionSection, listed: &[ListedRegion]) -> Result<(), ConfigError> {
    let fail = |what: String| Err(ConfigError(what));
    if listed.len() > MOST_REGIONS {
        return fail(format!("regions: at most {MOST_REGIONS} can share one JWKS, not {}", listed.len()));
    }
    for (place, region) in listed.iter().enumerate() {
        if !is_base(&region.url) {
            return fail(format!(
                "regions[{place}].url must be https://HOST or https://HOST:PORT, without a trailing slash, not `{}` \
                 (http:// for a loopback address only)",
                region.url
            ));
        }
        for other in listed.iter().skip(place + 1) {
            if other.name == region.name {
                return fail(format!("regions: `{}` is named twice", region.name));
            }
            if address(&other.url) == address(&region.url) {
                return fail(format!(
                    "regions: `{}` and `{}` have the same url, {}: give each the address at which it alone answers",
                    region.name, other.name, region.url
                ));
            }
        }
    }
    if !listed.is_empty() && !listed.iter().any(|region| region.name == own.name) {
        return fail(format!(
            "regions: the list lacks `{}`, the region.name of this process: add it, or correct region.name",
            own.name
        ));
    }
    Ok(())
}

/// As the rest of the service knows them.
pub fn addresses(listed: &[ListedRegion]) -> Regions {
    let address =
        |region: &ListedRegion| RegionAddress { name: region.name.clone(), url: Some(region.url.clone()) };
    Regions::new(listed.iter().map(address).collect())
}

/// Scheme, host and port, if it is nothing but these.
fn address(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok().filter(|_| !url.ends_with('/'))?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let host = authority.host().to_ascii_lowercase();
    // With a port or without, and nothing before the host.
    let rest = authority.as_str().get(host.len()..)?;
    let port = match (rest.strip_prefix(':'), rest) {
        (Some(port), _) => port.parse().ok()?,
        (None, "") if scheme == "https" => 443,
        (None, "") => 80,
        _ => return None,
    };
    let is_whole = !host.is_empty()
        && host.len() + rest.len() == authority.as_str().len()
        && uri.query().is_none()
        && uri.path() == "/";
    (is_whole && !url.contains('#')).then(|| (scheme.to_owned(), host, port))
}

fn is_base(url: &str) -> bool {
    match address(url) {
        Some((scheme, host, _)) if scheme == "http" => {
            ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str())
        }
        Some((scheme, ..)) => scheme == "https",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(regions: &[(&str, &str)]) -> Vec<ListedRegion> {
        let region = |(name, url): &(&str, &str)| ListedRegion {
            name: Region::parse(name).expect("a region's name"),
            url: (*url).to_owned(),
        };
        regions.iter().map(region).collect()
    }

    #[track_caller]
    fn complaint(regions: &[(&str, &str)]) -> String {
        let own = RegionSection { name: Region::parse("west").expect("a region's name") };
        check(&own, &listed(regions)).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_list_without_contradictions_is_taken() {
        for regions in [
            &[][..],
            &[("west", "https://west.sts.example"), ("north", "https://north.sts.example:8443")],
            &[("west", "http://127.0.0.1:8443"), ("north", "http://[::1]:8444")],
        ] {
            assert_eq!(complaint(regions), "", "{regions:?}");
        }
    }

    #[test]
    fn each_contradiction_is_named() {
        let west = ("west", "https://west.sts.example");
        for (regions, words) in [
            (&[west, ("west", "https://other.example")][..], "`west` is named twice"),
            (&[west, ("north", west.1)], "`west` and `north` have the same url"),
            (&[("north", "https://north.sts.example")], "the list lacks `west`"),
        ] {
            assert!(complaint(regions).contains(words), "{}", complaint(regions));
        }
        for url in [
            "",
            "west.sts.example",
            "https://",
            "https://west.sts.example/",
            "https://west.sts.example/sts",
            "https://user@west.sts.example",
            "http://west.sts.example",
            "http://127.0.0.1.example",
            "ftp://west.sts.example",
        ] {
            assert!(complaint(&[("west", url)]).starts_with("regions[0].url must be"), "{url}");
        }
    }
}
