//! `data`.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_core::model::{Change, SeriesKey, Timestamp};
use serde::Serialize;

use super::super::args::{Data, Subject};
use super::super::exit::{DONE, Failure, NO, Outcome, USAGE};
use super::super::view;
use super::{Session, given};
use crate::answers::PurgeAnswer;
use crate::api::moment;
use crate::api::wire::{ChangesDocument, MetricsDocument, QueryDocument, RetentionDocument};
use crate::data::{Lineage, Quality};
use crate::request::Request;
use crate::store::PurgeFilter;

/// Said where nothing is: a mistake in a name looks the same.
const NOTHING: &str = "Nothing about this subject is stored here. Names and values have to fit exactly; a person is found under the value that \
                       the application sent, though its digest is stored.";

/// What one question about samples covers; halved where it holds more points than one answer.
const WINDOW: Duration = Duration::from_hours(2);
/// The least that a window is halved to.
const WINDOW_MIN: Duration = Duration::from_secs(10);
/// Points of one series that one answer carries.
const POINTS: &str = "20000";
/// Changes that one answer carries.
const CHANGES: usize = 10_000;

pub(super) fn run(it: &Session, command: Data) -> Outcome {
    match command {
        Data::Quality { since, metric, all } => {
            let all = all.then(|| "true".to_owned());
            let parameters = given(vec![("since", Some(since)), ("metric", metric), ("all", all)]);
            let report: Quality = it.client()?.get("/data/quality", &parameters)?;
            it.out.document(&report, |look| view::data::quality(&report, look))?;
            let silent = report.good == report.series && report.clock_jumps.is_empty() && report.lacking.is_empty();
            Ok(if silent { DONE } else { NO })
        }
        Data::Lineage { id } => {
            let found: Lineage = it.client()?.get(&format!("/data/lineage/{id}"), &[])?;
            it.out.document(&found, |look| view::data::lineage(&found, look))?;
            Ok(DONE)
        }
        Data::Retention => {
            let plan: RetentionDocument = it.client()?.get("/data/retention", &[])?;
            it.out.document(&plan, |look| view::retention::plan(&plan, look))?;
            Ok(DONE)
        }
        Data::Export { subject, since } => export(it, &subject, &since),
        Data::Purge { subject, reason, yes } => purge(it, &subject, reason, yes),
    }
}

/// One line of an export.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// Samples of one series, oldest first.
    Samples { series: &'a SeriesKey, points: &'a [(Timestamp, Option<f64>)] },
    /// One change.
    Change(&'a Change),
}

fn export(it: &Session, subject: &Subject, since: &str) -> Outcome {
    let now = it.out.now();
    let since = moment(since, now).map_err(Failure::usage)?;
    let line = |line: Line<'_>| -> Result<(), Failure> {
        let text = serde_json::to_string(&line).map_err(std::io::Error::other)?;
        it.out.raw(&format!("{text}\n"))
    };
    let metrics = metrics(it, subject)?;
    let none = metrics.is_empty();
    for metric in metrics {
        let (mut from, mut window) = (since, WINDOW);
        while from < now {
            let until = from.plus(window).min(now);
            let mut parameters = given(vec![
                ("metric", Some(metric.clone())),
                ("since", Some(from.to_string())),
                // Both ends belong to a window: all but the last end just before the next one.
                ("until", Some(if until == now { now } else { Timestamp::from_ns(until.ns() - 1) }.to_string())),
                ("limit", Some(POINTS.to_owned())),
            ]);
            parameters.extend(subject.where_.iter().map(|pair| ("where", pair.clone())));
            let found: QueryDocument = it.client()?.get("/metrics/query", &parameters)?;
            if found.series.iter().any(|series| series.truncated) && window > WINDOW_MIN {
                window /= 2;
                continue;
            }
            for series in &found.series {
                let (unit, kind, attributes) = (series.unit.clone(), series.kind, series.attributes.clone());
                let key = SeriesKey { metric: metric.clone(), unit, kind, attributes };
                line(Line::Samples { series: &key, points: &series.points })?;
            }
            it.out.progress(&format!("{metric} up to {until}"));
            (from, window) = (until, WINDOW);
        }
    }
    let changes = changes(it, subject, Some(since))?;
    for change in &changes {
        line(Line::Change(change))?;
    }
    if none && changes.is_empty() {
        it.out.remark(NOTHING);
        return Ok(NO);
    }
    Ok(DONE)
}

/// Names of the metrics that have series about a subject.
fn metrics(it: &Session, subject: &Subject) -> Result<Vec<String>, Failure> {
    if subject.where_.is_empty() {
        return Ok(Vec::new());
    }
    let parameters: Vec<_> = subject.where_.iter().map(|pair| ("where", pair.clone())).collect();
    let found: MetricsDocument = it.client()?.get("/metrics", &parameters)?;
    let mut names: Vec<String> = found.series.into_iter().map(|key| key.metric).collect();
    names.dedup();
    Ok(names)
}

/// Every change that `purge` would forget, oldest first.
fn changes(it: &Session, subject: &Subject, since: Option<Timestamp>) -> Result<Vec<Change>, Failure> {
    let filter = filter(subject);
    // Attributes fit changes of other targets, too.
    let target = filter.target.clone().filter(|_| filter.where_.is_empty());
    let (mut all, mut until) = (BTreeMap::new(), None::<Timestamp>);
    loop {
        let parameters = given(vec![
            ("since", since.map(|at| at.to_string())),
            ("until", until.map(|at| at.to_string())),
            ("target", target.clone()),
            ("limit", Some(CHANGES.to_string())),
        ]);
        let found: ChangesDocument = it.client()?.get("/changes", &parameters)?;
        let full = found.changes.len() >= CHANGES;
        let earliest = found.changes.first().map(|change| change.at);
        let about = found.changes.into_iter().filter(|change| filter.is_about(change));
        all.extend(about.map(|change| ((change.at, change.id.clone()), change)));
        // An answer holds the newest ones. Others of its earliest moment may be missing, unless that was asked for alone.
        until = match earliest {
            Some(at) if full && until == Some(at) => Some(Timestamp::from_ns(at.ns() - 1)),
            Some(at) if full => Some(at),
            _ => return Ok(all.into_values().collect()),
        };
    }
}

/// What `purge` would forget.
fn filter(subject: &Subject) -> PurgeFilter {
    let pairs = subject.where_.iter().filter_map(|pair| pair.split_once('='));
    let where_ = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    PurgeFilter { where_, target: subject.target.clone() }
}

fn purge(it: &Session, subject: &Subject, reason: String, yes: bool) -> Outcome {
    if !yes {
        let (metrics, changes) = (metrics(it, subject)?, changes(it, subject, None)?);
        if metrics.is_empty() && changes.is_empty() {
            it.out.remark(NOTHING);
            return Ok(NO);
        }
        let text = format!(
            "nothing was forgotten: series of {} metrics and at least {} changes are about this subject",
            metrics.len(),
            changes.len()
        );
        return Err(Failure::new(USAGE, text).hint(
            "look at them with `holdfast data export`; the same command with --yes forgets them, and nothing brings them back",
        ));
    }
    let PurgeFilter { where_, target } = filter(subject);
    let answer: PurgeAnswer = it.client()?.ask(&Request::Purge { where_, target, reason })?;
    it.out.document(&answer, |_| view::data::purged(&answer))?;
    Ok(if answer.is_nothing() { NO } else { DONE })
}
