//! Where everything that applications say about themselves meets, until the next tick takes it along.
//!
//! Receivers put points, spans and log records here; once a tick the newest value of each series goes into the tick's batch,
//! so a thousand requests wake the loop no more often than none. **Bounded in every direction:** sources, series of a source,
//! series in all, attributes and their lengths, operations of a service, histograms remembered. What exceeds a bound is
//! refused with its reason, so that the receiver can say so to the sender; nothing is dropped in silence.
//!
//! A point is stored with the moment of the tick that takes it, at most [`LATE_MAX`] after its own; older ones are refused,
//! and so is a point that is older than what its series has already, unless the clock was set back meanwhile: then the series begins
//! again from there, which is counted. A point of several series (a histogram, a summary) is taken whole or not at all.

mod apps;
mod http;
pub(crate) mod quantile;
mod series;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_core::model::{Attributes, MetricKind, SampleBatch, SeriesId, SeriesKey, Timestamp};
use holdfast_core::redact::Redactor;

use super::config::Limits;
use crate::host::Clock;
use crate::telemetry::Event;
use crate::telemetry::events::ClockSetBack;
use apps::Apps;
pub(crate) use apps::{LogSeverity, Request};
use quantile::{QUANTILES, Shape};
use series::{Moment, Table, Told};

/// How old a point may be.
pub(crate) const LATE_MAX: Duration = Duration::from_mins(1);
/// How far ahead of this machine's clock a sender may be.
const AHEAD_MAX: Duration = Duration::from_secs(10);
/// Time over which spans are summed up.
const WINDOW: Duration = Duration::from_secs(10);
/// A series without a point for so long makes room for others.
const IDLE_MAX: Duration = Duration::from_mins(15);
/// Counts of buckets that one histogram may have.
const BUCKETS_MAX: usize = 512;
/// Longest name and value of an attribute, and longest metric name, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// A first histogram that began so recently is told whole.
const YOUNG: Duration = Duration::from_mins(5);

/// The store's numbering of series.
pub trait Registry: Send + Sync {
    /// The number of a series that the store knows.
    fn find(&self, key: &SeriesKey) -> Option<SeriesId>;
    /// The number of a series, given now if need be.
    fn intern(&self, key: &SeriesKey) -> SeriesId;
    /// Raised when numbers were taken back: those that are kept are asked for again.
    fn generation(&self) -> u32 {
        0
    }
    /// Series that may still be given a number without crowding out those of the host itself.
    fn room(&self) -> usize;
}

/// Why a point was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    TooOld,
    InTheFuture,
    OutOfOrder,
    NotFinite,
    Malformed,
    Attributes,
    SourceLimit,
    SeriesOfSource,
    SeriesInAll,
    Rate,
    Superseded,
}

impl Reason {
    /// The word in `status`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::InTheFuture => "in_the_future",
            Self::OutOfOrder => "out_of_order",
            Self::NotFinite => "not_finite",
            Self::Malformed => "malformed",
            Self::Attributes => "attributes",
            Self::SourceLimit => "sources_max",
            Self::SeriesOfSource => "series_per_source",
            Self::SeriesInAll => "series_max",
            Self::Rate => "rate",
            Self::Superseded => "superseded",
        }
    }

    /// For the sender: what to do about it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::TooOld => "older than one minute",
            Self::InTheFuture => "more than ten seconds in the future",
            Self::OutOfOrder => "older than what was sent before for the same series",
            Self::NotFinite => "not a finite number",
            Self::Malformed => "of a kind or shape that is not understood",
            Self::Attributes => "more or longer attributes than ingest.limits.attributes-max and 256 bytes allow",
            Self::SourceLimit => "from more applications than ingest.limits.sources-max",
            Self::SeriesOfSource => "over ingest.limits.series-per-source for this service.name",
            Self::SeriesInAll => "over ingest.limits.series-max for this host",
            Self::Rate => "over ingest.limits.requests-per-second for this service.name",
            Self::Superseded => {
                "followed by a later one before they could be stored; send them as they come, one of a series each second"
            }
        }
    }
}

/// What was refused of one request, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) BTreeMap<Reason, u64>);

impl Refused {
    pub(crate) fn add(&mut self, reason: Reason, count: u64) {
        *self.0.entry(reason).or_default() += count;
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// One sentence for the sender; empty when nothing was refused.
    pub(crate) fn message(&self, what: &str) -> String {
        let parts: Vec<String> = self.0.iter().map(|(reason, n)| format!("{n} {what} {}", reason.text())).collect();
        parts.join("; ")
    }
}

/// What a point says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// A level, or a sum since the application's start.
    Value(f64),
    /// What was added since the point before.
    Delta(f64),
    /// How values were spread: since the start of the application, or since the point before.
    Histogram { count: u64, sum: Option<f64>, shape: Option<Shape>, delta: bool },
    /// Quantiles that the application computed itself.
    Summary { count: u64, sum: f64, quantiles: Vec<(f64, f64)> },
}

/// One point of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) key: SeriesKey,
    pub(crate) at: Timestamp,
    pub(crate) start: Option<Timestamp>,
    pub(crate) said: Said,
}

struct Inner {
    limits: Limits,
    table: Table,
    apps: Apps,
    /// Cumulative histograms as they were told last.
    histograms: HashMap<SeriesKey, (Shape, Duration)>,
    window_began: Duration,
    swept: Duration,
    unsaid: Refused,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
}

impl Intake {
    pub(crate) fn new(
        limits: Limits,
        registry: Arc<dyn Registry>,
        clock: Arc<dyn Clock>,
        redactor: Arc<Redactor>,
    ) -> Self {
        let inner = Inner {
            table: Table::new(limits.clone(), registry),
            apps: Apps::new(limits.sources_max, limits.operations_max),
            limits,
            histograms: HashMap::new(),
            window_began: clock.monotonic(),
            swept: clock.monotonic(),
            unsaid: Refused::default(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), clock, redactor }
    }

    /// Other limits, from the next point on. What is held beyond lower ones stays until its sender is quiet.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        let inner = &mut *self.lock();
        if inner.limits != *limits {
            inner.limits = limits.clone();
            inner.table.set_limits(limits.clone());
            inner.apps.set_limits(limits.sources_max, limits.operations_max);
        }
    }

    /// What takes persons out of attributes.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the moment is near enough to now.
    fn timely(&self, at: Timestamp) -> Result<(), Reason> {
        let now = self.clock.wall();
        if now.since(at) > LATE_MAX {
            return Err(Reason::TooOld);
        }
        if at.since(now) > AHEAD_MAX { Err(Reason::InTheFuture) } else { Ok(()) }
    }

    /// One point of `source`; the reason when it is not taken.
    pub(crate) fn point(&self, source: &str, point: Point) -> Result<(), Reason> {
        self.newest(source, point).map(drop)
    }

    /// The same. True when it took the place of an earlier point, of another second, that is not stored now: a sender that tells
    /// several at once has only the newest of each series kept.
    pub(crate) fn newest(&self, source: &str, point: Point) -> Result<bool, Reason> {
        self.timely(point.at)?;
        let Point { key, at, start, said } = point;
        let moment = Moment { at, wall: self.clock.wall(), now: self.clock.monotonic() };
        let inner = &mut *self.lock();
        fits(&key, inner.limits.attributes_max)?;
        match said {
            Said::Value(value) => inner.table.put(source, &[(key, Told::Is(value))], moment),
            Said::Delta(value) => inner.table.put(source, &[(key, Told::Adds(value))], moment),
            Said::Summary { count, sum, quantiles } => {
                let mut parts = vec![(part(&key, "count"), Told::Is(count as f64)), (part(&key, "sum"), Told::Is(sum))];
                for (q, value) in quantiles.iter().take(16).filter(|(q, v)| (0.0..=1.0).contains(q) && v.is_finite()) {
                    let name = format!("p{}", (q * 1e5).round() / 1e3);
                    parts.push((part(&key, &name), Told::Is(*value)));
                }
                inner.table.put(source, &parts, moment)
            }
            Said::Histogram { count, sum, shape, delta } => {
                inner.histogram(source, &key, start, (count, sum, shape, delta), moment)
            }
        }
    }

    /// One request that an application served, by its span.
    pub(crate) fn request(&self, service: &Attributes, request: &Request<'_>) -> Result<(), Reason> {
        self.timely(request.ended_at)?;
        service_fits(service)?;
        self.lock().apps.request(service, request)
    }

    /// One log record; nothing but its severity is looked at.
    pub(crate) fn log(&self, service: &Attributes, severity: LogSeverity) -> Result<(), Reason> {
        service_fits(service)?;
        self.lock().apps.log(service, severity)
    }

    /// Puts what has come since the last tick into this one's batch.
    pub(crate) fn drain(&self, batch: &mut SampleBatch) {
        let (now, wall) = (self.clock.monotonic(), self.clock.wall());
        let inner = &mut *self.lock();
        let set_back = inner.table.take_set_back();
        if set_back > 0 {
            ClockSetBack { series: set_back }.emit();
        }
        if now.saturating_sub(inner.window_began) >= WINDOW {
            let window_s = now.saturating_sub(inner.window_began).as_secs_f64();
            inner.window_began = now;
            for (source, key, value) in inner.apps.close(window_s) {
                let moment = Moment { at: batch.at, wall, now };
                if let Err(reason) = inner.table.put(&source, &[(key, Told::Is(value))], moment) {
                    inner.unsaid.add(reason, 1);
                }
            }
        }
        if now.saturating_sub(inner.swept) >= Duration::from_mins(1) {
            inner.swept = now;
            inner.table.forget_idle(now, IDLE_MAX);
            inner.histograms.retain(|_, (_, seen)| now.saturating_sub(*seen) < IDLE_MAX);
            inner.apps.forget_idle();
        }
        inner.table.drain(batch);
    }

    /// Derived series that found no room since the last call; their spans were taken long before.
    pub(crate) fn take_unsaid(&self) -> Refused {
        std::mem::take(&mut self.lock().unsaid)
    }

    /// Series held, and the most there may be.
    pub(crate) fn series(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.table.len(), inner.limits.series_max)
    }
}

impl Inner {
    fn histogram(
        &mut self,
        source: &str,
        key: &SeriesKey,
        start: Option<Timestamp>,
        (count, sum, shape, delta): (u64, Option<f64>, Option<Shape>, bool),
        moment: Moment,
    ) -> Result<bool, Reason> {
        if shape.as_ref().is_some_and(|shape| !shape.is_sound() || buckets(shape) > BUCKETS_MAX) {
            return Err(Reason::Malformed);
        }
        let counter = |name| SeriesKey { kind: MetricKind::Counter, ..part(key, name) };
        let count_key = SeriesKey { unit: "1".to_owned(), ..counter("count") };
        let told = |value| if delta { Told::Adds(value) } else { Told::Is(value) };
        let mut parts = vec![(count_key, told(count as f64))];
        parts.extend(sum.filter(|sum| sum.is_finite()).map(|sum| (counter("sum"), told(sum))));
        // Without buckets it still counts.
        let shape = shape.unwrap_or(Shape::Explicit { bounds: Vec::new(), counts: vec![count] });
        let recent = if delta {
            Some(shape.clone())
        } else {
            let young = start.is_some_and(|start| moment.at.since(start) <= YOUNG);
            match self.histograms.get(key) {
                // Started again: everything in it is new.
                Some((before, _)) => Some(shape.since(before).unwrap_or_else(|| shape.clone())),
                None => young.then(|| shape.clone()),
            }
        };
        for (q, name) in QUANTILES {
            let value = recent.as_ref().and_then(|shape| shape.quantile(q)).filter(|value| value.is_finite());
            parts.extend(value.map(|value| (part(key, name), Told::Is(value))));
        }
        let replaced = self.table.put(source, &parts, moment)?;
        if !delta {
            self.histograms.insert(key.clone(), (shape, moment.now));
        }
        if let Some((recent, failed)) = recent.as_ref().zip(http::failed(key))
            && let Err(reason) = self.apps.served(&http::service(key), recent.total(), failed)
        {
            self.unsaid.add(reason, 1);
        }
        Ok(replaced)
    }
}

fn fits(key: &SeriesKey, attributes_max: usize) -> Result<(), Reason> {
    let short = |text: &str| text.len() <= TEXT_BYTES_MAX;
    let good = key.attributes.len() <= attributes_max
        && short(&key.metric)
        && short(&key.unit)
        && key.attributes.iter().all(|(name, value)| short(name) && short(value));
    if key.metric.is_empty() {
        return Err(Reason::Malformed);
    }
    if good { Ok(()) } else { Err(Reason::Attributes) }
}

fn service_fits(service: &Attributes) -> Result<(), Reason> {
    let short = |text: &String| text.len() <= TEXT_BYTES_MAX;
    if service.values().all(short) { Ok(()) } else { Err(Reason::Attributes) }
}

fn buckets(shape: &Shape) -> usize {
    match shape {
        Shape::Explicit { counts, .. } => counts.len(),
        Shape::Exponential { counts, .. } => counts.len(),
    }
}

/// A level derived from a metric: `http.server.request.duration.p95`.
fn part(key: &SeriesKey, name: &str) -> SeriesKey {
    SeriesKey { metric: format!("{}.{name}", key.metric), kind: MetricKind::Gauge, ..key.clone() }
}

#[cfg(test)]
pub(crate) mod tests;
