//! Rate and share of errors out of the histograms in which applications count the HTTP requests that they served.
//!
//! Metrics count every request where traces may be a sample of them, so they are series of their own beside those of spans
//! and are never added to them. As the semantic conventions have it, a request failed when it has an `error.type`, or a status
//! of 500 or more; a client's mistake (4xx) is no failure of the server.

use holdfast_core::model::{Attributes, MetricKind, SeriesKey};

/// The histogram as OTLP has it, as it was called before it was stable, and as Prometheus' exporters write it.
const METRICS: [&str; 3] =
    ["http.server.request.duration", "http.server.duration", "http_server_request_duration_seconds"];
const STATUS: [&str; 3] = ["http.response.status_code", "http.status_code", "http_response_status_code"];
const ERROR: [&str; 2] = ["error.type", "error_type"];
/// What a service is told apart by: its instances count together, as their spans do.
const SERVICE: [&str; 3] = ["service.name", "service.namespace", "deployment.environment.name"];
/// Time between two reports that still makes a rate, in seconds.
const APART_S_MAX: f64 = 300.0;

/// Whether requests of this series failed, when it is such a histogram. Pure.
pub(super) fn failed(key: &SeriesKey) -> Option<bool> {
    let of = |names: &[&str]| names.iter().find_map(|name| key.attributes.get(*name)).filter(|text| !text.is_empty());
    METRICS.contains(&key.metric.as_str()).then(|| {
        let status = of(&STATUS).and_then(|text| text.parse::<u16>().ok());
        of(&ERROR).is_some() || status.is_some_and(|status| status >= 500)
    })
}

/// The service that a series belongs to.
pub(super) fn service(key: &SeriesKey) -> Attributes {
    let own = SERVICE.iter().filter_map(|name| Some(((*name).to_owned(), key.attributes.get(*name)?.clone())));
    own.collect()
}

/// What one service has told since it began, and since the last window that it told something in.
#[derive(Debug, Default)]
pub(super) struct Served {
    requests: u64,
    errors: u64,
    fresh: (u64, u64),
    /// Time since it told something last; `None` before the first time.
    apart_s: Option<f64>,
}

impl Served {
    pub(super) fn add(&mut self, count: u64, failed: bool) {
        let errors = if failed { count } else { 0 };
        self.requests = self.requests.saturating_add(count);
        self.errors = self.errors.saturating_add(errors);
        self.fresh = (self.fresh.0.saturating_add(count), self.fresh.1.saturating_add(errors));
    }

    /// Ends a window: name, unit, kind and value of what was told in it. Applications report every minute or so, a window is
    /// shorter: the rate is over the time between two reports.
    pub(super) fn close(&mut self, window_s: f64) -> Vec<(&'static str, &'static str, MetricKind, f64)> {
        let apart_s = self.apart_s.map(|apart_s| apart_s + window_s);
        let (count, errors) = std::mem::take(&mut self.fresh);
        if count == 0 {
            self.apart_s = apart_s.filter(|apart_s| *apart_s <= APART_S_MAX);
            return Vec::new();
        }
        self.apart_s = Some(0.0);
        let mut out = vec![
            ("holdfast.app.http.requests", "{request}", MetricKind::Counter, self.requests as f64),
            ("holdfast.app.http.errors", "{request}", MetricKind::Counter, self.errors as f64),
            ("holdfast.app.http.error.ratio", "1", MetricKind::Gauge, errors as f64 / count as f64),
        ];
        if let Some(apart_s) = apart_s.filter(|apart_s| *apart_s > 0.0) {
            out.push(("holdfast.app.http.request.rate", "{request}/s", MetricKind::Gauge, count as f64 / apart_s));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(metric: &str, attributes: &[(&str, &str)], expected: Option<bool>) {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let key = SeriesKey { metric: metric.to_owned(), unit: "s".to_owned(), kind: MetricKind::Gauge, attributes };
        assert_eq!(failed(&key), expected, "{key}");
    }

    #[test]
    fn a_request_failed_by_its_error_type_or_its_status() {
        let metric = "http.server.request.duration";
        check(metric, &[("http.response.status_code", "200")], Some(false));
        check(metric, &[("http.response.status_code", "404")], Some(false));
        check(metric, &[("http.response.status_code", "503")], Some(true));
        check(metric, &[("error.type", "timeout")], Some(true));
        check(metric, &[("error.type", "")], Some(false));
        check("http_server_request_duration_seconds", &[("http_response_status_code", "500")], Some(true));
        check("http.client.request.duration", &[("http.response.status_code", "500")], None);
    }

    #[test]
    fn the_rate_is_over_the_time_between_two_reports() {
        let mut served = Served::default();
        let rate = |told: &[(&str, &str, MetricKind, f64)]| told.iter().find(|it| it.1 == "{request}/s").map(|it| it.3);
        served.add(5, false);
        assert_eq!(rate(&served.close(10.0)), None, "nobody knows over which time");
        (0..5).for_each(|_| assert!(served.close(10.0).is_empty()));
        served.add(120, false);
        assert_eq!(rate(&served.close(10.0)), Some(2.0));
        (0..31).for_each(|_| assert!(served.close(10.0).is_empty()));
        served.add(7, true);
        let told = served.close(10.0);
        assert_eq!((rate(&told), told[1].3, told[2].3), (None, 7.0, 1.0));
    }
}
