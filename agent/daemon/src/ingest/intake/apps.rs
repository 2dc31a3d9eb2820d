//! What the spans and log records of each service come to: requests, errors and latency every ten seconds.
//!
//! Nothing else of a span or a record is kept: no ids, no texts, no attributes but the operation's name. A window without a
//! request gives no rate and no latency; that is not zero, for nobody knows whether the sender still lives.

use std::collections::BTreeMap;

use holdfast_core::model::{Attributes, MetricKind, SeriesKey, Timestamp};

use super::Reason;
use super::http::Served;
use super::quantile::{QUANTILES, Sketch};

/// Where operations go that are too many to be told apart, as the semantic conventions name it.
const OTHER: &str = "_OTHER";
/// Longer names are no operations.
const OPERATION_BYTES_MAX: usize = 128;
/// Windows without anything before a service is forgotten: an hour.
const IDLE_WINDOWS_MAX: u32 = 360;

/// How bad a log record is, as OTLP's severity numbers are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogSeverity {
    Unspecified,
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

const SEVERITIES: [&str; 7] = ["unspecified", "trace", "debug", "info", "warn", "error", "fatal"];

impl LogSeverity {
    /// Of OTLP's number, 1 to 24.
    pub(crate) fn of_number(number: i32) -> Self {
        match number {
            1..=4 => Self::Trace,
            5..=8 => Self::Debug,
            9..=12 => Self::Info,
            13..=16 => Self::Warn,
            17..=20 => Self::Error,
            21..=24 => Self::Fatal,
            _ => Self::Unspecified,
        }
    }
}

/// One request that was served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) operation: &'a str,
    pub(crate) ended_at: Timestamp,
    pub(crate) seconds: f64,
    pub(crate) failed: bool,
}

#[derive(Default)]
struct Window {
    count: u64,
    errors: u64,
    latency: Sketch,
}

impl Window {
    fn add(&mut self, request: &Request<'_>) {
        self.count += 1;
        self.errors += u64::from(request.failed);
        self.latency.add(request.seconds);
    }
}

#[derive(Default)]
struct App {
    window: Window,
    operations: BTreeMap<String, Window>,
    requests: u64,
    errors: u64,
    served: Served,
    logs: [u64; 7],
    logs_changed: bool,
    idle_windows: u32,
}

pub(super) struct Apps {
    services: BTreeMap<Attributes, App>,
    services_max: usize,
    operations_max: usize,
}

impl Apps {
    pub(super) fn new(services_max: usize, operations_max: usize) -> Self {
        Self { services: BTreeMap::new(), services_max, operations_max }
    }

    pub(super) fn set_limits(&mut self, services_max: usize, operations_max: usize) {
        (self.services_max, self.operations_max) = (services_max, operations_max);
    }

    fn app(&mut self, service: &Attributes) -> Result<&mut App, Reason> {
        if !self.services.contains_key(service) {
            if self.services.len() >= self.services_max {
                return Err(Reason::SourceLimit);
            }
            self.services.insert(service.clone(), App::default());
        }
        let app = self.services.get_mut(service).ok_or(Reason::SourceLimit)?;
        app.idle_windows = 0;
        Ok(app)
    }

    pub(super) fn request(&mut self, service: &Attributes, request: &Request<'_>) -> Result<(), Reason> {
        let operations_max = self.operations_max;
        let app = self.app(service)?;
        app.window.add(request);
        app.requests += 1;
        app.errors += u64::from(request.failed);
        let known = app.operations.contains_key(request.operation);
        let fits = app.operations.len() < operations_max
            && !request.operation.is_empty()
            && request.operation.len() <= OPERATION_BYTES_MAX;
        let name = if known || fits { request.operation } else { OTHER };
        if !app.operations.contains_key(name) {
            app.operations.insert(name.to_owned(), Window::default());
        }
        if let Some(window) = app.operations.get_mut(name) {
            window.add(request);
        }
        Ok(())
    }

    /// Requests that the service itself has counted.
    pub(super) fn served(&mut self, service: &Attributes, count: u64, failed: bool) -> Result<(), Reason> {
        if count > 0 {
            self.app(service)?.served.add(count, failed);
        }
        Ok(())
    }

    pub(super) fn log(&mut self, service: &Attributes, severity: LogSeverity) -> Result<(), Reason> {
        let app = self.app(service)?;
        app.logs[severity as usize] += 1;
        app.logs_changed = true;
        Ok(())
    }

    /// Ends the window: (source, series, value) of everything that was seen in it.
    pub(super) fn close(&mut self, window_s: f64) -> Vec<(String, SeriesKey, f64)> {
        let mut out = Vec::new();
        for (service, app) in &mut self.services {
            app.idle_windows = app.idle_windows.saturating_add(1);
            let source = service.get("service.name").cloned().unwrap_or_default();
            let mut put = |metric: &str, unit: &str, kind, attributes: Attributes, value: f64| {
                let key = SeriesKey { metric: metric.to_owned(), unit: unit.to_owned(), kind, attributes };
                out.push((source.clone(), key, value));
            };
            if app.window.count > 0 {
                let both = [("holdfast.app.requests", app.requests), ("holdfast.app.errors", app.errors)];
                for (metric, value) in both {
                    put(metric, "{request}", MetricKind::Counter, service.clone(), value as f64);
                }
            }
            for (name, window) in app.operations.iter_mut().filter(|(_, window)| window.count > 0) {
                let mut attributes = service.clone();
                attributes.insert("holdfast.app.operation".to_owned(), name.clone());
                tell("holdfast.app.operation", window, &attributes, window_s, &mut put);
            }
            tell("holdfast.app", &mut app.window, service, window_s, &mut put);
            for (metric, unit, kind, value) in app.served.close(window_s) {
                put(metric, unit, kind, service.clone(), value);
            }
            if std::mem::take(&mut app.logs_changed) {
                for (severity, count) in SEVERITIES.iter().zip(app.logs).filter(|(_, count)| *count > 0) {
                    let mut attributes = service.clone();
                    attributes.insert("severity".to_owned(), (*severity).to_owned());
                    let metric = "holdfast.app.log.records";
                    put(metric, "{record}", MetricKind::Counter, attributes, count as f64);
                }
            }
        }
        out
    }

    pub(super) fn forget_idle(&mut self) {
        self.services.retain(|_, app| app.idle_windows < IDLE_WINDOWS_MAX);
    }
}

/// Rate, share of errors and latency of one window, which begins anew.
fn tell(
    base: &str,
    window: &mut Window,
    attributes: &Attributes,
    window_s: f64,
    put: &mut impl FnMut(&str, &str, MetricKind, Attributes, f64),
) {
    if window.count == 0 {
        return;
    }
    let count = window.count as f64;
    let mut level = |name: &str, unit: &str, value| {
        put(&format!("{base}.{name}"), unit, MetricKind::Gauge, attributes.clone(), value);
    };
    level("request.rate", "{request}/s", count / window_s);
    level("error.ratio", "1", window.errors as f64 / count);
    let shape = window.latency.take();
    for (q, name) in QUANTILES {
        if let Some(value) = shape.quantile(q) {
            level(&format!("latency.{name}"), "s", value);
        }
    }
    (window.count, window.errors) = (0, 0);
}
