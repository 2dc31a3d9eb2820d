use super::*;
use crate::model::{Attributes, ChangeId, DeploymentState, SeededIds, Target};

const NOW: Timestamp = Timestamp::from_secs(10_000);
const BEFORE: Timestamp = Timestamp::from_secs(9_940);
const EVE: &str = "uid=1001 gid=1001 home=/home/eve shell=/bin/bash";
const DAEMON: &str = "uid=107 gid=113 home=/nonexistent shell=/usr/sbin/nologin";

struct Case<'a> {
    name: &'a str,
    accepted: Option<&'a str>,
    now: Option<&'a str>,
    unit: Option<&'a str>,
    stated_by: Option<&'a str>,
    changes: &'a [Change],
    deployments: &'a [Deployment],
}

const SAME: Case<'static> =
    Case { name: "", accepted: None, now: None, unit: None, stated_by: None, changes: &[], deployments: &[] };

impl Case<'_> {
    fn judge(&self) -> Judgement {
        let facts: Attributes = self.unit.iter().map(|it| ("unit.name".to_owned(), (*it).to_owned())).collect();
        let current =
            self.now.map(|it| Item { value: it.to_owned(), facts, stated_by: self.stated_by.map(str::to_owned) });
        judge_item(&ItemFacts {
            name: &self.name.parse().unwrap(),
            accepted: self.accepted,
            current: current.as_ref(),
            changes: self.changes,
            deployments: self.deployments,
            cause: None,
            at: NOW,
            before: BEFORE,
        })
    }

    #[track_caller]
    fn drift(&self) -> Detection {
        match self.judge() {
            Judgement::Unexplained(detection) => detection,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    #[track_caller]
    fn explained_by(&self, reference: &str) {
        match self.judge() {
            Judgement::Explained { reference: found, .. } => assert_eq!(found, reference),
            other => panic!("{}: {other:?}", self.name),
        }
    }

    #[track_caller]
    fn unchanged(&self) {
        assert!(matches!(self.judge(), Judgement::Unchanged(it) if it.presence == Presence::Cleared), "{}", self.name);
    }
}

fn package(name: &str, at_s: i64) -> Change {
    let at = Timestamp::from_secs(at_s);
    Change {
        id: ChangeId::new(at, &mut SeededIds(1)),
        at,
        kind: "package.installed".to_owned(),
        target: Target::new("package", name),
        actor: None,
        summary: format!("Installed {name} 1"),
        attributes: Attributes::new(),
        deployment: None,
        cause: None,
    }
}

fn deployment(paths: &[&str], finished_s: Option<i64>) -> Deployment {
    Deployment {
        id: "web-7".parse().unwrap(),
        service: "web".to_owned(),
        version: "7".to_owned(),
        environment: "prod".to_owned(),
        artifact: None,
        revision: None,
        actor: "ci".to_owned(),
        release_dir: None,
        units: vec!["web.service".to_owned()],
        paths: paths.iter().map(|it| (*it).to_owned()).collect(),
        state: if finished_s.is_some() { DeploymentState::Succeeded } else { DeploymentState::Running },
        started_at: Timestamp::from_secs(8_000),
        finished_at: finished_s.map(Timestamp::from_secs),
    }
}

#[test]
fn an_account_that_nobody_explains_is_a_finding_by_what_it_may_do() {
    let check = |name: &str, accepted: Option<&str>, now: Option<&str>, severity: Severity, title: &str| {
        let drift = Case { name, accepted, now, ..SAME }.drift();
        assert_eq!((drift.severity, drift.class), (severity, Class::Security), "{name}");
        assert_eq!(drift.title, format!("{title}, and no known change explains it"));
    };
    check("user:eve", None, Some(EVE), Severity::High, &format!("user eve appeared ({EVE})"));
    let root = EVE.replace("uid=1001", "uid=0");
    let title = format!("user eve changed from {EVE} to {root}");
    check("user:eve", Some(EVE), Some(&root), Severity::Critical, &title);
    check("user:daemon", None, Some(DAEMON), Severity::Medium, &format!("user daemon appeared ({DAEMON})"));
    check("user:eve", Some(EVE), None, Severity::Medium, &format!("user eve is gone (was {EVE})"));
    let (before, now) = ("gid=27 members=", "gid=27 members=eve");
    check("group:sudo", Some(before), Some(now), Severity::High, &format!("group sudo changed from {before} to {now}"));
    check("group:games", None, Some("gid=60 members="), Severity::Medium, "group games appeared (gid=60 members=)");
}

#[test]
fn a_package_explains_the_accounts_of_the_system_and_nobody_elses() {
    let changes = &[package("nginx", 9_900)];
    let new = |name, now| Case { name, now: Some(now), changes, ..SAME };
    new("user:www", DAEMON).explained_by("nginx");
    new("group:www", "gid=113 members=").explained_by("nginx");
    assert_eq!(new("user:eve", EVE).drift().kind, "user.drift");
    let login = DAEMON.replace("/usr/sbin/nologin", "/bin/bash");
    Case { name: "user:login", now: Some(&login), changes, ..SAME }.drift();
    new("group:docker", "gid=113 members=eve").drift();
    new("group:zero", "gid=0 members=").drift();
    let stale = &[package("nginx", 9_000)];
    Case { changes: stale, ..new("user:www", DAEMON) }.drift();
    Case { accepted: Some(EVE), ..new("user:eve", DAEMON) }.drift();
}

#[test]
fn a_package_is_explained_by_its_own_line_in_the_log() {
    let changes = &[package("nginx", 9_900)];
    let case = |name| Case { name, accepted: Some("1"), now: Some("2"), changes, ..SAME };
    case("package:nginx").explained_by("nginx");
    case("package:nginx:amd64").explained_by("nginx");
    let drift = case("package:nginx-core").drift();
    assert_eq!((drift.kind.as_str(), drift.class), ("package.drift", Class::Compliance));
    Case { now: None, changes: &[], ..case("package:nginx") }.drift();
}

#[test]
fn a_deployment_explains_what_it_declared_while_it_ran_and_shortly_after() {
    let running = &[deployment(&["/etc/passwd", "/proc/sys/net"], None)];
    let case = |name, deployments| Case { name, now: Some(EVE), deployments, ..SAME };
    case("user:eve", running).explained_by("web-7");
    case("group:eve", running).drift();
    case("sysctl:net.ipv4.ip_forward", running).explained_by("web-7");
    case("sysctl:kernel.panic", running).drift();
    let [lately, long_ago] = [9_700, 9_300].map(|end| [deployment(&["/etc/passwd"], Some(end))]);
    case("user:eve", &lately).explained_by("web-7");
    case("user:eve", &long_ago).drift();
}

#[test]
fn a_port_is_explained_by_its_units_deployment_or_by_what_the_host_states() {
    let deployments = &[deployment(&[], Some(9_990))];
    let case = |unit| Case { name: "listener:tcp 0.0.0.0:80", now: Some("uid=33"), unit, deployments, ..SAME };
    case(Some("web.service")).explained_by("web-7");
    let drift = case(Some("other.service")).drift();
    assert!(drift.evidence.iter().any(|it| it.name == "unit.name"), "{drift:?}");
    assert_eq!(drift.title, "a program of uid=33 listens on tcp 0.0.0.0:80, and no known change explains it");
    assert_eq!(drift.severity, Severity::Medium);
    // Whose it is cannot be told: it may be the deployment's or anybody's, and is told as what it is.
    let doubtful = case(None).drift();
    assert_eq!(doubtful.severity, Severity::Low);
    assert_eq!(
        doubtful.title,
        "a program of uid=33 listens on tcp 0.0.0.0:80 since deployment web-7 ran, and whose it is cannot be told"
    );
    assert!(doubtful.evidence.contains(&Evidence::new("deployment.id", "web-7")), "{doubtful:?}");
    let without = [Deployment { units: vec![], ..deployment(&[], Some(9_990)) }];
    assert_eq!(Case { deployments: &without, ..case(None) }.drift().severity, Severity::Medium);
    let before = [deployment(&[], Some(1_000))];
    assert_eq!(Case { deployments: &before, ..case(None) }.drift().severity, Severity::Medium);
    // What turned from one account to another is no new port.
    assert_eq!(Case { accepted: Some("uid=1000"), ..case(None) }.drift().severity, Severity::Medium);
    Case { deployments: &[], stated_by: Some("only this host reaches it"), ..case(None) }.explained_by("listener");
}

#[test]
fn what_closed_or_was_unloaded_is_no_drift_and_what_came_back_is_cleared() {
    Case { name: "listener:tcp 0.0.0.0:80", accepted: Some("uid=33"), ..SAME }.unchanged();
    Case { name: "module:nf_tables", accepted: Some("in-tree"), ..SAME }.unchanged();
    Case { name: "user:eve", accepted: Some(EVE), now: Some(EVE), ..SAME }.unchanged();
    Case { name: "user:eve", ..SAME }.unchanged();
}

#[test]
fn a_unit_that_is_enabled_by_nobody_known_is_drift_and_by_its_package_or_a_deployment_is_not() {
    let installed = |name: &str| {
        [Change {
            id: ChangeId::new(BEFORE, &mut SeededIds(5)),
            at: BEFORE,
            kind: "package.installed".into(),
            target: Target::new("package", name),
            actor: None,
            summary: format!("{name} was installed"),
            attributes: Attributes::new(),
            deployment: None,
            cause: None,
        }]
    };
    let enabled = |changes: &[Change], vendor: bool, now: Option<&str>, accepted: Option<&str>| {
        let mut current = now.map(|it| Item { value: it.to_owned(), ..Item::default() });
        if let Some(it) = current.as_mut().filter(|_| vendor) {
            it.facts.insert("unit.vendor".to_owned(), "true".to_owned());
        }
        judge_item(&ItemFacts {
            name: &"unit_file:nginx.service".parse().unwrap(),
            accepted,
            current: current.as_ref(),
            changes,
            deployments: &[],
            cause: None,
            at: NOW,
            before: BEFORE,
        })
    };
    let is = |it: &Judgement| matches!(it, Judgement::Explained { .. });
    let on = Some("enabled by multi-user.target");
    match enabled(&[], true, on, None) {
        Judgement::Unexplained(it) => {
            assert_eq!((it.kind.as_str(), it.severity), ("unit_file.drift", Severity::Medium));
            assert_eq!(
                it.title,
                "unit nginx.service appeared (enabled by multi-user.target), and no known change explains it"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(is(&enabled(&installed("nginx-core"), true, on, None)), "its package enabled it");
    assert!(!is(&enabled(&installed("nginx-core"), false, on, None)), "no package ships it");
    assert!(!is(&enabled(&installed("nginx-core"), true, Some("masked"), on)), "a package masks nothing");
    let own = Some("local file 00112233");
    assert!(is(&enabled(&installed("nginx-core"), false, own, None)), "its package put it there");
    assert!(!is(&enabled(&installed("tzdata"), false, own, None)), "somebody put it there");
    assert!(is(&enabled(&installed("nginx-core"), true, None, on)), "it went with its package");
    assert!(!is(&enabled(&installed("tzdata"), true, None, on)), "another package took it away");
    assert!(matches!(enabled(&[], true, on, on), Judgement::Unchanged(_)));
    assert!(!is(&enabled(&installed("libnginxy2"), false, own, None)), "a word in a word is no name");
    let linked = Some("linked to /opt/nginx/nginx.service 00112233");
    assert!(is(&enabled(&installed("nginx-core"), false, linked, None)), "its package linked it");
    assert!(!is(&enabled(&installed("tzdata"), false, linked, None)), "somebody linked it");
    let alias = Some("alias of openresty.service");
    assert!(is(&enabled(&installed("openresty"), true, None, alias)), "it went with what it named");
    assert!(!is(&enabled(&installed("tzdata"), true, None, alias)));
}
