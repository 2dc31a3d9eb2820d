//! Detections become findings: one open finding for each fingerprint, however often it is detected.
//!
//! `Inconclusive` opens and resolves nothing. A problem that comes back soon after it was resolved is the same finding,
//! opened again, with the number of times as evidence (`finding.flaps`). A suppressed finding stays suppressed until its
//! measure says that it is gone. Memory is bounded: of resolved findings only the last hour is remembered.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::model::{
    COURSE, Detection, Evidence, Finding, FindingId, FindingState, IdSource, Presence, RELATED_EVIDENCE, Timestamp,
    Value,
};

/// How long a resolved finding is remembered: coming back within it is flapping, and plans may still be verified by it.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Coming back within this time after resolution opens the same finding again.
const REOPENED_WITHIN: Duration = Duration::from_mins(10);
/// While nothing material changes, a finding is written at most this often.
const WRITTEN_EVERY: Duration = Duration::from_mins(1);
/// Resolved findings remembered; the oldest go first.
const RESOLVED_MAX: usize = 1024;
/// Evidence that counts how often the finding was opened again.
const FLAPS: &str = "finding.flaps";
/// Evidence of a finding that ended without a word of its measure: why. Whether its problem is gone is unknown.
pub const ENDED: &str = "finding.ended";

/// What a detection did to the findings; each is a durable write.
#[derive(Debug, Clone, PartialEq)]
pub enum FindingEvent {
    /// A new one, or one that came back.
    Opened(Finding),
    /// Its severity, title or evidence changed, or a minute passed.
    Updated(Finding),
    /// Its measure says that it is gone.
    Resolved(Finding),
}

#[derive(Debug, Clone)]
struct Tracked {
    finding: Finding,
    /// Last word of the measure, and when.
    presence: Option<(Presence, Timestamp)>,
    written_at: Timestamp,
}

/// Open findings by fingerprint; suppressed ones, and for an hour the resolved ones, too.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    by_id: BTreeMap<FindingId, Tracked>,
    by_fingerprint: HashMap<String, FindingId>,
}

impl Lifecycle {
    /// Takes up the findings that the store calls open or suppressed, and those that were resolved within the hour. Of two with one
    /// fingerprint the later in the list is the newer.
    pub fn new(open: Vec<Finding>) -> Self {
        let mut all = Self::default();
        for finding in open {
            all.replace(finding);
        }
        all
    }

    /// One detection: what changes because of it, if anything worth a durable write.
    pub fn observe(&mut self, detection: &Detection, at: Timestamp, ids: &mut dyn IdSource) -> Option<FindingEvent> {
        let known = self.by_fingerprint.get(&detection.fingerprint()).and_then(|id| self.by_id.get_mut(id));
        let Some(tracked) = known else {
            if detection.presence != Presence::Present {
                return None;
            }
            let finding = Finding::opened(detection, at, ids);
            self.insert(Tracked { finding: finding.clone(), presence: Some((Presence::Present, at)), written_at: at });
            self.forget(at);
            return Some(FindingEvent::Opened(finding));
        };
        tracked.presence = Some((detection.presence, at));
        match (detection.presence, tracked.finding.state) {
            (Presence::Inconclusive, _) | (Presence::Cleared, FindingState::Resolved) => None,
            (Presence::Cleared, _) => {
                tracked.finding.state = FindingState::Resolved;
                tracked.finding.resolved_at = Some(at);
                tracked.written_at = at;
                let finding = tracked.finding.clone();
                self.forget(at);
                Some(FindingEvent::Resolved(finding))
            }
            (Presence::Present, FindingState::Resolved) => {
                let resolved_at = tracked.finding.resolved_at.unwrap_or(at);
                // Another cause is another story: what the agent brought about must not hide in a finding that it didn't.
                if at.since(resolved_at) > REOPENED_WITHIN || tracked.finding.cause != detection.cause {
                    let finding = Finding::opened(detection, at, ids);
                    self.insert(Tracked {
                        finding: finding.clone(),
                        presence: Some((Presence::Present, at)),
                        written_at: at,
                    });
                    return Some(FindingEvent::Opened(finding));
                }
                let flaps = flaps(&tracked.finding) + 1;
                renew(&mut tracked.finding, detection, at, flaps);
                // A new episode: what must be sustained is counted from its own beginning.
                tracked.finding.began_at = detection.began_at;
                tracked.finding.detected_at = at;
                tracked.finding.state = FindingState::New;
                tracked.finding.resolved_at = None;
                tracked.written_at = at;
                Some(FindingEvent::Opened(tracked.finding.clone()))
            }
            (Presence::Present, _) => {
                let material = material(&tracked.finding, detection);
                let flaps = flaps(&tracked.finding);
                renew(&mut tracked.finding, detection, at, flaps);
                if material || at.since(tracked.written_at) >= WRITTEN_EVERY {
                    tracked.written_at = at;
                    return Some(FindingEvent::Updated(tracked.finding.clone()));
                }
                None
            }
        }
    }

    /// Ends a finding whose measure says nothing any more, for a reason that it keeps as [`ENDED`]; that its problem is gone is not said.
    /// `None`: there is no such finding, or it has ended before.
    pub fn end(&mut self, id: &FindingId, why: &str, at: Timestamp) -> Option<Finding> {
        let tracked = self.by_id.get_mut(id).filter(|it| it.finding.state != FindingState::Resolved)?;
        tracked.presence = Some((Presence::Inconclusive, at));
        tracked.finding.state = FindingState::Resolved;
        tracked.finding.resolved_at = Some(at);
        tracked.finding.evidence.retain(|it| it.name != ENDED);
        tracked.finding.evidence.push(Evidence::new(ENDED, why));
        tracked.written_at = at;
        let finding = tracked.finding.clone();
        self.forget(at);
        Some(finding)
    }

    /// A finding by id: open, suppressed, or resolved within the last hour.
    pub fn get(&self, id: &FindingId) -> Option<&Finding> {
        self.by_id.get(id).map(|tracked| &tracked.finding)
    }

    /// Takes over what somebody else decided about a finding: its state, its incident, a label.
    pub fn replace(&mut self, finding: Finding) {
        if let Some(tracked) = self.by_id.get_mut(&finding.id) {
            tracked.finding = finding;
        } else {
            let written_at = finding.last_seen_at;
            self.insert(Tracked { finding, presence: None, written_at });
        }
    }

    /// Findings whose problem still counts, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.by_id.values().map(|tracked| &tracked.finding).filter(|finding| finding.is_open())
    }

    /// Findings that a label suppresses, oldest first.
    pub fn suppressed(&self) -> impl Iterator<Item = &Finding> {
        self.by_id.values().map(|tracked| &tracked.finding).filter(|it| it.state == FindingState::Suppressed)
    }

    /// The finding with this fingerprint: open, suppressed, or resolved within the last hour.
    pub fn by_fingerprint(&self, fingerprint: &str) -> Option<&Finding> {
        self.by_fingerprint.get(fingerprint).and_then(|id| self.get(id))
    }

    /// What the measure that raised it said last, and when; also for an hour after it was resolved.
    /// `None`: it has said nothing since the agent started.
    pub fn latest_presence(&self, id: &FindingId) -> Option<(Presence, Timestamp)> {
        self.by_id.get(id).and_then(|tracked| tracked.presence)
    }

    fn insert(&mut self, tracked: Tracked) {
        let Finding { id, fingerprint, .. } = &tracked.finding;
        self.by_fingerprint.insert(fingerprint.clone(), id.clone());
        self.by_id.insert(id.clone(), tracked);
    }

    /// Lets go of what was resolved long ago.
    fn forget(&mut self, at: Timestamp) {
        let mut resolved: Vec<(Timestamp, FindingId)> = self
            .by_id
            .values()
            .filter(|tracked| tracked.finding.state == FindingState::Resolved)
            .map(|tracked| (tracked.finding.resolved_at.unwrap_or_default(), tracked.finding.id.clone()))
            .collect();
        resolved.sort();
        let over = resolved.len().saturating_sub(RESOLVED_MAX);
        for (index, (resolved_at, id)) in resolved.into_iter().enumerate() {
            if index >= over && at.since(resolved_at) <= REMEMBERED {
                break;
            }
            if let Some(gone) = self.by_id.remove(&id)
                && self.by_fingerprint.get(&gone.finding.fingerprint) == Some(&id)
            {
                self.by_fingerprint.remove(&gone.finding.fingerprint);
            }
        }
    }
}

fn flaps(finding: &Finding) -> u64 {
    match finding.evidence(FLAPS) {
        Some(Value::Integer(n)) => u64::try_from(*n).unwrap_or(0),
        _ => 0,
    }
}

/// The newest numbers; what the operator or the agent decided about the finding stays.
fn renew(finding: &mut Finding, detection: &Detection, at: Timestamp, flaps: u64) {
    finding.title.clone_from(&detection.title);
    finding.severity = detection.severity;
    finding.confidence = detection.confidence;
    finding.method.clone_from(&detection.method);
    finding.evidence.clone_from(&detection.evidence);
    if flaps > 0 {
        finding.evidence.retain(|it| it.name != FLAPS);
        finding.evidence.push(Evidence::new(FLAPS, flaps));
    }
    finding.count = finding.count.saturating_add(1);
    finding.last_seen_at = finding.last_seen_at.max(at);
}

/// Whether a reader would want to know at once: severity, a fact that isn't a measured number, or confidence by a fifth.
fn material(finding: &Finding, detection: &Detection) -> bool {
    let fact = |value: &Value| !matches!(value, Value::Number(_) | Value::Integer(_));
    finding.severity != detection.severity
        || (finding.confidence.get() - detection.confidence.get()).abs() >= 0.2
        || detection.evidence.iter().filter(|it| !it.name.starts_with(RELATED_EVIDENCE) && it.name != COURSE).any(
            |it| match finding.evidence(&it.name) {
                None => true,
                Some(known) => (fact(&it.value) || fact(known)) && *known != it.value,
            },
        )
}
