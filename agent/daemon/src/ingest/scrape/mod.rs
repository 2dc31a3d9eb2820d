//! Targets that speak Prometheus' text format or OpenMetrics, read again and again, each on a task of its own.
//!
//! `holdfast.scrape.up` is 1 after a scrape that went well and 0 after one that did not; a target that answers slowly, long
//! or wrongly costs itself one scrape. Only plain `http://` is spoken.

mod discover;
mod points;
mod text;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::model::{Attributes, MetricKind, SeriesKey};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Request, Uri};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::body::Room;
use super::config::ScrapeTarget;
use super::intake::{Intake, Point, Refused, Said};
use super::tally::Tally;
use crate::host::Clock;
use crate::status::ReceiverStatus;
use crate::telemetry::{Chain, http};

/// Time between two looks into the directory.
const LOOK_EVERY: Duration = Duration::from_mins(1);
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5";

/// How each target stands, by its address.
#[derive(Clone, Default)]
pub(crate) struct Standing(Arc<Mutex<BTreeMap<String, Tally>>>);

impl Standing {
    pub(crate) fn statuses(&self) -> Vec<ReceiverStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(Tally::status).collect()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Tally>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What every scrape needs.
#[derive(Clone)]
pub(crate) struct Scraper {
    pub(crate) intake: Intake,
    pub(crate) room: Room,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) standing: Standing,
}

/// What there is to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// As configured.
    pub(crate) targets: Vec<ScrapeTarget>,
    /// A directory with more of them.
    pub(crate) dir: Option<PathBuf>,
}

/// A target's task, which ends with this.
struct Scraping(AbortHandle);

impl Drop for Scraping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps one task a target, as the plan and its directory say, until `stopping`. Another plan leaves alone what it says as well.
pub(crate) async fn run(scraper: Scraper, mut plan: watch::Receiver<Plan>, mut stopping: watch::Receiver<bool>) {
    let directory = Tally::new("scrape", String::new());
    let mut running: BTreeMap<String, (ScrapeTarget, Scraping)> = BTreeMap::new();
    let mut said = Vec::new();
    loop {
        let Plan { targets, dir } = plan.borrow_and_update().clone();
        directory.listens(dir.as_ref().map(|it| it.display().to_string()).unwrap_or_default());
        let place = dir.clone();
        // A directory may lie on a disk that has stopped: that is no reason to go on for ever.
        let looked = tokio::select! {
            looked = tokio::task::spawn_blocking(move || discover::targets(&targets, place.as_deref())) => looked,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        if let Ok((wanted, problems)) = looked {
            if problems != said {
                for problem in &problems {
                    tracing::warn!(error = problem, "Scrape targets not read.");
                }
            }
            directory.failing((!problems.is_empty()).then(|| problems.join("; ")));
            said = problems;
            running.retain(|url, (target, _)| {
                let stays = wanted.get(url) == Some(target);
                if !stays {
                    scraper.standing.change(|all| drop(all.remove(url)));
                }
                stays
            });
            for (url, target) in wanted {
                if let Entry::Vacant(slot) = running.entry(url.clone()) {
                    let tally = Tally::new("scrape", url.clone());
                    scraper.standing.change(|all| drop(all.insert(url, tally.clone())));
                    let task = tokio::spawn(again(scraper.clone(), target.clone(), tally));
                    slot.insert((target, Scraping(task.abort_handle())));
                }
            }
            scraper.standing.change(|all| {
                // Sorted before every address; there only while something is wrong.
                if said.is_empty() {
                    all.remove("")
                } else {
                    all.insert(String::new(), directory.clone())
                };
            });
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY), if dir.is_some() => {}
            Ok(()) = plan.changed() => {}
            _ = stopping.wait_for(|stop| *stop) => break,
        }
    }
    drop(running);
    scraper.standing.change(BTreeMap::clear);
}

async fn again(scraper: Scraper, target: ScrapeTarget, tally: Tally) {
    let client = http::client();
    let mut ticks = tokio::time::interval(target.every.0);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        scraper.scrape(&client, &target, &tally).await;
    }
}

impl Scraper {
    async fn scrape(&self, client: &http::Client, target: &ScrapeTarget, tally: &Tally) {
        let began = self.clock.monotonic();
        let source = target.labels.get("service.name").cloned().unwrap_or_else(|| place(&target.url));
        let timeout = target.timeout.0.min(target.every.0);
        let result = match tokio::time::timeout(timeout, self.page(client, target)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", timeout.as_secs_f64())),
        };
        let taken_s = self.clock.monotonic().saturating_sub(began).as_secs_f64();
        let up = f64::from(u8::from(result.is_ok()));
        self.own(&source, target, "holdfast.scrape.up", "1", up, tally);
        self.own(&source, target, "holdfast.scrape.duration", "s", taken_s, tally);
        match result {
            Ok(points) => {
                let (all, mut refused) = (points.len() as u64, Refused::default());
                for point in points {
                    if let Err(reason) = self.intake.point(&source, point) {
                        refused.add(reason, 1);
                    }
                }
                tally.failing(None);
                tally.request(all - refused.total());
                for (reason, count) in &refused.0 {
                    tally.reject(reason.word(), *count);
                }
                if refused.total() > 0 {
                    tally.error(&refused.message("points"));
                }
            }
            Err(why) => {
                tally.reject("requests_failed", 1);
                tally.failing(Some(why));
            }
        }
    }

    async fn page(&self, client: &http::Client, target: &ScrapeTarget) -> Result<Vec<Point>, String> {
        let request = Request::get(&target.url)
            .header(ACCEPT, ACCEPTED)
            .header(ACCEPT_ENCODING, "gzip")
            .body(Full::<Bytes>::default())
            .map_err(|error| error.to_string())?;
        let answer = client.request(request).await.map_err(|error| Chain(&error).to_string())?;
        if answer.status() != hyper::StatusCode::OK {
            return Err(format!("answered {}", answer.status()));
        }
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let open_metrics = header(CONTENT_TYPE).is_some_and(|it| it.starts_with("application/openmetrics-text"));
        let compression = header(CONTENT_ENCODING);
        let (bytes, permit) = self.room.read(answer.into_body(), 0).await.map_err(|fault| fault.text())?;
        let (room, target, now) = (self.room.clone(), target.clone(), self.clock.wall());
        let intake = self.intake.clone();
        let read = move || {
            let _permit = permit;
            let plain = room.plain(compression.as_deref(), &bytes).map_err(|fault| fault.text())?;
            let text = std::str::from_utf8(&plain).map_err(|_| "the page is no UTF-8".to_owned())?;
            let page = text::parse(text, open_metrics).map_err(|fault| format!("the page can't be read: {fault}"))?;
            Ok(points::points(&page, open_metrics, &attributes(&target), intake.redactor(), now))
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err("reading the page panicked".to_owned()))
    }

    fn own(&self, source: &str, target: &ScrapeTarget, metric: &str, unit: &str, value: f64, tally: &Tally) {
        let mut attributes = attributes(target);
        attributes.insert("holdfast.scrape.target".to_owned(), target.url.clone());
        let key = SeriesKey { metric: metric.to_owned(), unit: unit.to_owned(), kind: MetricKind::Gauge, attributes };
        let point = Point { key, at: self.clock.wall(), start: None, said: Said::Value(value) };
        if let Err(reason) = self.intake.point(source, point) {
            tally.reject(reason.word(), 1);
        }
    }
}

fn attributes(target: &ScrapeTarget) -> Attributes {
    let mut all: Attributes = target.labels.clone();
    all.entry("service.name".to_owned()).or_insert_with(|| place(&target.url));
    all
}

/// `host:port`
fn place(url: &str) -> String {
    let place = url.parse::<Uri>().ok().and_then(|it| it.authority().map(|a| a.as_str().to_owned()));
    place.unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests;
