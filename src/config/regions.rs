//! `[region]` and `[[regions]]`: which region this process serves, and where the others answer.

use serde::Deserialize;

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

/// # Errors
/// A name or an address stands twice, an address is none, or the own region is not in a list that there is.
pub fn check(own: &RegionSection, listed: &[ListedRegion]) -> Result<(), ConfigError> {
    let fail = |what: String| Err(ConfigError(what));
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
            if other.url == region.url {
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

fn is_base(url: &str) -> bool {
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@', '\\']);
    match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(host), _) => is_host(host),
        (_, Some(host)) => {
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            is_host(host) && ["localhost", "127.0.0.1", "[::1]"].contains(&name)
        }
        _ => false,
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
