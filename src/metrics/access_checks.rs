//! The metrics of `/authorize`, with handles kept: a check costs little more than a look-up of labels.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, Registry};

use super::declare::{counters, histograms};

/// Auth modes of webservices, and what could not be told.
const MODES: [&str; 4] = ["token", "key", "none", "unknown"];
/// The check let the caller in.
pub const ALLOWED: &str = "allowed";
/// How checks end.
pub const CHECK_RESULTS: [&str; 10] = [
    ALLOWED,
    "missing",
    "invalid",
    "expired",
    "revoked",
    "wrong_audience",
    "no_role",
    "not_named",
    "unknown_webservice",
    "error",
];
/// A token seen before takes some 10 µs, one never seen some 100.
const BUCKETS: [f64; 12] =
    [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.025, 0.1, 1.0];

pub struct AccessChecks {
    total: IntCounterVec,
    modes: [OfMode; 4],
}

struct OfMode {
    mode: &'static str,
    allowed: IntCounter,
    duration: Histogram,
}

impl AccessChecks {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let total = counters(
            registry,
            "sts_access_checks_total",
            "Checks of gateways by the webservice's auth mode and by how they ended.",
            &["mode", "result"],
        )?;
        let duration = histograms(
            registry,
            "sts_access_check_duration_seconds",
            "Time from a gateway's request to its answer.",
            &["mode"],
            &BUCKETS,
        )?;
        for mode in MODES {
            for result in CHECK_RESULTS {
                total.with_label_values(&[mode, result]);
            }
        }
        let modes = MODES.map(|mode| OfMode {
            mode,
            allowed: total.with_label_values(&[mode, ALLOWED]),
            duration: duration.with_label_values(&[mode]),
        });
        Ok(Self { total, modes })
    }

    pub fn observe(&self, mode: &str, result: &str, took: Duration) {
        let Some(of) = self.modes.iter().find(|of| of.mode == mode) else { return };
        of.duration.observe(took.as_secs_f64());
        if result == ALLOWED {
            of.allowed.inc();
        } else {
            self.total.with_label_values(&[mode, result]).inc();
        }
    }
}
