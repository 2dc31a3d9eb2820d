//! `holdfast status`.

use std::fmt::Write as _;
use std::time::Duration;

use holdfast_core::model::Timestamp;
use holdfast_core::model::unit::human_bytes;

use super::super::ink::{Ink, bold, dim, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{number, relative, span, stamp};
use super::words::{fact, section};
use crate::status::{CollectorStatus, StatusDocument};

fn known<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "not known yet".to_owned(), text)
}

pub(in super::super) fn status(it: &StatusDocument, look: Look) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {} on {}", bold("holdfast"), it.version, bold(&it.host));
    let uptime = span(Duration::from_secs(it.uptime_s));
    fact(&mut out, "running for", &format!("{uptime} (pid {}, since {})", it.pid, stamp(it.started_at)));
    let own = &it.own;
    let cost = format!(
        "{} CPU, {} resident, {} a stored sample",
        known(own.cpu_percent, |p| format!("{p:.2}%")),
        known(own.resident_bytes, human_bytes),
        known(own.cpu_us_per_sample, |us| format!("{} us of CPU", number(us)))
    );
    fact(&mut out, "cost", &cost);
    let mode = match &it.paused {
        None => format!("ceiling {}", it.mode_ceiling),
        Some(paused) => {
            let why = if paused.reason.is_empty() { String::new() } else { format!(": {}", paused.reason) };
            let by = format!("paused by {} {}{why}", paused.by, relative(paused.at, look.now));
            format!("{} (ceiling {})", paint(Ink::Yellow, &by), it.mode_ceiling)
        }
    };
    fact(&mut out, "mode", &mode);
    let policy = &it.policy;
    let digest = policy.digest.get(..12).unwrap_or(&policy.digest);
    fact(&mut out, "policy", &format!("{} rules from {} files, digest {digest}", policy.rules, policy.files.len()));
    let count = |n: u64| if n == 0 { "0".to_owned() } else { paint(Ink::Yellow, &n.to_string()) };
    let suppressed = match it.labels.suppressed {
        0 => String::new(),
        n => format!(", {n} suppressed by labels"),
    };
    fact(&mut out, "findings", &format!("{} open{suppressed}", count(it.open_findings)));
    if let Some(tuning) = &it.tuning {
        let entries: Vec<String> = tuning.entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let who = format!("version {} by {}, {}", tuning.number, tuning.by, relative(tuning.at, look.now));
        fact(&mut out, "tuning", &format!("{who}: {}", entries.join(", ")));
    }
    fact(&mut out, "incidents", &format!("{} open", count(it.open_incidents)));
    fact(&mut out, "approvals", &format!("{} pending", count(it.pending_approvals)));
    fact(&mut out, "audit", &format!("{} entries", it.audit_head.seq));
    store(&mut out, it);
    exports(&mut out, it, look);
    receivers(&mut out, it);
    if !it.problems.is_empty() {
        section(&mut out, "Problems");
        for problem in &it.problems {
            let _ = writeln!(out, "  {}", paint(Ink::Red, problem));
        }
    }
    section(&mut out, "Collectors");
    let mut table = Table::new(&["NAME", "LAST RUN", ">COST", ">RUNS", ">ERRORS", "STATE"]);
    for one in &it.collectors {
        table.row(vec![
            one.name.clone(),
            known(one.last_run, |at| relative(at, look.now)),
            span(Duration::from_micros(one.cost_us)),
            one.runs.to_string(),
            one.errors.to_string(),
            collector_state(one),
        ]);
    }
    out.push_str(&table.render(look.columns));
    section(&mut out, "Plugins");
    if it.plugins.is_empty() {
        let _ = writeln!(out, "none");
    } else {
        out.push_str(&super::plugins::table(&it.plugins, look));
    }
    out
}

fn collector_state(it: &CollectorStatus) -> String {
    match (&it.failing, &it.absent) {
        (Some(why), _) => paint(Ink::Red, &format!("failing: {why}")),
        (None, Some(why)) => dim(&format!("absent: {why}")),
        (None, None) => "ok".to_owned(),
    }
}

fn store(out: &mut String, it: &StatusDocument) {
    let store = &it.store;
    let mut text = format!(
        "{} of at most {}, {} samples of {} series",
        human_bytes(store.bytes),
        human_bytes(store.size_max_bytes),
        store.samples_held,
        store.series
    );
    if let (Some(oldest), Some(newest)) = (store.oldest, store.newest) {
        let _ = write!(text, ", {} back", span(newest.since(oldest)));
    }
    let _ = write!(text, ", kept {}", span(Duration::from_secs(store.retention_s)));
    if store.lost > 0 {
        let _ = write!(text, ", {}", paint(Ink::Red, &format!("{} lost", store.lost)));
    }
    if store.series_refused > 0 {
        let refused = format!("{} readings refused, whose series found no number", store.series_refused);
        let _ = write!(text, ", {}", paint(Ink::Red, &refused));
    }
    fact(out, "store", &text);
    if let Some(why) = &store.failing {
        fact(out, "", &paint(Ink::Red, &format!("writing fails: {why}")));
    }
}

fn receivers(out: &mut String, it: &StatusDocument) {
    for one in &it.receivers {
        let mut line = format!("{} {}: {} accepted in {} requests", one.name, one.address, one.accepted, one.requests);
        if !one.rejected.is_empty() {
            let by: Vec<String> = one.rejected.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            let _ = write!(line, ", {}", paint(Ink::Yellow, &format!("rejected {}", by.join(", "))));
        }
        fact(out, "ingest", &line);
        match (&one.failing, &one.last_error) {
            (Some(why), _) => fact(out, "", &paint(Ink::Red, &format!("failing: {why}"))),
            (None, Some(why)) => fact(out, "", &format!("last error: {why}")),
            (None, None) => {}
        }
    }
}

fn exports(out: &mut String, it: &StatusDocument, look: Look) {
    for export in &it.exports {
        let text = |name: &str| export.get(name).and_then(|v| v.as_str());
        let endpoint = text("endpoint").unwrap_or("?");
        let endpoint = match text("name") {
            Some(name) if name != endpoint => format!("{name} ({endpoint})"),
            _ => endpoint.to_owned(),
        };
        let lag = export.get("lag_s").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let until = text("exported_until").and_then(|t| t.parse::<Timestamp>().ok());
        let mut line = if let Some(at) = until {
            let lag = span(Duration::from_secs(lag));
            format!("{endpoint}: {lag} behind, last sample sent {}", relative(at, look.now))
        } else {
            // Not every destination gets samples.
            let streams = export.get("streams").and_then(|v| v.as_object()).into_iter().flatten();
            match streams.filter_map(|(_, s)| s.get("sent")?.as_u64()).sum() {
                0_u64 => format!("{endpoint}: nothing sent yet"),
                sent => format!("{endpoint}: {sent} records sent"),
            }
        };
        let failures = export.get("failures").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if failures > 0 {
            let why = text("last_error").unwrap_or("unknown");
            let _ = write!(line, ", {}", paint(Ink::Red, &format!("failed {failures} times in a row: {why}")));
        }
        fact(out, "export", &line);
    }
}
