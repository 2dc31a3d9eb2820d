//! One incident per episode: joining, opening, closing, and its story.
//!
//! A finding joins an open incident when they share a target, when the same change is the strongest suspect of both, or when both
//! are troubles of the machine, or altered accounts, that began together, or are about one of its resources within an hour. Everything else opens an incident of its own: two causes in one
//! incident mislead more than two incidents do.
//!
//! A trouble that comes and goes is one incident: a finding that comes back within [`COMES_BACK_WITHIN`] opens its own again.

use std::time::Duration;

use super::rank::{file_of_unit, in_order, rank};
use crate::model::{
    Change, Class, Finding, IdSource, Incident, IncidentId, IncidentState, Suspect, TimelineEntry, Timestamp, Value,
};

/// Troubles of the whole machine that begin within this time are one episode.
const TOGETHER: Duration = Duration::from_mins(2);
/// Several units that fail within this time have failed from one cause.
const AT_ONCE: Duration = Duration::from_secs(15);
/// A suspect must score this much in both to join a finding to an incident.
const SHARED_SUSPECT_MIN: f64 = 0.6;
/// Findings further apart than this don't share an incident because of a shared suspect.
const SUSPECT_REACH: Duration = Duration::from_hours(1);
/// A finding that comes back within this time of its end is the same trouble, and opens its incident again.
pub const COMES_BACK_WITHIN: Duration = Duration::from_hours(1);
/// Lines of an incident's story.
const TIMELINE_MAX: usize = 200;
/// Of which the beginning keeps this many when the middle is left out.
const TIMELINE_HEAD: usize = 60;
const TIMELINE_TEXT_MAX: usize = 500;

/// Joins the finding to an open incident with a presumed common cause, or opens one; the suspects are ranked again.
///
/// `open`: open incidents, and the one that the finding was in before, which is opened again if it was resolved. `siblings`: findings
/// of those incidents. `changes`: oldest first, the last hour or two.
/// Calling it again for a finding that an incident has already brings that incident up to date.
pub fn correlate(
    finding: &Finding,
    open: &[Incident],
    siblings: &[Finding],
    changes: &[Change],
    at: Timestamp,
    ids: &mut dyn IdSource,
) -> Incident {
    let own = rank(std::slice::from_ref(finding), changes);
    let home = open
        .iter()
        .filter(|it| it.state == IncidentState::Open || is_home(finding, it))
        .filter_map(|incident| belongs(finding, &own, incident, siblings).map(|strength| (strength, incident)))
        .max_by(|a, b| a.0.cmp(&b.0).then(a.1.detected_at.cmp(&b.1.detected_at)))
        .map(|(_, incident)| incident.clone());
    let mut incident = home.unwrap_or_else(|| Incident {
        id: IncidentId::new(at, ids),
        state: IncidentState::Open,
        title: finding.title.clone(),
        severity: finding.severity,
        confidence: finding.confidence,
        findings: Vec::new(),
        suspects: Vec::new(),
        timeline: Vec::new(),
        began_at: finding.began_at,
        detected_at: at,
        resolved_at: None,
        outcome: None,
        reopened: 0,
        reopened_at: None,
    });
    let again = incident.state == IncidentState::Resolved;
    if again {
        reopen(&mut incident, finding, at);
    }
    if !incident.findings.contains(&finding.id) {
        incident.findings.push(finding.id.clone());
        if !again {
            note(&mut incident, finding.detected_at, "finding", finding.id.as_str(), finding.title.clone());
        }
    }
    let mut members: Vec<Finding> =
        siblings.iter().filter(|it| it.id != finding.id && incident.findings.contains(&it.id)).cloned().collect();
    members.push(finding.clone());
    summarise(&mut incident, &members);
    let ranked = rank(&members, changes);
    // What was suspected when the trouble began is not cleared because it went away for a while.
    incident.suspects = if incident.reopened > 0 { merged(ranked, &incident.suspects) } else { ranked };
    incident
}

/// The open incident with its suspects ranked again because of a change that was told after it was opened; `None`: it alters nothing.
///
/// `findings`: those of the incident. `changes`: oldest first, this one among them. Suspects of before stay, whether or not their
/// changes are remembered. What was decided meanwhile stays as it was decided.
pub fn reconsider(
    incident: &Incident,
    findings: &[Finding],
    change: &Change,
    changes: &[Change],
    at: Timestamp,
) -> Option<Incident> {
    if incident.state != IncidentState::Open || rank(findings, std::slice::from_ref(change)).is_empty() {
        return None;
    }
    let same = |it: &Suspect| it.change == change.id || (it.deployment.is_some() && it.deployment == change.deployment);
    let ranked = merged(rank(findings, changes), &incident.suspects);
    let shown = |all: &[Suspect]| -> Vec<_> { all.iter().map(|it| (it.change.clone(), it.score.to_bits())).collect() };
    if shown(&ranked) == shown(&incident.suspects) {
        return None;
    }
    let mut again = incident.clone();
    if let Some(place) = ranked.iter().position(same).filter(|_| !incident.suspects.iter().any(same)) {
        let text = format!("Suspected since it was told, in place {}: {}", place + 1, ranked[place].summary);
        note(&mut again, at, "change", change.id.as_str(), text);
    }
    again.suspects = ranked;
    Some(again)
}

fn reopen(incident: &mut Incident, finding: &Finding, at: Timestamp) {
    incident.state = IncidentState::Open;
    incident.resolved_at = None;
    incident.outcome = None;
    incident.reopened = incident.reopened.saturating_add(1);
    incident.reopened_at = Some(at);
    let times = incident.reopened;
    note(incident, at, "finding", finding.id.as_str(), format!("Opened again ({times}): {}", finding.title));
}

/// Suspects of now, and those of before that are not among them.
fn merged(mut ranked: Vec<Suspect>, before: &[Suspect]) -> Vec<Suspect> {
    let known = |it: &&Suspect| {
        ranked.iter().all(|new| new.change != it.change && (it.deployment.is_none() || new.deployment != it.deployment))
    };
    let older: Vec<Suspect> = before.iter().filter(known).cloned().collect();
    ranked.extend(older);
    in_order(&mut ranked);
    ranked
}

fn summarise(incident: &mut Incident, members: &[Finding]) {
    // The first reported among the most severe gives the title, so that it doesn't change with each later one.
    if let Some(worst) =
        members.iter().max_by(|a, b| a.severity.cmp(&b.severity).then(b.detected_at.cmp(&a.detected_at)))
    {
        incident.title.clone_from(&worst.title);
        incident.severity = worst.severity;
    }
    for member in members {
        incident.began_at = incident.began_at.min(member.began_at);
        if member.confidence > incident.confidence {
            incident.confidence = member.confidence;
        }
    }
}

/// Whether the incident is the finding's own.
fn is_home(finding: &Finding, incident: &Incident) -> bool {
    incident.findings.contains(&finding.id) || finding.incident.as_ref() == Some(&incident.id)
}

/// How strongly the finding belongs to the incident; `None`: it doesn't.
fn belongs(finding: &Finding, own: &[Suspect], incident: &Incident, siblings: &[Finding]) -> Option<u8> {
    if is_home(finding, incident) {
        return Some(4);
    }
    let members = siblings.iter().filter(|it| incident.findings.contains(&it.id));
    let related = members.filter_map(|member| relation(finding, member)).max();
    let shared = own.first().zip(incident.suspects.first()).is_some_and(|(a, b)| {
        a.score >= SHARED_SUSPECT_MIN
            && b.score >= SHARED_SUSPECT_MIN
            && (a.change == b.change || (a.deployment.is_some() && a.deployment == b.deployment))
            && apart(finding.began_at, incident.began_at) <= SUSPECT_REACH
    });
    related.max(shared.then_some(3))
}

fn relation(a: &Finding, b: &Finding) -> Option<u8> {
    if a.target == b.target {
        return Some(3);
    }
    let apart = apart(a.began_at, b.began_at);
    let pair = |x: &Finding, y: &Finding| {
        let of_unit = match y.target.kind.as_str() {
            "file" => file_of_unit(&y.target.name, &x.target.name),
            "unit_file" => y.target.name == x.target.name,
            _ => false,
        };
        x.target.kind == "unit" && of_unit
    };
    if apart <= SUSPECT_REACH && (pair(a, b) || pair(b, a)) {
        return Some(2);
    }
    // Making an account alters groups too, and one who came in alters both.
    let account = |it: &Finding| matches!(it.target.kind.as_str(), "user" | "group");
    if apart <= TOGETHER && account(a) && account(b) {
        return Some(1);
    }
    if a.class != Class::Reliability || b.class != Class::Reliability {
        return None;
    }
    let wide = |it: &Finding| matches!(it.target.kind.as_str(), "series" | "host" | "filesystem");
    if apart <= TOGETHER && (wide(a) || wide(b)) {
        return Some(1);
    }
    // A trend and a departure of one resource are one trouble, though the slow one is noticed later.
    if apart <= SUSPECT_REACH && wide(a) && wide(b) && matter(a).is_some_and(|it| matter(b) == Some(it)) {
        return Some(1);
    }
    (apart <= AT_ONCE && a.target.kind == "unit" && b.target.kind == "unit").then_some(1)
}

/// The resource of the machine that a finding is about.
fn matter(finding: &Finding) -> Option<&'static str> {
    if let Some(Value::Text(name)) = finding.evidence("resource.name") {
        return ["memory", "open files", "threads"].into_iter().find(|it| it == name);
    }
    let name = finding.target.name.as_str();
    let metrics = [
        ("system.memory.", "memory"),
        ("system.paging.", "memory"),
        ("holdfast.cpu.", "cpu"),
        ("system.cpu.", "cpu"),
        ("system.disk.", "disk"),
        ("holdfast.file.", "open files"),
        ("holdfast.thread.", "threads"),
    ];
    let of_series = metrics.into_iter().find(|(start, _)| name.starts_with(start)).map(|it| it.1);
    of_series.filter(|_| finding.target.kind == "series")
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

/// The incident, resolved, when none of its findings is open any more. `findings`: all of them that are known.
pub fn close(incident: &Incident, findings: &[Finding], at: Timestamp, outcome: Option<String>) -> Option<Incident> {
    let own = || findings.iter().filter(|it| incident.findings.contains(&it.id));
    if incident.state != IncidentState::Open || own().any(Finding::is_open) {
        return None;
    }
    let mut closed = incident.clone();
    let outcome = outcome.unwrap_or_else(|| match own().count() {
        0 => "none of its findings is known any more".to_owned(),
        1 => "its finding is resolved or suppressed".to_owned(),
        n => format!("its {n} findings are resolved or suppressed"),
    });
    closed.state = IncidentState::Resolved;
    closed.resolved_at = Some(at);
    note(&mut closed, at, "note", "", format!("Resolved: {outcome}."));
    closed.outcome = Some(outcome);
    Some(closed)
}

/// Adds a line to the incident's story. Bounded: when it is full, lines in the middle give way, and a line says how many.
pub fn note(incident: &mut Incident, at: Timestamp, kind: &str, reference: &str, text: String) {
    let mut text = text;
    if let Some((cut, _)) = text.char_indices().nth(TIMELINE_TEXT_MAX) {
        text.truncate(cut);
        text.push('…');
    }
    let timeline = &mut incident.timeline;
    // A line may come late (a finding's own time); the story stays in order of time.
    let place = timeline.iter().rposition(|entry| entry.at <= at).map_or(0, |index| index + 1);
    timeline.insert(place, TimelineEntry { at, kind: kind.to_owned(), reference: reference.to_owned(), text });
    if timeline.len() <= TIMELINE_MAX {
        return;
    }
    let is_gap = |entry: &TimelineEntry| entry.kind == GAP_KIND && entry.reference == GAP_REFERENCE;
    let (gap, before) = match timeline.iter().position(is_gap) {
        Some(gap) => (gap, timeline[gap].text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)),
        None => (TIMELINE_HEAD, 1),
    };
    // The line after the gap gives way, or, when lines came late, the one before it.
    let victim = if gap + 1 < timeline.len() { gap + 1 } else { gap - 1 };
    GAP_KIND.clone_into(&mut timeline[gap].kind);
    GAP_REFERENCE.clone_into(&mut timeline[gap].reference);
    timeline[gap].text = format!("{} lines are left out here", before + 1);
    timeline.remove(victim);
}

const GAP_KIND: &str = "note";
const GAP_REFERENCE: &str = "left-out";
