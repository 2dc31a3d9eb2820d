//! `GET /metrics`: how the agent itself is doing, for Prometheus. What it measures of the host is asked for elsewhere.
//!
//! Names are `holdfast_…` with base units; counters count since the agent started, and begin again with it. What the agent
//! does not know is left out, never zero.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use holdfast_core::model::Timestamp;

use super::exposition::{self, Exposition};
use super::routes::Refused;
use super::{ApiContext, read};
use crate::export::{ExportStatus, StreamStatus};
use crate::request::{Caller, Refusal, RefusalKind, Request};
use crate::status::{CollectorStatus, PluginStatus, StatusDocument};
use crate::store::StateCounts;
use crate::telemetry::events::Counter;

pub(super) async fn metrics(
    State(context): State<ApiContext>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Refused> {
    let status = context.door.ask(caller, Request::Status).await?;
    let status: StatusDocument = serde_json::from_value(status)
        .map_err(|e| Refusal::new(RefusalKind::Failed, format!("the agent's status cannot be read: {e}")))?;
    let Json(counts) = read::reading(context, |context| Ok(context.state.counts()?)).await?;
    Ok(([(CONTENT_TYPE, exposition::CONTENT_TYPE)], text(&status, &counts)).into_response())
}

fn secs(at: Timestamp) -> f64 {
    at.ns() as f64 / 1e9
}

fn bare(value: f64) -> (exposition::Labels<'static>, f64) {
    (Vec::new(), value)
}

fn alone(value: f64) -> [(exposition::Labels<'static>, f64); 1] {
    [bare(value)]
}

fn yes(it: bool) -> f64 {
    f64::from(u8::from(it))
}

/// Pure, but for the counters of events.
fn text(status: &StatusDocument, counts: &StateCounts) -> String {
    let mut out = Exposition::default();
    agent(&mut out, status);
    for counter in Counter::ALL {
        out.counter(&counter.name().replace('.', "_"), counter.help(), alone(counter.get() as f64));
    }
    collectors(&mut out, &status.collectors);
    store(&mut out, status);
    let exports: Vec<ExportStatus> =
        status.exports.iter().filter_map(|it| serde_json::from_value(it.clone()).ok()).collect();
    destinations(&mut out, &exports);
    plugins(&mut out, &status.plugins);
    judgement(&mut out, status, counts);
    out.into_text()
}

fn agent(out: &mut Exposition, it: &StatusDocument) {
    let build = vec![("version", it.version.as_str())];
    out.gauge("holdfast_build_info", "The version of the agent; always 1.", [(build, 1.0)]);
    let ceiling = vec![("mode", it.mode_ceiling.as_str())];
    out.gauge("holdfast_mode_ceiling_info", "The most that any rule may do here; always 1.", [(ceiling, 1.0)]);
    out.gauge(
        "holdfast_start_time_seconds",
        "When the agent was started, since the epoch.",
        alone(secs(it.started_at)),
    );
    let cpu_s = it.own.cpu_s.map(bare);
    out.counter("holdfast_cpu_seconds", "CPU time that the agent has used.", cpu_s);
    let resident = it.own.resident_bytes.map(|b| bare(b as f64));
    out.gauge("holdfast_resident_memory_bytes", "Resident memory of the agent.", resident);
    out.gauge("holdfast_paused", "1 while no action may start.", alone(yes(it.paused.is_some())));
    out.gauge("holdfast_problems", "What goes wrong with the agent at the moment.", alone(it.problems.len() as f64));
}

fn collectors(out: &mut Exposition, all: &[CollectorStatus]) {
    let each = |value: fn(&CollectorStatus) -> Option<f64>| {
        all.iter().filter_map(move |it| Some((vec![("collector", it.name.as_str())], value(it)?)))
    };
    out.counter("holdfast_collector_runs", "Runs of a collector.", each(|it| Some(it.runs as f64)));
    out.counter("holdfast_collector_errors", "Failed runs of a collector.", each(|it| Some(it.errors as f64)));
    out.gauge(
        "holdfast_collector_failing",
        "1 while a collector's last run failed.",
        each(|it| Some(yes(it.failing.is_some()))),
    );
    out.gauge(
        "holdfast_collector_last_run_timestamp_seconds",
        "A collector's last run, since the epoch.",
        each(|it| it.last_run.map(secs)),
    );
    out.gauge(
        "holdfast_collector_last_run_duration_seconds",
        "What a collector's last run took.",
        each(|it| it.last_run.map(|_| it.cost_us as f64 / 1e6)),
    );
}

fn store(out: &mut Exposition, it: &StatusDocument) {
    let it = &it.store;
    out.gauge("holdfast_store_size_bytes", "Size of the telemetry database and its log.", alone(it.bytes as f64));
    out.gauge(
        "holdfast_store_size_limit_bytes",
        "The telemetry database stays below this.",
        alone(it.size_max_bytes as f64),
    );
    out.gauge(
        "holdfast_store_retention_seconds",
        "Telemetry older than this is deleted.",
        alone(it.retention_s as f64),
    );
    out.gauge("holdfast_store_series", "Series known.", alone(it.series as f64));
    out.gauge("holdfast_store_samples", "Samples held.", alone(it.samples_held as f64));
    out.counter("holdfast_store_samples_written", "Samples written.", alone(it.samples_stored as f64));
    out.counter("holdfast_store_lost", "Samples and changes lost before they were written.", alone(it.lost as f64));
    out.counter(
        "holdfast_store_series_refused",
        "Readings whose series found no number, because too many others were measured within the hour.",
        alone(it.series_refused as f64),
    );
    out.gauge("holdfast_store_failing", "1 while telemetry cannot be written.", alone(yes(it.failing.is_some())));
    let oldest = it.oldest.map(|at| bare(secs(at)));
    out.gauge("holdfast_store_oldest_sample_timestamp_seconds", "The oldest tick held, since the epoch.", oldest);
    let newest = it.newest.map(|at| bare(secs(at)));
    out.gauge("holdfast_store_newest_sample_timestamp_seconds", "The newest tick held, since the epoch.", newest);
}

fn destinations(out: &mut Exposition, all: &[ExportStatus]) {
    let streams = |value: fn(&StreamStatus) -> u64| {
        all.iter().flat_map(move |it| {
            it.streams.iter().map(move |(stream, counts)| {
                (vec![("destination", it.name.as_str()), ("stream", stream.as_str())], value(counts) as f64)
            })
        })
    };
    out.counter("holdfast_export_sent", "Samples, records and spans that a receiver accepted.", streams(|it| it.sent));
    out.counter(
        "holdfast_export_refused",
        "Samples, records and spans that a receiver rejected; they are not sent again.",
        streams(|it| it.rejected),
    );
    out.counter("holdfast_export_missed_ticks", "Ticks deleted before they could be sent.", streams(|it| it.skipped));
    out.gauge(
        "holdfast_export_failures_in_a_row",
        "Requests in a row that failed and will be tried again.",
        streams(|it| it.failures.into()),
    );
    let lag = all.iter().filter(|it| it.streams.contains_key("metrics"));
    let lag = lag.map(|it| (vec![("destination", it.name.as_str())], it.lag_s as f64));
    out.gauge("holdfast_export_lag_seconds", "Age of the oldest sample not sent, seen from the newest.", lag);
}

fn plugins(out: &mut Exposition, all: &[PluginStatus]) {
    let each = |value: fn(&PluginStatus) -> Option<f64>| {
        all.iter().filter_map(move |it| Some((vec![("plugin", it.id.as_str())], value(it)?)))
    };
    let states = all.iter().map(|it| {
        (vec![("plugin", it.id.as_str()), ("version", it.version.as_str()), ("state", it.state.as_str())], 1.0)
    });
    out.gauge("holdfast_plugin_info", "A plugin's version and state; always 1.", states);
    out.counter("holdfast_plugin_calls", "Calls of a plugin.", each(|it| Some(it.calls as f64)));
    out.counter("holdfast_plugin_failed_calls", "Failed calls of a plugin.", each(|it| Some(it.failures as f64)));
    out.gauge(
        "holdfast_plugin_last_call_duration_seconds",
        "What a plugin's last call took.",
        each(|it| it.last_cost_us.map(|us| us as f64 / 1e6)),
    );
    out.gauge(
        "holdfast_plugin_memory_peak_bytes",
        "Most memory that a call of a plugin used.",
        each(|it| it.memory_peak_bytes.map(|b| b as f64)),
    );
}

fn judgement(out: &mut Exposition, it: &StatusDocument, counts: &StateCounts) {
    let open = counts.open_findings.iter().map(|(state, severity, count)| {
        (vec![("state", state.as_str()), ("severity", severity.as_str())], *count as f64)
    });
    out.gauge("holdfast_findings", "Findings that still count, by state and severity.", open);
    out.gauge("holdfast_findings_open", "Findings that still count.", alone(it.open_findings as f64));
    out.gauge("holdfast_detect_series", "Series that the detectors watch.", alone(it.series_watched as f64));
    let left_out = alone(it.series_left_out as f64);
    out.gauge("holdfast_detect_series_left_out", "Series that found no place among those.", left_out);
    let closed = alone(counts.closed_findings as f64);
    out.gauge("holdfast_findings_closed", "Findings on record that are resolved or suppressed.", closed);
    out.gauge("holdfast_incidents_open", "Open incidents.", alone(it.open_incidents as f64));
    let waiting = alone(it.pending_approvals as f64);
    out.gauge("holdfast_approvals_pending", "Remediations that wait for a person.", waiting);
    let remediations = counts.remediations.iter().map(|(state, n)| (vec![("state", state.as_str())], *n as f64));
    out.gauge("holdfast_remediations", "Remediations on record, by state: at their end, by outcome.", remediations);
    out.gauge("holdfast_step_runs", "Recorded runs of build steps.", alone(counts.step_runs as f64));
    out.gauge("holdfast_audit_entries", "Entries of the audit chain.", alone(it.audit_head.seq as f64));
    out.gauge("holdfast_policy_rules", "Rules in force.", alone(it.policy.rules as f64));
}

#[cfg(test)]
mod tests {
    use super::super::tests::world;
    use super::*;
    use std::collections::BTreeSet;

    fn sample() -> String {
        let mut status = world::status();
        status.exports.push(serde_json::json!({
            "name": "far \"away\"", "endpoint": "https://x:1", "lag_s": 9, "failures": 0,
            "streams": { "metrics": { "sent": 7, "rejected": 1, "skipped": 2, "position": 9, "failures": 3 } },
        }));
        let counts = StateCounts {
            open_findings: vec![("new".into(), "high".into(), 2)],
            closed_findings: 5,
            remediations: vec![("succeeded".into(), 3)],
            step_runs: 1,
        };
        text(&status, &counts)
    }

    #[test]
    fn what_is_known_is_told() {
        let text = sample();
        for line in [
            "holdfast_export_sent_total{destination=\"far \\\"away\\\"\",stream=\"metrics\"} 7",
            "holdfast_export_missed_ticks_total{destination=\"far \\\"away\\\"\",stream=\"metrics\"} 2",
            "holdfast_export_lag_seconds{destination=\"far \\\"away\\\"\"} 9",
            "holdfast_findings{state=\"new\",severity=\"high\"} 2",
            "holdfast_remediations{state=\"succeeded\"} 3",
            "# TYPE holdfast_store_samples_written_total counter",
            "# HELP holdfast_queue_losses_total Things lost because a queue was full.",
            "holdfast_mode_ceiling_info{mode=\"approve\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    /// What `promtool check metrics` finds fault with, as far as it can be seen here.
    #[test]
    fn names_follow_the_rules_of_prometheus() {
        let text = sample();
        let mut seen = BTreeSet::new();
        let mut helped = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped = rest.split(' ').next().unwrap();
                assert!(seen.insert(helped.to_owned()), "{helped} is there twice");
                assert!(rest.len() > helped.len() + 5, "{helped} has no help");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, helped);
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
                for bad in ["_count", "_sum", "_bucket", "_ms", "_us", "_milliseconds", "_mib", "_minutes", "gauge"] {
                    assert!(!name.ends_with(bad), "{name}");
                }
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
                assert!(name.starts_with("holdfast_"), "{name}");
            } else {
                assert!(line.starts_with(helped), "{line}");
            }
        }
        assert!(seen.len() > 40, "{}", seen.len());
    }
}
