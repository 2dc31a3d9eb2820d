//! Forgetting a subject: what goes with the samples, and what still names it afterwards. Looks and purges telemetry; what `state.db`
//! holds is left to the event loop, its only writer.

use holdfast_core::model::FindingId;

use crate::store::{PurgeFilter, Purged, StateReader, StoreError, TelemetryDb};

/// Findings that are named in one answer.
const FINDINGS_MAX: usize = 100;

/// What a purge came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Of the telemetry.
    pub purged: Purged,
    /// Findings whose kept episodes hold samples of the subject: to be let go.
    pub episodes: Vec<FindingId>,
    /// Findings that name the subject, the newest first, at most 100: they stay.
    pub findings: Vec<FindingId>,
    /// Damaged databases that were set aside: what they hold cannot be forgotten in part.
    pub files: Vec<String>,
}

/// Purges what is about a subject, and looks for what else tells of it. Blocks: not for async tasks.
pub fn forget(telemetry: &TelemetryDb, state: &StateReader, filter: PurgeFilter) -> Result<Forgotten, StoreError> {
    let subject = telemetry.registry().subject(&filter.where_);
    let (mut episodes, mut findings) = (Vec::new(), Vec::new());
    if !subject.is_empty() {
        for head in state.episodes()? {
            let Some(episode) = state.episode(&head.finding)? else { continue };
            if episode.series.iter().any(|series| subject.is_of(&series.key)) {
                episodes.push(head.finding);
            }
        }
        // A series is named as it is printed, or by its attributes.
        let named = subject.forms().iter().map(|(name, forms)| {
            forms.iter().flat_map(|value| [format!("{name}={value}"), format!("\"{name}\":\"{value}\"")]).collect()
        });
        findings = state.findings_naming(&named.collect::<Vec<Vec<String>>>(), FINDINGS_MAX)?;
    }
    let purged = telemetry.purge(filter)?;
    let files = telemetry.files_aside().into_iter().map(|path| path.display().to_string()).collect();
    Ok(Forgotten { purged, episodes, findings, files })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdfast_core::detect::DetectConfig;
    use holdfast_core::detect::replay::{Episode, EpisodeSeries};
    use holdfast_core::model::audit::AuditKey;
    use holdfast_core::model::{Attributes, MetricKind, SampleBatch, Says, SeededIds, SeriesKey, Target, Timestamp};
    use holdfast_core::redact::Redactor;

    use super::*;
    use crate::store::{StateDb, TelemetryOptions, Writes};

    #[test]
    fn copies_of_a_subjects_samples_are_found_and_those_of_others_are_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = StateDb::open(dir.path(), AuditKey::new([1; 32])).unwrap();
        std::fs::write(dir.path().join("telemetry.db.corrupt-17"), "x").unwrap();
        let telemetry = TelemetryDb::open(dir.path(), TelemetryOptions::default()).unwrap();
        let at = Timestamp::from_secs(1_800_000_000);
        let key = |user: String| SeriesKey {
            metric: "app.sessions".into(),
            unit: "1".into(),
            kind: MetricKind::Gauge,
            attributes: Attributes::from([("enduser.id".to_owned(), user)]),
        };
        let (hers, his) = (key(Redactor::standard().digest("alice")), key("bob".into()));
        let episode = |number: u64, key: &SeriesKey| Episode {
            version: 1,
            finding: FindingId::new(at, &mut SeededIds(number)),
            says: Says::TruePositive,
            note: String::new(),
            kind: "metric.anomaly".into(),
            target: Target::series("app.sessions"),
            fingerprint: "x".into(),
            about: None,
            title: "odd".into(),
            began_at: at,
            ended_at: at,
            resolution: None,
            detect: DetectConfig::default(),
            series: vec![EpisodeSeries::new(key.clone(), &[(at, 1.0)])],
        };
        let all = [episode(1, &hers), episode(2, &his)];
        let kept = all.iter().map(|it| (it.finding.clone(), Some(Box::new(it.clone())))).collect();
        state.commit(Writes { episodes: kept, ..Writes::default() }).unwrap();
        let samples = vec![(telemetry.registry().intern(&hers).0, 1.0), (telemetry.registry().intern(&his).0, 1.0)];
        telemetry.write_batch(Arc::new(SampleBatch { at, new_series: vec![], samples }));
        let purge = |user: &str| {
            let where_ = vec![("enduser.id".to_owned(), user.to_owned())];
            forget(&telemetry, &state.reader(), PurgeFilter { where_, target: None }).unwrap()
        };
        let found = purge("alice");
        assert_eq!(found.purged, Purged { series: 1, samples: 1, changes: 0 });
        assert_eq!(found.episodes, [all[0].finding.clone()]);
        assert!(found.files.len() == 1 && found.files[0].ends_with("telemetry.db.corrupt-17"), "{:?}", found.files);
        let nobody = purge("carol");
        assert_eq!((nobody.purged, nobody.episodes), (Purged::default(), vec![]));
    }
}
