//! Every file in `tables/` is one unit as systemd describes it, and what a careful operator would do about it.

use std::fs;
use std::path::Path;

use holdfast_plugin_sdk::{Finding, Severity, subject};

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    /// Why this is the right answer.
    #[expect(dead_code, reason = "for people")]
    story: String,
    unit: Described,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Described {
    name: String,
    load: String,
    active: String,
    sub: String,
    unit_file: String,
    result: String,
    restarts: u32,
    restart_policy: String,
    invocation_id: Option<String>,
}

impl Default for Described {
    fn default() -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            name: text("web.service"),
            load: text("loaded"),
            active: text("failed"),
            sub: text("failed"),
            unit_file: text("enabled"),
            result: text("signal"),
            restarts: 0,
            restart_policy: text("on-failure"),
            invocation_id: Some("0abb971159134ba88081a826858153e6".to_owned()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
enum Expect {
    Nothing(String),
    Refuse(String),
    Propose { steps: Vec<String>, active_state: String, confidence: f64, says: Vec<String> },
}

fn finding(unit: &str) -> Finding {
    Finding {
        id: "x".to_owned(),
        rule: "unit.failed".to_owned(),
        title: "x".to_owned(),
        severity: Severity::High,
        confidence: 1.0,
        subject: subject("unit", unit),
        expected: None,
        observed: None,
        evidence: vec![],
        references: vec![],
    }
}

fn settings() -> Settings {
    let manifest: toml::Table = include_str!("../plugin.toml").parse().unwrap();
    serde_json::from_value(serde_json::to_value(&manifest["settings"]).unwrap()).unwrap()
}

fn run(case: &Case) {
    let unit = UnitStatus {
        name: case.unit.name.clone(),
        load: case.unit.load.clone(),
        active: case.unit.active.clone(),
        sub: case.unit.sub.clone(),
        unit_file: case.unit.unit_file.clone(),
        result: case.unit.result.clone(),
        restarts: case.unit.restarts,
        restart_policy: case.unit.restart_policy.clone(),
        invocation_id: case.unit.invocation_id.clone(),
        ..UnitStatus::default()
    };
    let settings = settings();
    let decision = decide::decide(&unit, settings.restarts_doubtful);
    match (&case.expect, &decision) {
        (Expect::Nothing(says), Decision::Nothing(why)) | (Expect::Refuse(says), Decision::Refuse(why)) => {
            assert!(why.contains(says), "{why}");
        }
        (Expect::Propose { steps, active_state, confidence, says }, Decision::Propose(treatment)) => {
            let plan = plan::write(&finding(&unit.name), &unit, treatment, &Company::default(), settings.settle);
            let capabilities: Vec<&str> = plan.steps().iter().map(holdfast_plugin_sdk::Step::capability).collect();
            assert_eq!(&capabilities, steps);
            let restart = plan.steps().last().unwrap();
            assert_eq!(restart.text_arg("active-state"), Some(active_state.as_str()));
            for step in plan.steps() {
                assert_eq!(step.text_arg("unit"), Some(unit.name.as_str()));
                assert_eq!(step.text_arg("invocation"), unit.invocation_id.as_deref(), "every step is guarded");
            }
            assert!((plan.stated_confidence() - confidence).abs() < 1e-9, "{}", plan.stated_confidence());
            let text = format!("{} {}", restart.rationale(), restart.side_effects().join(" "));
            for part in says {
                assert!(text.contains(part.as_str()), "`{part}` is not in: {text}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_case_gets_the_answer_of_a_careful_operator() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tables");
    let mut count = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let case: Case =
            toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        println!("{}", path.display());
        run(&case);
        count += 1;
    }
    assert!(count >= 12, "{count} cases");
}

#[test]
fn company_of_the_same_name_is_named_among_the_side_effects() {
    let unit = UnitStatus {
        name: "web.service".into(),
        active: "failed".into(),
        result: "signal".into(),
        ..UnitStatus::default()
    };
    let Decision::Propose(treatment) = decide::decide(&unit, 5) else { panic!("no plan") };
    let company = Company { socket: Some("web.socket".into()), timer: Some("web.timer".into()) };
    let plan = plan::write(&finding("web.service"), &unit, &treatment, &company, settings().settle);
    let effects = plan.steps()[0].side_effects().join("\n");
    assert!(effects.contains("web.socket hands the connections") && effects.contains("web.timer starts"), "{effects}");
}

#[test]
fn after_the_plan_only_a_unit_that_stays_up_is_healed() {
    let unit = |active: &str, restarts: u32, result: &str| UnitStatus {
        active: active.into(),
        restarts,
        result: result.into(),
        invocation_id: Some("new".into()),
        ..UnitStatus::default()
    };
    assert!(matches!(decide::judge(&unit("active", 0, "success"), Some("old")), Verdict::Healed(_)));
    assert!(matches!(decide::judge(&unit("active", 2, "success"), Some("old")), Verdict::Unsure(_)));
    assert!(matches!(decide::judge(&unit("failed", 0, "exit-code"), Some("old")), Verdict::NotHealed(_)));
    assert!(matches!(decide::judge(&unit("activating", 0, "success"), Some("old")), Verdict::Unsure(_)));
    assert!(matches!(decide::judge(&unit("inactive", 0, "success"), Some("old")), Verdict::Healed(_)));
    assert!(matches!(decide::judge(&unit("inactive", 0, "success"), Some("new")), Verdict::Unsure(_)), "never started");
}

#[test]
fn a_finding_about_something_else_is_not_ours() {
    let other = Finding { subject: subject("file", "/etc/x"), ..finding("x") };
    assert!(matches!(unit_of(&other), Err(Error::Unsupported(_))));
}
