//! Fetching a token from one address, and from the first of several that gives one.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DEADLINE;
use super::shell::printable;
use crate::domain::region::RegionAddress;
use crate::https_client::{self, HttpsError};

/// A token as it is kept, times in Unix seconds.
#[derive(Serialize, Deserialize)]
pub struct KeptToken {
    pub access_token: String,
    pub refresh_by: i64,
    pub expires_at: i64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: i64,
    refresh_by: i64,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
    error_description: String,
    /// Beside a 421.
    #[serde(default)]
    serving_regions: Vec<RegionAddress>,
}

/// Why no token was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody answered, or the service has trouble of its own: another region may answer, a kept token bridges it.
    #[error("{what}")]
    Outage {
        what: String,
        /// It was given up for want of time.
        is_late: bool,
    },
    /// Another region issues for the webservice; where these answer, as the service says.
    #[error("{what}")]
    Misdirected { what: String, serving: Vec<String> },
    /// Nothing was sent: the server is not believed, say. Another region may be.
    #[error("{0}")]
    Unasked(String),
    /// The service said no, or it could not be asked as the command line says.
    #[error("{0}")]
    Refused(String),
}

impl From<HttpsError> for FetchError {
    fn from(error: HttpsError) -> Self {
        let (what, is_late) = (error.to_string(), error.is_late);
        if error.is_outage { Self::Outage { what, is_late } } else { Self::Unasked(what) }
    }
}

/// How long an address may take while there are others that were not asked: a region that is away costs no more than
/// this, so that a token is there within two seconds.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Asks one address after the other until one answers, and says of all why not if none does. A refusal ends it: the
/// regions share the registry, so the next one would say the same.
///
/// An address that was too slow for the short wait is asked once more at the end. One that a server names is believed
/// only as far as to which of the given ones comes next: a secret goes nowhere else.
pub fn in_turn<T>(
    bases: &[&str],
    mut ask: impl FnMut(&str, Duration) -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let patience = if bases.len() > 1 { PATIENCE } else { DEADLINE };
    let mut waiting: VecDeque<_> = bases.iter().map(|base| (*base, patience)).collect();
    let (mut said, mut is_outage) = (Vec::new(), false);
    while let Some((base, patience)) = waiting.pop_front() {
        match ask(base, patience) {
            Ok(answer) => return Ok(answer),
            Err(refused @ FetchError::Refused(_)) => return Err(refused),
            Err(FetchError::Outage { is_late: true, .. }) if patience < DEADLINE => {
                waiting.push_back((base, DEADLINE));
            }
            Err(FetchError::Outage { what, .. }) => {
                is_outage = true;
                said.push(what);
            }
            Err(FetchError::Unasked(what)) => said.push(what),
            Err(FetchError::Misdirected { what, serving }) => {
                said.push(what);
                let of = |base: &str| waiting.iter().position(|(waits, _)| *waits == base);
                let next = serving.iter().find_map(|base| of(base)).and_then(|place| waiting.remove(place));
                next.into_iter().for_each(|next| waiting.push_front(next));
            }
        }
    }
    let what = said.join("; ");
    Err(if is_outage { FetchError::Outage { what, is_late: false } } else { FetchError::Refused(what) })
}

/// One client_credentials request.
pub fn fetch_token(
    agent: &ureq::Agent,
    base: &str,
    client_id: &str,
    secret: &str,
    resource: &str,
    now: i64,
) -> Result<KeptToken, FetchError> {
    let url = format!("{base}/oauth2/token");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", secret),
        ("resource", resource),
    ];
    let (status, text) = https_client::text(agent.post(&url).send_form(form), &url)?;
    if status != 200 {
        return Err(refusal(&url, status, text));
    }
    let answer: TokenAnswer =
        serde_json::from_str(&text).map_err(|error| FetchError::Refused(format!("{url}: {error}")))?;
    Ok(KeptToken {
        access_token: answer.access_token,
        refresh_by: answer.refresh_by,
        expires_at: now.saturating_add(answer.expires_in),
    })
}

fn refusal(url: &str, status: u16, text: String) -> FetchError {
    let (why, serving) = match serde_json::from_str::<ErrorAnswer>(&text) {
        Ok(answer) => (format!("{}: {}", answer.error, answer.error_description), answer.serving_regions),
        Err(_) => (text, Vec::new()),
    };
    let what = format!("{url} answered {status}: {}", printable(&why));
    match status {
        // RFC 9110, section 15.5.20.
        421 => {
            let serving = serving.into_iter().filter_map(|region| region.url).collect();
            FetchError::Misdirected { what, serving }
        }
        // RFC 6585, section 4; RFC 9110, section 15.6: the same request may succeed later.
        429 | 500.. => FetchError::Outage { what, is_late: false },
        _ => FetchError::Refused(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each address says when it is asked, in the order in which they were.
    fn asked(
        bases: &[&str],
        says: impl Fn(&str) -> Result<&'static str, FetchError>,
    ) -> (Vec<String>, String) {
        let mut order = Vec::new();
        let outcome = in_turn(bases, |base, patience| {
            order.push(format!("{base} {}", patience.as_secs()));
            says(base)
        });
        let outcome = match outcome {
            Ok(answer) => answer.to_owned(),
            Err(error) => format!("{error:?}"),
        };
        (order, outcome)
    }

    fn away<T>(is_late: bool) -> Result<T, FetchError> {
        Err(FetchError::Outage { what: "away".to_owned(), is_late })
    }

    fn misdirected<T>(serving: &[&str]) -> Result<T, FetchError> {
        let serving = serving.iter().map(|url| (*url).to_owned()).collect();
        Err(FetchError::Misdirected { what: "not here".to_owned(), serving })
    }

    #[test]
    fn the_next_is_asked_when_one_is_away() {
        let (order, outcome) = asked(&["a", "b"], |base| if base == "a" { away(false) } else { Ok("token") });
        assert_eq!((order, outcome.as_str()), (vec!["a 1".to_owned(), "b 1".to_owned()], "token"));
    }

    #[test]
    fn a_refusal_is_final() {
        let (order, outcome) = asked(&["a", "b"], |_| Err(FetchError::Refused("no".to_owned())));
        assert_eq!((order.len(), outcome.as_str()), (1, "Refused(\"no\")"));
    }

    #[test]
    fn one_that_is_slow_is_asked_again_with_more_time() {
        let (order, outcome) = asked(&["a", "b"], |base| away(base == "a"));
        assert_eq!(order, ["a 1", "b 1", "a 10"]);
        assert!(outcome.contains("away; away"), "{outcome}");
        assert_eq!(asked(&["a"], |_| away(true)).0, ["a 10"]);
    }

    #[test]
    fn the_region_that_a_server_names_comes_next_if_it_was_given() {
        let serving = ["https://evil.example", "c"];
        let (order, outcome) =
            asked(&["a", "b", "c"], |base| if base == "c" { Ok("token") } else { misdirected(&serving) });
        assert_eq!((order, outcome.as_str()), (vec!["a 1".to_owned(), "c 1".to_owned()], "token"));
    }

    #[test]
    fn a_kept_token_bridges_an_outage_of_the_serving_region_only() {
        let (_, outcome) =
            asked(&["a", "b"], |base| if base == "a" { away(false) } else { misdirected(&["a"]) });
        assert!(outcome.starts_with("Outage"), "{outcome}");
        let (_, outcome) = asked(&["a", "b"], |_| misdirected(&[]));
        assert!(outcome.starts_with("Refused"), "{outcome}");
    }
}
