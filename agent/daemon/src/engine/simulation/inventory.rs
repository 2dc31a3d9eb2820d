//! What the made-up host is made of besides files: what is drift, what explains it, what is accepted.

use holdfast_core::model::{
    AcceptedItems, Attributes, Change, ChangeId, Inventory, Item, ItemKind, Items, Severity, Target,
};

use super::*;
use crate::answers::BaselineAnswer;
use crate::request::DeployStart;
use crate::store::FindingFilter;

const EVE: &str = "uid=1001 gid=1001 home=/home/eve shell=/bin/bash";
const DAEMON: &str = "uid=107 gid=113 home=/nonexistent shell=/usr/sbin/nologin";

pub(super) fn items(all: &[(&str, &str)]) -> Items {
    let item = |value: &str| Item { value: value.to_owned(), ..Item::default() };
    all.iter().map(|(name, value)| ((*name).to_owned(), item(value))).collect()
}

impl Sim {
    /// One look at accounts, a minute after the last.
    fn look(&mut self, users: &[(&str, &str)]) {
        self.look_at(ItemKind::User, items(users));
    }

    pub(super) fn look_at(&mut self, kind: ItemKind, items: Items) {
        self.run(60);
        let found = Inventory::from([(kind, items)]);
        self.events.push_back(Event::Inventory(Box::new(found), self.now.wall));
        self.drain();
    }

    fn open_items(&self) -> Vec<String> {
        self.drifted_items("user.drift")
    }

    pub(super) fn drifted_items(&self, kind: &str) -> Vec<String> {
        let all = self.reader().findings(&FindingFilter { open_only: true, ..FindingFilter::default() }).unwrap();
        let open = all.into_iter().filter(|it| it.kind == kind);
        open.map(|it| it.target.name).collect()
    }

    fn accepted(&self) -> AcceptedItems {
        self.reader().accepted_items(ItemKind::User).unwrap().unwrap_or_default()
    }

    fn changes_of_items(&self) -> Vec<String> {
        let telemetry = self.telemetry.as_ref().unwrap();
        telemetry.flush().unwrap();
        let all = telemetry.reader().changes(&crate::store::ChangeFilter::default()).unwrap();
        all.into_iter().filter(|it| it.target.kind == "user").map(|it| it.summary).collect()
    }

    pub(super) fn package(&mut self, name: &str) {
        let at = self.now.wall;
        let change = Change {
            id: ChangeId::new(at, &mut holdfast_core::model::SeededIds(7)),
            at,
            kind: "package.installed".into(),
            target: Target::new("package", name),
            actor: None,
            summary: format!("Installed {name} 1"),
            attributes: Attributes::new(),
            deployment: None,
            cause: None,
        };
        self.events.push_back(Event::Change(change));
        self.drain();
    }
}

fn host() -> Sim {
    let mut sim = Sim::new("", Mode::Advise);
    sim.look(&[("root", "uid=0")]);
    sim
}

#[test]
fn what_is_told_twice_counts_once() {
    let mut sim = host();
    sim.package("nginx");
    sim.package("nginx");
    let engine = sim.engine.as_ref().unwrap();
    assert_eq!(engine.changes.iter().filter(|it| it.kind == "package.installed").count(), 1);
    assert_eq!(serde_json::json!(engine.history_of_changes)["package.installed"]["told"], 1);
}

#[test]
fn the_first_look_is_accepted_and_survives_a_restart() {
    let mut sim = host();
    assert_eq!(sim.accepted(), AcceptedItems::from([("root".to_owned(), "uid=0".to_owned())]));
    sim.kill();
    sim.boot();
    sim.look(&[("root", "uid=0"), ("eve", EVE)]);
    sim.look(&[("root", "uid=0"), ("eve", EVE)]);
    assert_eq!(sim.open_items(), ["eve"], "what came while the agent was down is no first sight");
}

#[test]
fn an_account_that_nobody_explains_is_a_finding_at_the_second_look_and_ends_with_it() {
    let mut sim = host();
    sim.look(&[("root", "uid=0"), ("eve", EVE)]);
    assert_eq!(sim.open_items(), Vec::<String>::new(), "a log may be late");
    sim.look(&[("root", "uid=0"), ("eve", EVE)]);
    sim.look(&[("root", "uid=0"), ("eve", EVE)]);
    assert_eq!(sim.open_items(), ["eve"]);
    assert_eq!(sim.changes_of_items(), ["user:eve was added"]);
    sim.look(&[("root", "uid=0")]);
    assert_eq!(sim.open_items(), Vec::<String>::new());
    assert!(!sim.accepted().contains_key("eve"));
}

#[test]
fn the_account_of_a_package_is_accepted_with_its_explanation_even_when_its_log_is_late() {
    let mut sim = host();
    let both = [("root", "uid=0"), ("www", DAEMON)];
    sim.look(&both);
    sim.package("nginx");
    sim.look(&both);
    sim.look(&both);
    assert_eq!(sim.open_items(), Vec::<String>::new());
    assert_eq!(sim.accepted()["www"], DAEMON);
    let told = "user:www was added: Installed nginx 1: a package made a system account";
    assert_eq!(sim.changes_of_items(), [told]);
}

#[test]
fn what_came_later_explains_no_earlier_drift() {
    let mut sim = host();
    let both = [("root", "uid=0"), ("eve", EVE)];
    sim.look(&both);
    sim.look(&both);
    let start = DeployStart {
        id: Some("web-7".parse().unwrap()),
        service: "web".into(),
        version: "7".into(),
        environment: None,
        artifact: None,
        revision: None,
        release_dir: None,
        units: vec![],
        paths: vec!["/etc/passwd".into()],
    };
    sim.ask(Request::DeployStart(start)).unwrap();
    sim.look(&both);
    assert_eq!(sim.open_items(), ["eve"]);
    // What alters while it runs is its own.
    sim.look(&[("root", "uid=0"), ("eve", EVE), ("app", EVE)]);
    assert_eq!(sim.open_items(), ["eve"]);
    assert!(sim.accepted().contains_key("app"));
}

#[test]
fn accepting_one_item_rushes_no_other_into_a_finding() {
    let mut sim = host();
    sim.look(&[("root", "uid=0"), ("eve", EVE)]);
    sim.look(&[("root", "uid=0"), ("eve", EVE), ("www", DAEMON)]);
    let accept = Request::BaselineAccept { paths: vec!["user:eve".to_owned()], reason: "new".to_owned() };
    sim.ask(accept).unwrap();
    assert_eq!(sim.open_items(), Vec::<String>::new(), "its package's log may be late");
}

#[test]
fn ports_that_were_opened_and_closed_by_the_hundred_hide_no_new_one() {
    let mut sim = Sim::new("", Mode::Advise);
    let names: Vec<String> = (0..300).map(|n| format!("tcp 0.0.0.0:{}", 10_000 + n)).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "uid=1000")).collect();
    sim.look_at(ItemKind::Listener, items(&many));
    for _ in 0..3 {
        sim.look_at(ItemKind::Listener, items(&[("tcp [::]:4444", "uid=1000")]));
    }
    assert_eq!(sim.drifted_items("listener.drift"), ["tcp [::]:4444"]);
}

#[test]
fn a_person_accepts_an_item_with_a_reason_and_only_one_that_was_seen() {
    let mut sim = host();
    let both = [("root", "uid=0"), ("eve", EVE)];
    sim.look(&both);
    sim.look(&both);
    let accept = |sim: &mut Sim, names: &[&str], reason: &str| {
        let paths = names.iter().map(|it| (*it).to_owned()).collect();
        sim.ask(Request::BaselineAccept { paths, reason: reason.to_owned() })
    };
    assert!(accept(&mut sim, &["user:eve"], " ").is_err());
    assert!(accept(&mut sim, &["user:nobody-here"], "new").is_err());
    assert!(accept(&mut sim, &["user:eve", "/etc/passwd"], "new").is_err());
    assert_eq!(sim.open_items(), ["eve"]);
    let answer: BaselineAnswer = serde_json::from_value(accept(&mut sim, &["user:eve"], "new").unwrap()).unwrap();
    assert_eq!(answer.accepted, ["user:eve"]);
    assert_eq!(sim.open_items(), Vec::<String>::new());
    let rows = sim.reader().audit_rows(0, 1_000).unwrap();
    let entry = rows.iter().find_map(|row| match row {
        AuditRow::Entry(entry) if entry.subject == "user:eve" => Some(entry),
        _ => None,
    });
    let entry = entry.unwrap();
    assert_eq!((entry.actor.as_str(), &entry.body["reason"]), ("alice (uid 1000)", &"new".into()));
    sim.look(&both);
    assert_eq!(sim.open_items(), Vec::<String>::new());
}

#[test]
fn a_port_that_came_while_a_deployment_ran_stays_as_severe_after_a_restart() {
    let mut sim = Sim::new("", Mode::Advise);
    let look = |sim: &mut Sim| sim.look_at(ItemKind::Listener, items(&[("tcp [::]:4444", "uid=1000")]));
    sim.look_at(ItemKind::Listener, items(&[]));
    let start = DeployStart {
        id: Some("web-7".parse().unwrap()),
        service: "web".into(),
        version: "7".into(),
        environment: None,
        artifact: None,
        revision: None,
        release_dir: None,
        units: vec!["web.service".into()],
        paths: vec![],
    };
    sim.ask(Request::DeployStart(start)).unwrap();
    sim.run(5);
    sim.ask(Request::DeployFinish { id: "web-7".parse().unwrap(), succeeded: true }).unwrap();
    let told = |sim: &Sim| {
        let all = sim.reader().findings(&FindingFilter { open_only: true, ..FindingFilter::default() }).unwrap();
        let it = all.iter().find(|it| it.kind == "listener.drift").unwrap();
        (it.severity, it.evidence("deployment.id").map(ToString::to_string))
    };
    look(&mut sim);
    look(&mut sim);
    let before = told(&sim);
    assert_eq!(before, (Severity::Low, Some("web-7".to_owned())));
    // Long after the deployment, as while the agent ran.
    for _ in 0..15 {
        look(&mut sim);
    }
    assert_eq!(told(&sim), before);
    sim.kill();
    sim.boot();
    look(&mut sim);
    look(&mut sim);
    assert_eq!(told(&sim), before, "nothing about it is new");
    // One that comes now is another matter.
    for _ in 0..2 {
        sim.look_at(ItemKind::Listener, items(&[("tcp [::]:4444", "uid=1000"), ("tcp [::]:5555", "uid=1000")]));
    }
    let all = sim.reader().findings(&FindingFilter { open_only: true, ..FindingFilter::default() }).unwrap();
    let severities: Vec<Severity> = all.iter().map(|it| it.severity).collect();
    assert_eq!(severities.iter().filter(|it| **it == Severity::Medium).count(), 1, "{severities:?}");
}
