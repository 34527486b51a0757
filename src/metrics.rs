//! Every metric of the service: name, help and labels in one struct, all series present from the start.
//!
//! Label values come from closed sets; nothing a caller chooses becomes a label. The constant label `region` is on
//! all of them. To add one: a field, a constructor line, and a row in `docs/operations.md`.

mod access_checks;
mod declare;

use arc_swap::ArcSwap;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use self::access_checks::AccessChecks;
pub use self::access_checks::{ALLOWED, CHECK_RESULTS};
use self::declare::{counter, counters, gauge, gauges, histogram, histograms};

use crate::domain::region::Region;
use crate::domain::signing_key::SigningAlgorithm;

/// Where token requests come in.
pub const ENDPOINTS: [&str; 3] = ["oauth", "v1", "v2"];
/// How they end.
pub const OUTCOMES: [&str; 8] = [
    "issued",
    "invalid_request",
    "invalid_client",
    "access_denied",
    "misdirected",
    "rate_limited",
    "error",
    "shed",
];
/// The classes of the latency histogram.
pub const CLASSES: [&str; 3] = ["issued", "refused", "failed"];

const REQUEST_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SIGNING_BUCKETS: [f64; 11] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];
const BATCH_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0];

/// Handles of all metrics.
pub struct Metrics {
    registry: Registry,
    pub token_requests: IntCounterVec,
    /// The SLO metric: from the request in the handler to the release of the token, authentication included.
    pub token_request_duration: HistogramVec,
    pub tokens_issued: IntCounterVec,
    pub signing_duration: HistogramVec,
    pub client_authentications: IntCounterVec,
    pub rate_limited: IntCounterVec,
    pub connections_cut: IntCounterVec,
    pub signing_key_info: IntGaugeVec,
    pub signing_key_activation: GaugeVec,
    pub signing_key_not_after: GaugeVec,
    pub signing_keys_unusable: IntGauge,
    pub access_checks: AccessChecks,
    pub jwks_requests: IntCounterVec,
    pub jwks_stale: IntCounter,
    pub http_requests_in_flight: IntGauge,
    pub http_request_duration: HistogramVec,
    pub panics: IntCounter,
    pub audit_records: IntCounterVec,
    pub audit_records_dropped: IntCounter,
    pub audit_commit_duration: Histogram,
    pub audit_batch_records: Histogram,
    pub audit_spool_bytes: IntGauge,
    pub audit_spool_records: IntGauge,
    pub issuer_key_fetches: IntCounterVec,
    pub introspections: IntCounterVec,
    pub revoked_tokens: IntGauge,
    pub revoked_tokens_limit: IntGauge,
    pub ready: IntGauge,
    pub clock_offset: Gauge,
    pairs: ArcSwap<Pairs>,
}

/// Home region of a workspace, compute region of a webservice.
type Pairs = Vec<(Box<str>, Box<str>)>;
/// Most pairs with series of their own.
const MOST_PAIRS: usize = 64;
const OTHER_PAIR: (&str, &str) = ("other", "other");

impl Metrics {
    /// # Errors
    /// Only for a wrong or doubled name, that is never in a build that passed its tests.
    // A declaration, one entry a metric: shorter pieces would only hide what there is.
    #[allow(clippy::too_many_lines)]
    pub fn new(region: &Region) -> prometheus::Result<Self> {
        let labels = std::iter::once(("region".to_owned(), region.to_string())).collect();
        let registry = Registry::new_custom(None, Some(labels))?;
        let build = IntGaugeVec::new(
            Opts::new("sts_build_info", "Always 1; the labels name the build."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let r = &registry;
        let metrics = Self {
            token_requests: counters(
                r,
                "sts_token_requests_total",
                "Token requests by how they ended.",
                &["endpoint", "outcome"],
            )?,
            token_request_duration: histograms(
                r,
                "sts_token_request_duration_seconds",
                "Time from a token request to its answer, the durable audit record included.",
                &["endpoint", "class", "workspace_region", "compute_region"],
                &REQUEST_BUCKETS,
            )?,
            tokens_issued: counters(
                r,
                "sts_tokens_issued_total",
                "Tokens issued.",
                &["alg", "endpoint", "workspace_region", "compute_region"],
            )?,
            signing_duration: histograms(
                r,
                "sts_signing_duration_seconds",
                "Time of one signature.",
                &["alg"],
                &SIGNING_BUCKETS,
            )?,
            client_authentications: counters(
                r,
                "sts_client_authentications_total",
                "Attempts of callers to prove who they are.",
                &["method", "result"],
            )?,
            rate_limited: counters(
                r,
                "sts_rate_limited_total",
                "Requests of callers that ask, or fail to prove who they are, too often.",
                &["scope"],
            )?,
            connections_cut: counters(
                r,
                "sts_connections_cut_total",
                "Connections that the service ended by itself.",
                &["reason"],
            )?,
            signing_key_info: {
                let opts = Opts::new(
                    "sts_signing_key_info",
                    "Always 1; the labels tell the state of each published key.",
                );
                let gauges = IntGaugeVec::new(opts, &["alg", "kid", "state"])?;
                r.register(Box::new(gauges.clone()))?;
                gauges
            },
            signing_key_activation: gauges(
                r,
                "sts_signing_key_activation_timestamp_seconds",
                "When the active signing key began to sign.",
                &["alg"],
            )?,
            signing_key_not_after: gauges(
                r,
                "sts_signing_key_not_after_timestamp_seconds",
                "When the active signing key signs no more.",
                &["alg"],
            )?,
            signing_keys_unusable: gauge(
                r,
                "sts_signing_keys_unusable",
                "Whether the signing keys in the database can't be opened or checked (1); the loaded ones go on.",
            )?,
            access_checks: AccessChecks::new(r)?,
            jwks_requests: counters(
                r,
                "sts_jwks_requests_total",
                "Requests for the JWKS by status.",
                &["code"],
            )?,
            jwks_stale: counter(
                r,
                "sts_jwks_stale_total",
                "Answers with keys that were read so long ago that no copy of them may be kept.",
            )?,
            http_requests_in_flight: gauge(r, "sts_http_requests_in_flight", "Requests being answered.")?,
            http_request_duration: histograms(
                r,
                "http_server_request_duration_seconds",
                "Time of one request, by route template.",
                &["http_request_method", "http_route", "http_response_status_code"],
                &REQUEST_BUCKETS,
            )?,
            panics: counter(r, "sts_panics_total", "Requests whose handler panicked; each is a bug.")?,
            audit_records: counters(r, "sts_audit_records_total", "Audit records made durable.", &["sink"])?,
            audit_records_dropped: counter(
                r,
                "sts_audit_records_dropped_total",
                "Audit records that could not be made durable; their tokens were not released.",
            )?,
            audit_commit_duration: histogram(
                r,
                "sts_audit_commit_duration_seconds",
                "Time of one group commit.",
                &SIGNING_BUCKETS,
            )?,
            audit_batch_records: histogram(
                r,
                "sts_audit_batch_records",
                "Records in one group commit.",
                &BATCH_BUCKETS,
            )?,
            audit_spool_bytes: gauge(
                r,
                "sts_audit_spool_bytes",
                "Size of the local spool; 0 when every record is in the database.",
            )?,
            audit_spool_records: gauge(
                r,
                "sts_audit_spool_records",
                "Records that wait in the spool for the database.",
            )?,
            issuer_key_fetches: counters(
                r,
                "sts_issuer_key_fetches_total",
                "Attempts to fetch the keys of a trusted issuer.",
                &["issuer", "result"],
            )?,
            introspections: counters(
                r,
                "sts_introspections_total",
                "Questions about tokens by whether the token was active.",
                &["active"],
            )?,
            revoked_tokens: gauge(
                r,
                "sts_revoked_tokens",
                "Tokens that were called back and have not expired.",
            )?,
            revoked_tokens_limit: gauge(
                r,
                "sts_revoked_tokens_limit",
                "How many may be called back and not have expired.",
            )?,
            ready: gauge(
                r,
                "sts_ready",
                "Whether the service takes requests (1) or is starting, draining or broken (0).",
            )?,
            clock_offset: {
                let gauge = Gauge::new(
                    "sts_clock_offset_seconds",
                    "How far this machine's clock is ahead of the database server's.",
                )?;
                r.register(Box::new(gauge.clone()))?;
                gauge
            },
            pairs: ArcSwap::default(),
            registry: registry.clone(),
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// The labels of a pair of regions. Series of a new pair are made at once, so that a rate over them begins at 0 and
    /// not at nothing; pairs beyond the limit share one, as whoever may register a webservice names its region.
    pub fn pair<'a>(&self, workspace_region: &'a str, compute_region: &'a str) -> (&'a str, &'a str) {
        let pair = (workspace_region, compute_region);
        let is_known =
            |pairs: &Pairs| pairs.iter().any(|(home, compute)| (home.as_ref(), compute.as_ref()) == pair);
        let known = self.pairs.load();
        if is_known(&known) {
            return pair;
        }
        if known.len() >= MOST_PAIRS {
            return OTHER_PAIR;
        }
        self.pairs.rcu(|pairs| {
            let mut pairs = Pairs::clone(pairs);
            if !is_known(&pairs) {
                pairs.push((workspace_region.into(), compute_region.into()));
            }
            pairs
        });
        self.introduce_pair(workspace_region, compute_region);
        pair
    }

    fn introduce_pair(&self, workspace_region: &str, compute_region: &str) {
        for endpoint in ENDPOINTS {
            for class in CLASSES {
                self.token_request_duration.with_label_values(&[
                    endpoint,
                    class,
                    workspace_region,
                    compute_region,
                ]);
            }
            for algorithm in SigningAlgorithm::ALL {
                self.tokens_issued.with_label_values(&[
                    algorithm.as_str(),
                    endpoint,
                    workspace_region,
                    compute_region,
                ]);
            }
        }
    }

    /// The text exposition, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(64 * 1024);
        // Encoding into memory fails only for an empty family, which the registry does not gather.
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }

    fn start_at_zero(&self) {
        for endpoint in ENDPOINTS {
            for outcome in OUTCOMES {
                self.token_requests.with_label_values(&[endpoint, outcome]);
            }
        }
        for algorithm in SigningAlgorithm::ALL {
            self.signing_duration.with_label_values(&[algorithm.as_str()]);
        }
        for result in
            ["ok", "unknown_client", "bad_secret", "expired", "malformed", "disabled", "not_allowed"]
        {
            self.client_authentications.with_label_values(&["client_secret", result]);
        }
        for result in
            ["ok", "unknown_client", "bad_assertion", "expired", "malformed", "disabled", "not_allowed"]
        {
            self.client_authentications.with_label_values(&["client_assertion", result]);
        }
        for result in ["ok", "expired", "malformed", "disabled", "not_allowed"] {
            self.client_authentications.with_label_values(&["management_token", result]);
        }
        for scope in ["client", "global", "principal"] {
            self.rate_limited.with_label_values(&[scope]);
        }
        for reason in ["too_many", "stalled", "not_a_proxy"] {
            self.connections_cut.with_label_values(&[reason]);
        }
        for code in ["200", "304"] {
            self.jwks_requests.with_label_values(&[code]);
        }
        for result in ["ok", "failed"] {
            // Of no issuer: the series are there where none is trusted, too.
            self.issuer_key_fetches.with_label_values(&["", result]);
        }
        for active in ["true", "false"] {
            self.introspections.with_label_values(&[active]);
        }
        for place in ["database", "spool"] {
            self.audit_records.with_label_values(&[place]);
        }
        // Refusals before a webservice is known, and management tokens, belong to no pair.
        self.introduce_pair("", "");
        self.introduce_pair(OTHER_PAIR.0, OTHER_PAIR.1);
    }
}
