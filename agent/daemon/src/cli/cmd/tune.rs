//! `tune`: stored samples are replayed here, not in the agent: it is asked for samples only, and serves others meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use holdfast_core::detect::labels::Labels;
use holdfast_core::detect::tuning::{Judged, Known, Proposal, Study, Tuning};
use holdfast_core::model::{Finding, SeriesKey, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::super::args_tune::Tune;
use super::super::exit::{DONE, Failure, INCONCLUSIVE, Outcome};
use super::super::view;
use super::Session;
use super::episodes;
use crate::answers::TuningVersion;
use crate::api::moment;
use crate::api::wire::{FindingsDocument, LabelsDocument, MetricsDocument, QueryDocument, TuningDocument};
use crate::request::Request;

/// What one question about samples covers; halved where it holds more points than one answer.
const WINDOW: Duration = Duration::from_hours(2);
/// The least that a window is halved to.
const WINDOW_MIN: Duration = Duration::from_secs(10);
/// Points of one series that one answer carries.
const POINTS: &str = "20000";
/// Findings that are looked at.
const FINDINGS: &str = "1000";
/// Largest proposal that is read, in bytes.
const PROPOSAL_BYTES_MAX: u64 = 16 << 20;

/// What `tune propose` says, and `tune apply` reads.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Proposed {
    /// The change with its proof.
    pub(in super::super) proposal: Proposal,
    /// Time was up before all samples were replayed.
    pub(in super::super) cut: bool,
    /// There are more findings in this time than were looked at.
    pub(in super::super) truncated: bool,
}

pub(super) fn run(it: &Session, command: Tune) -> Outcome {
    match command {
        Tune::Propose { since, within, out } => propose(it, &since, within.0, out.as_deref()),
        Tune::Apply { file, reason } => {
            let Proposed { proposal, .. } = read(&file)?;
            let Proposal { tuning, proof, .. } = proposal;
            ask(it, &Request::TuneApply { tuning, reason, proof: Some(proof) })
        }
        Tune::Set { settings, reason } => {
            let wanted: Tuning = toml::from_str(&settings.join("\n"))
                .map_err(|error| Failure::usage(format!("these are no settings of the detectors: {error}")))?;
            let now: TuningDocument = it.client()?.get("/tuning", &[])?;
            ask(it, &Request::TuneApply { tuning: now.tuning.with(&wanted), reason, proof: None })
        }
        Tune::Show { all } => {
            let document: TuningDocument = it.client()?.get("/tuning", &[])?;
            it.out.document(&document, |look| view::tune::show(&document, all, look))?;
            Ok(DONE)
        }
        Tune::Revert { to, reason } => ask(it, &Request::TuneRevert { to, reason }),
    }
}

fn ask(it: &Session, request: &Request) -> Outcome {
    let version: TuningVersion = it.client()?.ask(request)?;
    it.out.document(&version, |look| view::tune::version(&version, look))?;
    Ok(DONE)
}

fn read(path: &Path) -> Result<Proposed, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let bytes = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if bytes > PROPOSAL_BYTES_MAX {
        return Err(failed(&format!("it has {bytes} bytes, a proposal has at most {PROPOSAL_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&format!("it is no proposal: {error}")))
}

/// A finding, as it is looked for in a replay.
fn known(it: &Finding) -> Known {
    let about = match it.evidence("series.key") {
        Some(Value::Text(key)) => Some(key.clone()),
        _ => None,
    };
    Known {
        finding: it.id.clone(),
        fingerprint: it.fingerprint.clone(),
        about,
        began_at: it.began_at,
        ended_at: it.resolved_at.unwrap_or(it.last_seen_at),
    }
}

/// What people said of the findings since then; and whether there are more of them.
fn judged(it: &Session, since: Timestamp) -> Result<(Judged, bool), Failure> {
    let parameters = [("since", since.to_string()), ("limit", FINDINGS.to_owned())];
    let found: FindingsDocument = it.client()?.get("/findings", &parameters)?;
    let truncated = found.findings.len() >= 1_000;
    let mut judged = Judged::default();
    for finding in &found.findings {
        let suppressed = matches!(finding.evidence("label.effect"), Some(Value::Text(word)) if word == "suppressed");
        match finding.label.as_deref() {
            Some("true-positive") => judged.incidents.push(known(finding)),
            Some("false-positive") => judged.falses.push(known(finding)),
            _ if suppressed => judged.falses.push(known(finding)),
            _ => {}
        }
    }
    Ok((judged, truncated))
}

fn propose(it: &Session, since: &str, within: Duration, out: Option<&Path>) -> Outcome {
    let now = it.out.now();
    let since = moment(since, now).map_err(Failure::usage)?;
    let settings: TuningDocument = it.client()?.get("/tuning", &[])?;
    let labels: LabelsDocument = it.client()?.get("/labels", &[])?;
    let labels = Labels::new(labels.labels.into_iter().map(|one| one.label).collect());
    let (judged, truncated) = judged(it, since)?;
    let keys: MetricsDocument = it.client()?.get("/metrics", &[])?;
    let mut study = Study::new(&settings.base, &settings.tuning, &labels, judged, &keys.series);
    let mut cut = false;
    if !study.is_empty() {
        for head in episodes::heads(it, &[])?.episodes {
            it.out.progress(&format!("episode {}", head.finding));
            study.episode(&episodes::one(it, &head.finding)?);
        }
        let wanted: Vec<SeriesKey> = keys.series.into_iter().filter(|key| study.wants(key)).collect();
        cut = replay(it, &mut study, &wanted, (since, now), within)?;
    }
    let proposed = Proposed { proposal: study.finish(), cut, truncated };
    if let Some(path) = out.filter(|_| !proposed.proposal.differences.is_empty()) {
        let text = serde_json::to_string_pretty(&proposed).map_err(std::io::Error::other)?;
        std::fs::write(path, text + "\n")
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
    }
    it.out.document(&proposed, |look| view::tune::proposed(&proposed, out, look))?;
    Ok(if proposed.proposal.differences.is_empty() { INCONCLUSIVE } else { DONE })
}

/// Feeds the study from the store, moment by moment; whether time was up before the end.
fn replay(
    it: &Session,
    study: &mut Study,
    keys: &[SeriesKey],
    (since, now): (Timestamp, Timestamp),
    within: Duration,
) -> Result<bool, Failure> {
    let mut metrics: Vec<&str> = keys.iter().map(|key| key.metric.as_str()).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let by_name: BTreeMap<(&str, &holdfast_core::model::Attributes), &SeriesKey> =
        keys.iter().map(|key| ((key.metric.as_str(), &key.attributes), key)).collect();
    let began = it.out.elapsed();
    let (mut from, mut window) = (since, WINDOW);
    while from < now && !metrics.is_empty() {
        if it.out.elapsed().saturating_sub(began) > within {
            return Ok(true);
        }
        let until = from.plus(window).min(now);
        let mut moments: BTreeMap<Timestamp, Vec<(&SeriesKey, f64)>> = BTreeMap::new();
        let mut truncated = false;
        for metric in &metrics {
            let parameters = [
                ("metric", (*metric).to_owned()),
                ("since", from.to_string()),
                // Both ends belong to a window: all but the last end just before the next one.
                ("until", if until == now { now } else { Timestamp::from_ns(until.ns() - 1) }.to_string()),
                ("limit", POINTS.to_owned()),
            ];
            let found: QueryDocument = it.client()?.get("/metrics/query", &parameters)?;
            truncated |= found.series.iter().any(|series| series.truncated);
            for series in &found.series {
                let Some(key) = by_name.get(&(*metric, &series.attributes)) else { continue };
                for (at, value) in &series.points {
                    if let Some(value) = value {
                        moments.entry(*at).or_default().push((*key, *value));
                    }
                }
            }
        }
        if truncated && window > WINDOW_MIN {
            window /= 2;
            continue;
        }
        for (at, samples) in moments {
            study.tell(at, &samples);
        }
        it.out.progress(&format!("replayed up to {until}"));
        from = until;
    }
    Ok(false)
}
