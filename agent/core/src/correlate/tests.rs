use std::time::Duration;

use super::*;
use crate::model::id::SeededIds;
use crate::model::{
    Attributes, CauseId, Change, ChangeId, Class, Confidence, Evidence, Finding, FindingId, FindingState, Incident,
    IncidentState, Method, RELATED_UNITS, Severity, Target, Timestamp,
};

const T0: i64 = 1_760_004_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(T0 + second)
}

fn finding(kind: &str, target: Target, second: i64) -> Finding {
    Finding {
        id: FindingId::new(at(second), &mut SeededIds(target.name.len() as u64 + second.unsigned_abs())),
        fingerprint: format!("{kind}|{target}"),
        kind: kind.to_owned(),
        class: if kind.starts_with("file.") { Class::Compliance } else { Class::Reliability },
        title: format!("{kind} on {target}"),
        target,
        severity: Severity::High,
        confidence: Confidence::CERTAIN,
        method: Method { name: "test".to_owned(), version: 1 },
        evidence: Vec::new(),
        state: FindingState::New,
        count: 1,
        began_at: at(second),
        detected_at: at(second + 1),
        last_seen_at: at(second + 1),
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    }
}

fn change(kind: &str, target: Target, second: i64) -> Change {
    Change {
        id: ChangeId::new(at(second), &mut SeededIds(second.unsigned_abs() * 31 + target.name.len() as u64)),
        at: at(second),
        kind: kind.to_owned(),
        summary: format!("{kind} {target}"),
        target,
        actor: None,
        attributes: Attributes::new(),
        deployment: None,
        cause: None,
    }
}

fn deployed(id: &str, units: &str, paths: &str, second: i64) -> Change {
    let mut change = change("service.deployed", Target::deployment(id), second);
    change.deployment = id.parse().ok();
    change.attributes.insert("deployment.units".to_owned(), units.to_owned());
    change.attributes.insert("deployment.paths".to_owned(), paths.to_owned());
    change
}

fn web_failed() -> Finding {
    finding("unit.failed", Target::unit("web.service"), 0)
}

/// The guilty one comes first, and clearly.
#[track_caller]
fn check_guilty(findings: &[Finding], guilty: &Change, innocent: &[Change]) {
    let mut changes = innocent.to_vec();
    changes.push(guilty.clone());
    changes.sort_by_key(|it| it.at);
    let ranked = rank(findings, &changes);
    let shown: Vec<String> = ranked.iter().map(|it| format!("{:.2} {}", it.score, it.summary)).collect();
    assert_eq!(ranked.first().map(|it| &it.change), Some(&guilty.id), "{shown:#?}");
    assert!(ranked.iter().all(|it| (0.0..=1.0).contains(&it.score)));
    assert!(ranked.len() < 2 || ranked[0].score > ranked[1].score + 0.02, "{shown:#?}");
}

#[test]
fn of_two_changes_the_guilty_one_comes_first() {
    let file = |path: &str, s: i64| change("file.modified", Target::file(path), s);
    let package = |name: &str, s: i64| change("package.upgraded", Target::new("package", name), s);
    check_guilty(&[web_failed()], &file("/etc/web/web.conf", -300), &[file("/etc/motd", -5)]);
    check_guilty(
        &[web_failed()],
        &file("/etc/systemd/system/web.service.d/limits.conf", -900),
        &[package("tzdata", -20)],
    );
    check_guilty(&[web_failed()], &package("web-server", -600), &[file("/etc/cron.d/x", -30)]);
    check_guilty(
        &[web_failed()],
        &file("/etc/web.conf", -1200),
        &[change("unit.started", Target::unit("cron.service"), -2)],
    );
    let drift = finding("file.drift", Target::file("/srv/app/app.js"), 0);
    check_guilty(&[drift], &deployed("app-3", "app.service", "/srv/app", -1800), &[file("/etc/motd", -3)]);
    let mut stop = change("unit.stopped", Target::unit("web.service"), -10);
    stop.actor = Some("ann".to_owned());
    check_guilty(&[web_failed()], &stop, &[file("/etc/motd", -5)]);
}

#[test]
fn a_deployment_that_names_the_unit_outranks_a_closer_unrelated_change() {
    let innocent = [
        change("file.modified", Target::file("/etc/motd"), -2),
        change("package.upgraded", Target::new("package", "tzdata"), -10),
        deployed("other-1", "other.service", "/srv/other", -20),
    ];
    check_guilty(&[web_failed()], &deployed("web-7", "web.service db.service", "/srv/web", -1500), &innocent);
}

#[test]
fn who_uses_more_points_at_what_was_changed_of_it_and_a_stranger_does_not() {
    let mut busy = finding("metric.anomaly", Target::series("holdfast.cpu.utilization"), 0);
    let units = vec!["batch.service 0.85".to_owned(), "web.service 0.15".to_owned()];
    busy.evidence.push(Evidence::new(RELATED_UNITS, units));
    let innocent = [
        deployed("web-7", "web.service", "/srv/web", -30),
        change("package.upgraded", Target::new("package", "tzdata"), -10),
    ];
    let guilty = deployed("batch-3", "batch.service", "/srv/batch", -600);
    check_guilty(std::slice::from_ref(&busy), &guilty, &innocent);
    let ranked = rank(std::slice::from_ref(&busy), std::slice::from_ref(&guilty));
    assert!(ranked[0].evidence.contains(&Evidence::new("suspect.unit_share", 0.85)), "{ranked:#?}");
    // Without it the nearest one is as good as any.
    busy.evidence.clear();
    let all = [guilty.clone(), innocent[0].clone()];
    assert_ne!(rank(&[busy.clone()], &all)[0].change, guilty.id);
    // What is no share says nothing.
    busy.evidence
        .push(Evidence::new(RELATED_UNITS, vec!["batch.service NaN".to_owned(), "batch.service 7".to_owned()]));
    assert_ne!(rank(&[busy], &all)[0].change, guilty.id);
}

#[test]
fn a_trend_is_near_to_what_was_altered_where_it_began_and_not_where_it_was_seen() {
    let package = |name: &str, second: i64| change("package.upgraded", Target::new("package", name), second);
    let mut busy = finding("metric.anomaly", Target::series("holdfast.cpu.utilization"), 0);
    let changes = [package("libguilty", -620), package("tzdata", -30)];
    assert_eq!(rank(&[busy.clone()], &changes)[0].target.name, "tzdata");
    busy.evidence.push(Evidence::new("series.changed_at", at(-600).to_string()));
    check_guilty(&[busy], &changes[0], &changes[1..]);
}

#[test]
fn a_series_that_names_its_service_or_unit_is_about_that() {
    let slow = finding("metric.anomaly", Target::series("holdfast.app.latency.p95{service.name=shop}"), 0);
    let mut flag = change("flag.changed", Target::new("flag", "basket"), -600);
    flag.attributes.insert("service.name".to_owned(), "shop".to_owned());
    check_guilty(std::slice::from_ref(&slow), &flag, &[deployed("mail-3", "mail.service", "/srv/mail", -5)]);
    check_guilty(
        &[slow],
        &deployed("shop-3", "shop.service", "/srv/shop", -600),
        &[change("package.upgraded", Target::new("package", "tzdata"), -5)],
    );
    let large = Target::series("holdfast.unit.memory.usage{holdfast.unit.name=mysql.service}");
    let package = change("package.upgraded", Target::new("package", "mysql-server"), -900);
    check_guilty(&[finding("metric.anomaly", large, 0)], &package, &[deployed("web-7", "web.service", "/srv/web", -5)]);
}

#[test]
fn a_trend_and_a_departure_of_one_resource_are_one_incident_and_of_two_are_two() {
    let mut desk = Desk::new(Vec::new());
    let mut trend = finding("resource.exhausting", Target::host(), 0);
    trend.evidence.push(Evidence::new("resource.name", "memory"));
    desk.take(trend);
    desk.take(finding("metric.anomaly", Target::series("system.memory.utilization{system.memory.state=used}"), 1_400));
    assert_eq!(desk.open.len(), 1);
    desk.take(finding("metric.anomaly", Target::series("holdfast.cpu.utilization"), 3_000));
    assert_eq!(desk.open.len(), 2);
}

#[test]
fn a_deployment_and_its_file_changes_count_once() {
    let start = deployed("web-7", "web.service", "/srv/web", -120);
    let mut changes = vec![start.clone()];
    for n in 0..20 {
        let mut file = change("file.modified", Target::file(format!("/srv/web/{n}")), -110 + n);
        file.deployment = start.deployment.clone();
        changes.push(file);
    }
    let ranked = rank(&[web_failed()], &changes);
    assert_eq!(ranked.len(), 1);
    assert_eq!(ranked[0].change, start.id);
    let names: Vec<&str> = ranked[0].evidence.iter().map(|it| it.name.as_str()).collect();
    assert!(names.contains(&"suspect.timing") && names.contains(&"suspect.target_match"), "{names:?}");
}

#[test]
fn what_the_agent_did_and_what_came_later_is_never_suspected() {
    let mut own = change("unit.restarted", Target::unit("web.service"), -5);
    own.actor = Some("holdfast".to_owned());
    own.cause = Some(CauseId::new(at(-6), &mut SeededIds(9)));
    let later = change("file.modified", Target::file("/etc/web.conf"), 30);
    let old = change("file.modified", Target::file("/etc/web.conf"), -3 * 3600);
    assert_eq!(rank(&[web_failed()], &[old, own, later]), []);
}

#[test]
fn the_symptom_does_not_suspect_itself() {
    let failed = change("unit.failed", Target::unit("web.service"), 0);
    let restarted = change("unit.restarted", Target::unit("web.service"), -1);
    assert_eq!(rank(&[web_failed()], &[restarted, failed]), []);
    let drift = finding("file.drift", Target::file("/etc/web.conf"), 0);
    let edit = change("file.modified", Target::file("/etc/web.conf"), 0);
    assert_eq!(rank(std::slice::from_ref(&drift), std::slice::from_ref(&edit)), []);
    // But for the unit that fails after it, the edit is the first suspect.
    let mut unit = web_failed();
    unit.began_at = at(20);
    assert_eq!(rank(&[drift, unit], std::slice::from_ref(&edit))[0].change, edit.id);
}

fn noticed(mut change: Change, earliest_s: i64) -> Change {
    change.attributes.insert(crate::model::NOT_BEFORE.to_owned(), at(earliest_s).to_string());
    change
}

#[test]
fn what_was_noticed_late_may_have_come_before_the_symptom_and_is_suspected() {
    let edit = change("unit_file.modified", Target::new("unit_file", "web.service"), 100);
    assert_eq!(rank(&[web_failed()], std::slice::from_ref(&edit)), [], "it came after what it could have caused");
    let seen_late = noticed(edit.clone(), -20);
    check_guilty(&[web_failed()], &seen_late, &[change("file.modified", Target::file("/etc/motd"), -5)]);
    let ranked = rank(&[web_failed()], std::slice::from_ref(&seen_late));
    assert!(ranked[0].evidence.contains(&Evidence::new("suspect.noticed_after_s", 95.0)), "{ranked:#?}");
    assert!(ranked[0].evidence.contains(&Evidence::new("suspect.before_s", 10.0)), "{ranked:#?}");
    assert_eq!(rank(&[web_failed()], &[noticed(edit, 60)]), [], "it was as accepted when the symptom was there");
    // The drift itself suspects it as little as before.
    let drift = finding("unit_file.drift", Target::new("unit_file", "web.service"), 100);
    assert_eq!(rank(&[drift], &[seen_late]), []);
}

#[test]
fn a_running_or_failed_deployment_is_suspected_like_one_that_is_done() {
    for kind in ["deployment.started", "deployment.failed"] {
        let mut running = deployed("web-7", "web.service db.service", "/srv/web", -60);
        running.kind = kind.to_owned();
        check_guilty(&[web_failed()], &running, &[change("file.modified", Target::file("/etc/web.conf"), -60)]);
        // Its own files do not stand for it.
        let mut file = change("file.modified", Target::file("/srv/web/a"), -90);
        file.deployment = running.deployment.clone();
        assert_eq!(rank(&[web_failed()], &[file, running.clone()])[0].change, running.id, "{kind}");
    }
}

#[test]
fn how_much_of_the_incident_fits_a_suspect_is_said_in_words() {
    let busy = finding("metric.anomaly", Target::series("holdfast.cpu.utilization"), 5);
    let ranked = rank(&[web_failed(), busy], &[deployed("web-7", "web.service db.service", "/srv/web", -60)]);
    let reach = ranked[0].evidence.iter().find(|it| it.name == "suspect.reach").unwrap().value.to_string();
    assert_eq!(reach, "1 of 2 findings here are about what it changed; 1 of the 2 units that it names are among them");
}

#[test]
fn a_change_that_is_told_late_joins_the_suspects_of_an_open_incident() {
    let mut desk = Desk::new(vec![change("package.upgraded", Target::new("package", "tzdata"), -10)]);
    let incident = desk.take(web_failed());
    let late = change("package.upgraded", Target::new("package", "web-server"), -60);
    let again = |changes: &[Change]| reconsider(&incident, &desk.findings, &late, changes, at(90));
    let known = [late.clone(), desk.changes[0].clone()];
    let now = again(&known).unwrap();
    let order: Vec<&str> = now.suspects.iter().map(|it| it.target.name.as_str()).collect();
    assert_eq!(order, ["web-server", "tzdata"]);
    let line = now.timeline.last().unwrap();
    assert_eq!((line.kind.as_str(), line.reference.as_str(), line.at), ("change", late.id.as_str(), at(90)));
    assert!(line.text.starts_with("Suspected since it was told, in place 1: "), "{line:?}");
    // Told once more it alters nothing; and what is not remembered any more stays suspected.
    assert_eq!(reconsider(&now, &desk.findings, &late, &known, at(95)), None);
    let kept = again(std::slice::from_ref(&late)).unwrap();
    assert_eq!(kept.suspects.len(), 2);
    let after = change("file.modified", Target::file("/etc/web.conf"), 60);
    assert_eq!(reconsider(&incident, &desk.findings, &after, std::slice::from_ref(&after), at(90)), None);
    desk.findings[0].state = FindingState::Resolved;
    let closed = close(&incident, &desk.findings, at(50), None).unwrap();
    assert_eq!(reconsider(&closed, &desk.findings, &late, &known, at(90)), None);
}

struct Desk {
    open: Vec<Incident>,
    findings: Vec<Finding>,
    changes: Vec<Change>,
    ids: SeededIds,
}

impl Desk {
    fn new(changes: Vec<Change>) -> Self {
        Self { open: Vec::new(), findings: Vec::new(), changes, ids: SeededIds(5) }
    }

    fn take(&mut self, finding: Finding) -> Incident {
        let incident =
            correlate(&finding, &self.open, &self.findings, &self.changes, finding.detected_at, &mut self.ids);
        self.open.retain(|it| it.id != incident.id);
        self.open.push(incident.clone());
        self.findings.retain(|it| it.id != finding.id);
        self.findings.push(Finding { incident: Some(incident.id.clone()), ..finding });
        incident
    }
}

#[test]
fn a_bad_deployment_with_three_symptoms_is_one_incident() {
    let mut desk = Desk::new(vec![deployed("web-7", "web.service", "/srv/web", -60)]);
    desk.take(web_failed());
    desk.take(finding("metric.anomaly", Target::series("holdfast.cpu.utilization"), 20));
    let mut tampered = finding("release.tampered", Target::file("/srv/web/app.js"), 400);
    tampered.class = Class::Security;
    let incident = desk.take(tampered);
    assert_eq!((desk.open.len(), incident.findings.len()), (1, 3));
    assert_eq!(incident.suspects[0].deployment, "web-7".parse().ok());
    assert_eq!(incident.began_at, at(0));
}

#[test]
fn the_same_finding_again_brings_its_incident_up_to_date() {
    let mut desk = Desk::new(Vec::new());
    let first = desk.take(web_failed());
    let mut worse = web_failed();
    worse.severity = Severity::Critical;
    let second = desk.take(worse);
    assert_eq!((second.id, second.findings.len(), second.severity), (first.id, 1, Severity::Critical));
    assert_eq!(second.timeline.len(), 1);
}

#[test]
fn troubles_without_a_common_cause_are_incidents_of_their_own() {
    let mut desk = Desk::new(Vec::new());
    desk.take(web_failed());
    desk.take(finding("unit.failed", Target::unit("backup.service"), 60));
    desk.take(finding("file.drift", Target::file("/etc/motd"), 61));
    desk.take(finding("metric.anomaly", Target::series("holdfast.cpu.utilization"), 3_000));
    assert_eq!(desk.open.len(), 4);
}

#[test]
fn the_machine_in_trouble_is_one_incident() {
    let mut desk = Desk::new(Vec::new());
    desk.take(finding("disk.full", Target::filesystem("/"), 0));
    desk.take(finding("metric.anomaly", Target::series("io"), 40));
    desk.take(finding("unit.failed", Target::unit("db.service"), 70));
    assert_eq!(desk.open.len(), 1);
}

#[test]
fn a_unit_and_its_edited_configuration_belong_together() {
    let mut desk = Desk::new(vec![change("file.modified", Target::file("/etc/web.conf"), -100)]);
    desk.take(finding("file.drift", Target::file("/etc/web.conf"), -100));
    let incident = desk.take(web_failed());
    assert_eq!(desk.open.len(), 1);
    assert_eq!(incident.suspects[0].target, Target::file("/etc/web.conf"));
}

#[test]
fn that_an_account_was_seen_to_be_added_is_no_suspect_for_the_finding_that_it_was() {
    let drift = finding("user.drift", Target::new("user", "eve"), 0);
    let seen = change("user.added", Target::new("user", "eve"), 1);
    let earlier = change("package.installed", Target::new("package", "eve-tools"), -90);
    let ranked = rank(&[drift], &[earlier.clone(), seen]);
    assert_eq!(ranked.iter().map(|it| &it.change).collect::<Vec<_>>(), [&earlier.id], "{ranked:#?}");
}

#[test]
fn a_unit_and_the_unit_file_that_somebody_put_there_belong_together() {
    let mut desk = Desk::new(vec![change("unit_file.modified", Target::new("unit_file", "web.service"), -100)]);
    desk.take(finding("unit_file.drift", Target::new("unit_file", "web.service"), -100));
    let incident = desk.take(web_failed());
    assert_eq!(desk.open.len(), 1);
    assert_eq!(incident.suspects[0].target, Target::new("unit_file", "web.service"));
    desk.take(finding("unit_file.drift", Target::new("unit_file", "mail.service"), 0));
    assert_eq!(desk.open.len(), 2);
}

#[test]
fn accounts_that_were_altered_together_are_one_deed_and_a_port_beside_them_is_another() {
    let mut desk = Desk::new(Vec::new());
    desk.take(finding("user.drift", Target::new("user", "eve"), 0));
    desk.take(finding("group.drift", Target::new("group", "sudo"), 60));
    assert_eq!(desk.open.len(), 1);
    desk.take(finding("listener.drift", Target::new("listener", "tcp 0.0.0.0:8099"), 61));
    desk.take(finding("user.drift", Target::new("user", "bob"), 3_000));
    assert_eq!(desk.open.len(), 3);
}

#[test]
fn an_incident_closes_when_none_of_its_findings_is_open() {
    let mut desk = Desk::new(Vec::new());
    let incident = desk.take(web_failed());
    assert_eq!(close(&incident, &desk.findings, at(50), None), None);
    desk.findings[0].state = FindingState::Resolved;
    let closed = close(&incident, &desk.findings, at(50), Some("restarted".to_owned())).unwrap();
    assert_eq!((closed.state, closed.resolved_at), (IncidentState::Resolved, Some(at(50))));
    assert_eq!(closed.outcome.as_deref(), Some("restarted"));
    assert_eq!(close(&closed, &desk.findings, at(60), None), None);
}

#[test]
fn a_trouble_that_comes_back_opens_its_own_incident_again_and_keeps_what_was_suspected() {
    let mut desk = Desk::new(vec![deployed("web-7", "web.service", "/srv/web", -60)]);
    let incident = desk.take(web_failed());
    desk.findings[0].state = FindingState::Resolved;
    let closed = close(&incident, &desk.findings, at(50), Some("restarted".to_owned())).unwrap();
    desk.open = vec![closed.clone()];
    // The deployment is out of reach by now, and somebody looked into it meanwhile.
    desk.changes = vec![change("file.modified", Target::file("/etc/web.conf"), 60)];
    let mut again = finding("unit.failed", Target::unit("web.service"), 70);
    again.incident = Some(closed.id.clone());
    let opened = desk.take(again);
    assert_eq!(
        (opened.id.clone(), opened.state, opened.outcome.clone()),
        (closed.id.clone(), IncidentState::Open, None)
    );
    assert_eq!((opened.reopened, opened.reopened_at, opened.resolved_at), (1, Some(at(71)), None));
    assert_eq!((opened.began_at, opened.detected_at), (closed.began_at, closed.detected_at));
    assert!(opened.timeline.last().unwrap().text.starts_with("Opened again (1): "), "{:?}", opened.timeline);
    let suspects: Vec<&str> = opened.suspects.iter().map(|it| it.kind.as_str()).collect();
    assert!(suspects.contains(&"service.deployed") && suspects.contains(&"file.modified"), "{suspects:?}");
    // Another trouble opens none that is resolved.
    desk.open = vec![closed.clone()];
    assert_ne!(desk.take(finding("unit.failed", Target::unit("web.service"), 90)).id, closed.id);
}

#[test]
fn the_story_is_bounded_and_says_what_it_left_out() {
    let mut incident = Desk::new(Vec::new()).take(web_failed());
    for n in 0..1_000_u64 {
        note(&mut incident, at(0).plus(Duration::from_secs(n)), "note", "", format!("line {n}"));
    }
    assert_eq!(incident.timeline.len(), 200);
    let gap = incident.timeline.iter().find(|it| it.reference == "left-out").unwrap();
    // 1001 lines in all: 199 are there beside the one that stands for the rest.
    assert_eq!(gap.text, "802 lines are left out here");
    assert_eq!(incident.timeline.last().unwrap().text, "line 999");
    assert!(incident.timeline.windows(2).all(|pair| pair[0].at <= pair[1].at));
    note(&mut incident, at(-50), "note", "", "é".repeat(2_000));
    assert_eq!(incident.timeline.len(), 200);
    assert!(incident.timeline[0].text.chars().count() <= 501);
}

proptest::proptest! {
    #[test]
    fn scores_are_shares_in_falling_order_and_the_number_is_bounded(
        changes in proptest::collection::vec((0_usize..6, "[a-z/.@]{0,12}", -9_000_i64..600), 0..60), unit in "[a-z@.]{0,12}",
    ) {
        let kinds = ["service.deployed", "file.modified", "package.upgraded", "unit.restarted", "flag.changed", "odd"];
        let mut changes: Vec<Change> = changes
            .into_iter()
            .map(|(kind, name, second)| change(kinds[kind], Target::new(if kind == 1 { "file" } else { "unit" }, name), second))
            .collect();
        changes.sort_by_key(|it| it.at);
        let ranked = rank(&[finding("unit.failed", Target::unit(unit), 0)], &changes);
        proptest::prop_assert!(ranked.len() <= 10);
        proptest::prop_assert!(ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
        proptest::prop_assert!(ranked.iter().all(|it| (0.0..=1.0).contains(&it.score)));
    }
}
