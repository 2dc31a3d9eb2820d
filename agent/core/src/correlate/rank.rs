//! Which changes are suspected, and how much.
//!
//! A score is a weighted sum of three parts, each 0 to 1 and each kept as evidence: how well the change's target fits the
//! symptom's (or the units that use more of what is short: metric contribution), how near to its beginning the change was (of a series, to its change point), and how often changes of its kind break things. The weights are a stated
//! prior, chosen so that a change which fits outranks one that is merely closer; scores compare within one incident only.
//! What of a series' departure was there before the change is taken off that sum, by a stated part of it ([`contrast`](super::contrast)).
//! Changes of one deployment are one suspect, represented by the deployment's own change.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contrast::{self, Contrast};
use crate::model::incident::{TARGET_MATCH_EVIDENCE, UNRELATED};
use crate::model::unit_name::{base_of, word_in};
use crate::model::{Change, Evidence, Finding, RELATED_UNITS, Suspect, Target, Value};

const WEIGHT_MATCH: f64 = 0.45;
const WEIGHT_TIMING: f64 = 0.30;
const WEIGHT_KIND: f64 = 0.25;
/// A change before which the whole departure was there loses this part of its score; one before which none was, nothing.
const WEIGHT_CONTRAST: f64 = 0.5;
/// Half the timing score for each of these between change and symptom.
const HALF_LIFE_S: f64 = 600.0;
/// Changes older than this, seen from the symptom, are left alone.
const BEFORE_MAX: Duration = Duration::from_hours(2);
/// Clocks and file times are coarse: a change may seem to come this much after what it caused.
const AFTER_MAX: Duration = Duration::from_secs(5);
/// A service manager's or watcher's word on the symptom itself comes this close to it.
const ECHO: Duration = Duration::from_mins(1);
/// From this fit on a finding is about what was changed.
const FIT_CLEAR: f64 = 0.5;
const SUSPECTS_MAX: usize = 10;
const SCORE_MIN: f64 = 0.2;

/// Changes suspected of these findings' common cause, most suspicious first. `changes`: oldest first.
///
/// Never a suspect: what the agent did itself, what came after the symptom, and what merely reports the symptom. A change that was
/// noticed late may have come before it: what counts is the earliest that it may have happened.
/// A deployment's change names its units and paths in the attributes `deployment.units`, `deployment.paths` (lists with
/// spaces between) and `deployment.release_dir`; changes that carry the same deployment count as one with it.
pub fn rank(findings: &[Finding], changes: &[Change]) -> Vec<Suspect> {
    let mut groups: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.cause.is_none()) {
        let key = change.deployment.as_ref().map_or(change.id.as_str(), |deployment| deployment.as_str());
        groups.entry(key).or_default().push(change);
    }
    let mut suspects: Vec<Suspect> = groups.values().filter_map(|group| suspect(findings, group)).collect();
    in_order(&mut suspects);
    suspects
}

/// Most suspicious first, and no more than a person reads.
pub(super) fn in_order(suspects: &mut Vec<Suspect>) {
    suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.at.cmp(&a.at)).then(a.change.cmp(&b.change)));
    suspects.truncate(SUSPECTS_MAX);
}

struct Parts {
    fit: f64,
    why: String,
    /// What the unit that was changed has of what units use more.
    share: Option<f64>,
    timing: f64,
    lag_s: f64,
    /// By how much the symptom was there before the change was noticed.
    late_s: f64,
    /// How far the series that departed is from where it was before the change.
    contrast: Option<Contrast>,
    score: f64,
}

fn suspect(findings: &[Finding], group: &[&Change]) -> Option<Suspect> {
    let of = |subject: &str| group.iter().find(|it| it.kind.starts_with(subject));
    let face = of("service.").or_else(|| of("deployment.")).or_else(|| group.first())?;
    let prior = group.iter().map(|it| kind_prior(&it.kind)).fold(0.0, f64::max);
    let best = findings
        .iter()
        .filter_map(|finding| parts(finding, group, prior))
        .max_by(|a, b| a.score.total_cmp(&b.score))
        .filter(|parts| parts.score >= SCORE_MIN)?;
    let mut evidence = vec![
        Evidence::new(TARGET_MATCH_EVIDENCE, rounded(best.fit)),
        Evidence::new("suspect.target_reason", best.why),
        Evidence::new("suspect.timing", rounded(best.timing)),
        Evidence::new("suspect.before_s", rounded(best.lag_s)),
        Evidence::new("suspect.kind_prior", prior),
    ];
    if best.late_s > 0.0 {
        evidence.push(Evidence::new("suspect.noticed_after_s", rounded(best.late_s)));
    }
    evidence.extend(best.contrast.into_iter().flat_map(Contrast::evidence));
    evidence.push(Evidence::new("suspect.reach", reach(findings, group)));
    evidence.extend(best.share.map(|share| Evidence::new("suspect.unit_share", rounded(share))));
    if face.deployment.is_some() {
        evidence.push(Evidence::new("suspect.deployment_changes", group.len() as u64));
    }
    Some(Suspect {
        change: face.id.clone(),
        kind: face.kind.clone(),
        target: face.target.clone(),
        summary: face.summary.clone(),
        at: face.at,
        deployment: face.deployment.clone(),
        score: rounded(best.score),
        evidence,
    })
}

/// How much of the incident is about what was changed, in words. Says nothing of the cause.
fn reach(findings: &[Finding], group: &[&Change]) -> String {
    let fits = |finding: &&Finding| group.iter().any(|it| fit_of_finding(it, finding).0 >= FIT_CLEAR);
    let about = findings.iter().filter(fits).count();
    let mut units: Vec<&str> = group.iter().flat_map(|it| listed(it, "deployment.units")).collect();
    units.sort_unstable();
    units.dedup();
    let hit = units.iter().filter(|unit| findings.iter().any(|it| it.target == Target::unit(**unit))).count();
    let text = format!("{about} of {} findings here are about what it changed", findings.len());
    match units.len() {
        0 => text,
        named => format!("{text}; {hit} of the {named} units that it names are among them"),
    }
}

fn listed<'c>(change: &'c Change, name: &str) -> impl Iterator<Item = &'c str> {
    change.attributes.get(name).map(String::as_str).unwrap_or_default().split_whitespace()
}

pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn parts(finding: &Finding, group: &[&Change], prior: f64) -> Option<Parts> {
    let symptom = finding.began_at;
    let earlier = |change: &&&Change| {
        change.earliest() <= symptom.plus(AFTER_MAX) && symptom.since(change.at) <= BEFORE_MAX && !echo(change, finding)
    };
    // A trend is seen when it has passed a limit; what brought it is near to where the series began to leave.
    let left_at = contrast::changed_at(finding).filter(|it| *it <= symptom).unwrap_or(symptom);
    let mut nearest: Option<(f64, f64, f64)> = None;
    let (mut fit, mut why, mut share) = (0.0, String::new(), None);
    for change in group.iter().filter(&earlier) {
        let late_s = change.at.since(symptom.plus(AFTER_MAX)).as_secs_f64();
        // Of one that was noticed late, the middle of the time in which it may have happened.
        let middle_s = symptom.since(change.earliest()).as_secs_f64() / 2.0;
        let lag_s = if late_s > 0.0 { middle_s } else { symptom.since(change.at).as_secs_f64() };
        let apart_s =
            if late_s > 0.0 { lag_s } else { left_at.since(change.at).max(change.at.since(left_at)).as_secs_f64() };
        let this = (apart_s, lag_s, late_s);
        nearest = nearest.into_iter().chain([this]).min_by(|a, b| a.0.total_cmp(&b.0));
        let (one, reason, of_units) = fit_of_finding(change, finding);
        if one > fit {
            (fit, why, share) = (one, reason, of_units);
        }
    }
    let (apart_s, lag_s, late_s) = nearest?;
    let timing = (-apart_s / HALF_LIFE_S).exp2();
    // What a deployment brings begins with its first change.
    let first = group.iter().filter(&earlier).map(|it| it.earliest()).min();
    let contrast = first.and_then(|it| Contrast::of(finding, it));
    let before = contrast.map_or(0.0, |it| 1.0 - it.share);
    let sum = WEIGHT_MATCH * fit + WEIGHT_TIMING * timing + WEIGHT_KIND * prior;
    let score = sum * (1.0 - WEIGHT_CONTRAST * before);
    Some(Parts { fit, why, share, timing, lag_s, late_s, contrast, score })
}

/// The change is how the symptom itself was noticed: the unit that failed, the file that drifted.
fn echo(change: &Change, finding: &Finding) -> bool {
    if change.target != finding.target || change.deployment.is_some() {
        return false;
    }
    if change.kind.starts_with("unit.") {
        // Restarts of a crashing unit surround its failure; a person who stopped it is another matter.
        return change.kind == "unit.failed" || change.actor.is_none();
    }
    let apart = finding.began_at.since(change.at).max(change.at.since(finding.began_at));
    let is_drift = finding.kind.rsplit_once('.').is_some_and(|(_, what)| what == "drift");
    (change.kind.starts_with("file.") || is_drift) && apart <= ECHO
}

/// How often changes of this kind turn out to break things; a prior, not a measurement of this host.
fn kind_prior(kind: &str) -> f64 {
    match kind.split_once('.').map_or(kind, |(subject, _)| subject) {
        // What runs or failed breaks as much as what is done.
        "service" | "deployment" => 0.9,
        "flag" => 0.8,
        "package" | "file" => 0.7,
        "unit" => 0.3,
        "pipeline_run" => 0.2,
        _ => 0.4,
    }
}

/// How well what was changed fits what is wrong: the finding's target, or the units that use more of what it is about.
fn fit_of_finding(change: &Change, finding: &Finding) -> (f64, String, Option<f64>) {
    let (fit, why) = fit_of(change, &finding.target);
    let own = (fit, why, None);
    let Some(Value::Texts(units)) = finding.evidence(RELATED_UNITS) else { return own };
    let shares = units.iter().filter_map(|it| it.rsplit_once(' ')).filter_map(|(unit, share)| {
        let share: f64 = share.parse().ok().filter(|it| (0.0..=1.0).contains(it))?;
        let (fit, reason) = fit_of(change, &Target::unit(unit));
        // Who uses more may be the victim, too: never as much as a change of the very target.
        let fit = fit * (0.35 + 0.6 * share);
        Some((fit, format!("{reason}; {unit} has {:.0} % of what units use more", 100.0 * share), Some(share)))
    });
    shares.fold(own, |best, it| if it.0 > best.0 { it } else { best })
}

/// How well what was changed fits a target, and a few words on why.
fn fit_of(change: &Change, symptom: &Target) -> (f64, String) {
    if change.target == *symptom {
        return (1.0, "the same target".to_owned());
    }
    let mut roots = listed(change, "deployment.paths").chain(listed(change, "deployment.release_dir"));
    match symptom.kind.as_str() {
        "unit" => {
            if listed(change, "deployment.units").any(|unit| unit == symptom.name) {
                return (1.0, format!("the deployment names {}", symptom.name));
            }
            unit_fit(change, &symptom.name)
        }
        "file" | "directory" => {
            if roots.any(|root| below(&symptom.name, root)) {
                return (1.0, format!("the deployment names a path above {}", symptom.name));
            }
            let folder = symptom.name.rsplit_once('/').map_or("", |(folder, _)| folder);
            if change.target.kind == "file" && !folder.is_empty() && below(&change.target.name, folder) {
                return (0.5, format!("also in {folder}"));
            }
            (0.05, "no known relation".to_owned())
        }
        "deployment" | "service" => {
            let same = change.deployment.as_ref().is_some_and(|it| it.as_str() == symptom.name)
                || change.attributes.get("service.name").is_some_and(|it| *it == symptom.name);
            if same {
                (1.0, "the same deployment or service".to_owned())
            } else {
                (UNRELATED, "no known relation".to_owned())
            }
        }
        "filesystem" => {
            if symptom.name != "/" && roots.any(|root| below(root, &symptom.name)) {
                return (0.7, format!("the deployment writes below {}", symptom.name));
            }
            if symptom.name != "/" && change.target.kind == "file" && below(&change.target.name, &symptom.name) {
                return (0.4, format!("on the same file system, {}", symptom.name));
            }
            (0.2, "anything may fill a file system".to_owned())
        }
        "series" => fit_of_series(change, &symptom.name),
        "host" => (0.3, "anything may move the whole machine".to_owned()),
        _ => (UNRELATED, "no known relation".to_owned()),
    }
}

/// A series that names its unit or its service is about that.
fn fit_of_series(change: &Change, series: &str) -> (f64, String) {
    let named = |attribute: &str| {
        let rest = series.split_once(attribute)?.1.strip_prefix('=')?;
        rest.split([',', '}']).next().filter(|it| !it.is_empty())
    };
    let of = match (named("holdfast.unit.name"), named("service.name")) {
        (Some(unit), _) => Target::unit(unit),
        (None, Some(service)) => {
            let by_unit = fit_of(change, &Target::unit(format!("{service}.service")));
            let by_service = fit_of(change, &Target::new("service", service));
            return if by_unit.0 > by_service.0 { by_unit } else { by_service };
        }
        (None, None) => return (0.3, "anything may move the whole machine".to_owned()),
    };
    fit_of(change, &of)
}

fn unit_fit(change: &Change, unit: &str) -> (f64, String) {
    let base = base_of(unit);
    let name = change.target.name.as_str();
    let by_name = base.len() >= 3;
    match change.target.kind.as_str() {
        "file" | "directory" => {
            let own = name.split('/').any(|part| part == unit || part.strip_suffix(".d") == Some(unit));
            if own {
                return (0.95, format!("the unit file of {unit}, or an addition to it"));
            }
            if by_name && name.split('/').any(|part| word_in(part, base)) {
                return (0.8, format!("its path names {base}"));
            }
        }
        "unit_file" if name == unit => return (0.95, format!("how {unit} starts, or its unit file")),
        "package" if by_name && word_in(name, base) => return (0.8, format!("the package is named like {unit}")),
        "service" if name == base => return (0.9, format!("the service that {unit} runs")),
        "unit" if by_name && base_of(name) == base => return (0.6, format!("belongs together with {unit}")),
        _ => {}
    }
    if change.attributes.get("service.name").is_some_and(|service| service == base) {
        return (0.9, format!("the service that {unit} runs"));
    }
    (UNRELATED, "no known relation".to_owned())
}

/// Whether a path is this root or lies below it.
fn below(path: &str, root: &str) -> bool {
    let root = root.trim_end_matches('/');
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a file's path speaks of this unit.
pub(super) fn file_of_unit(path: &str, unit: &str) -> bool {
    let base = base_of(unit);
    base.len() >= 3 && path.split('/').any(|part| word_in(part, base))
}
