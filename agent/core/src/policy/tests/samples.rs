//! The documents that are shipped: without a mistake, harmless as they come, and as their cases say.

use super::*;

macro_rules! sample {
    ($($name:literal),*) => {
        vec![$(file($name, include_str!(concat!("../../../../../packaging/policy.d/", $name)))),*]
    };
}

fn samples() -> Vec<PolicyFile> {
    sample!(
        "guardrails.toml",
        "reclaim-full-runner.toml",
        "restart-crashed.test.toml",
        "restart-crashed.toml",
        "restore-tampered-release.toml"
    )
}

#[test]
fn the_shipped_documents_have_no_mistake_and_run_nothing_alone() {
    let (policy, found) = Policy::load(&samples());
    assert_eq!(found, []);
    assert_eq!(policy.rules().len(), 3);
    assert!(policy.rules().iter().all(|rule| rule.mode <= Mode::Approve));
}

#[test]
fn the_shipped_cases_pass() {
    let (policy, _) = Policy::load(&samples());
    let (results, found) = cases::run(&policy, &samples());
    assert_eq!(found, []);
    assert!(results.len() >= 10);
    for result in &results {
        assert!(
            result.passed(),
            "{}:{} {}: {:?}\n{}",
            result.file,
            result.line,
            result.name,
            result.problems,
            explain(&result.decision)
        );
    }
}

#[test]
fn the_shipped_guardrails_are_valid_once_their_marks_are_gone() {
    let text = &samples()[0].text;
    let opened: String =
        text.lines().skip(2).map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n").collect();
    let (policy, found) = Policy::load(&[file("guardrails.toml", &opened)]);
    assert_eq!(found, []);
    assert_eq!(policy.guardrails().len(), 4);
}
