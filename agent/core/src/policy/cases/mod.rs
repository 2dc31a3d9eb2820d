//! Cases: `*.test.toml` beside the documents say what policy is to decide, and are decided against it.
//!
//! ```toml
//! [[case]]
//! name    = "a crashed web unit is restarted"
//! finding = { kind = "unit.failed", unit = "web-1.service" }
//! unit    = { active_state = "failed" }
//! plan    = { risk = "low" }
//! expect  = { rule = "restart-crashed-web", verdict = "allow", mode = "auto" }
//! ```
//! What a case leaves out is as harmless as it can be: the ceiling and the grant are `auto`, nobody paused, nothing ran before, the
//! finding is certain and an hour old. Unknown host facts are absent, as on a real host. Same texts, same result: no clock.

mod document;

use self::document::{CaseText, Document, FindingText, PlanText, RunText, UnitText};
use super::parse::FILE_BYTES_MAX;
use super::{Diagnostic, Inputs, Level, PastRun, Policy, PolicyFile, decide, first_match};
use crate::model::id::SeededIds;
use crate::model::{
    Action, Class, Confidence, Decision, DecisionId, Evidence, Finding, FindingId, FindingState, Interval, Method,
    Mode, Plan, PlanBody, PlanId, ReclaimEntry, RemediationId, RunId, Severity, Step, Target, Timestamp, UnitState,
    Verdict,
};

/// Most cases in all files together.
const CASES_MAX: usize = 2_000;
/// Now, in a case that does not say.
const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// What became of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What was decided otherwise than expected; empty: passed.
    pub problems: Vec<String>,
    /// What was decided, for an explanation.
    pub decision: Decision,
}

impl CaseResult {
    /// Whether all is as expected.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Decides every case of the `*.test.toml` among `files`. A file with a mistake is a diagnostic and none of its cases is decided.
pub fn run(policy: &Policy, files: &[PolicyFile]) -> (Vec<CaseResult>, Vec<Diagnostic>) {
    let mut files: Vec<&PolicyFile> = files.iter().filter(|file| file.is_cases()).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut results, mut found) = (Vec::new(), Vec::new());
    for file in files {
        let error = |at: std::ops::Range<usize>, message: String| {
            Diagnostic::at(Level::Error, &file.name, &file.text, &at, message)
        };
        if file.text.len() > FILE_BYTES_MAX {
            found.push(error(0..0, format!("the file has {} bytes, more than {FILE_BYTES_MAX}", file.text.len())));
            continue;
        }
        let document = match toml::from_str::<Document>(&file.text) {
            Ok(document) => document,
            Err(error) => {
                found.push(Diagnostic::toml(&file.name, &file.text, &error));
                continue;
            }
        };
        if document.case.is_empty() {
            let mut empty = error(0..0, "there is no case in it".into());
            empty.level = Level::Warning;
            found.push(empty);
        }
        for case in &document.case {
            if results.len() >= CASES_MAX {
                found.push(error(case.name.span(), format!("more than {CASES_MAX} cases")));
                return (results, found);
            }
            match inputs(policy, case) {
                Ok(inputs) => results.push(result(policy, file, case, inputs)),
                Err((at, message, hint)) => {
                    let mut mistake = error(at, message);
                    mistake.hint = Some(hint);
                    found.push(mistake);
                }
            }
        }
    }
    (results, found)
}

fn result(policy: &Policy, file: &PolicyFile, case: &CaseText, inputs: Inputs) -> CaseResult {
    let decision = decide(policy, inputs, DecisionId::new(NOW, &mut SeededIds(0)));
    let expect = case.expect.get_ref();
    let mut problems = Vec::new();
    let rule = decision.rule.as_deref().unwrap_or("none");
    if let Some(wanted) = expect.rule.as_deref().filter(|wanted| *wanted != rule) {
        problems.push(format!("rule: expected {wanted}, decided by {rule}"));
    }
    if let Some(wanted) = expect.verdict.map(Verdict::from).filter(|wanted| *wanted != decision.verdict) {
        problems.push(format!("verdict: expected {wanted}, decided {}", decision.verdict));
    }
    if let Some(wanted) = expect.mode.filter(|wanted| *wanted != decision.mode) {
        problems.push(format!("mode: expected {wanted}, decided {}", decision.mode));
    }
    let codes: Vec<&str> = decision.reasons.iter().map(|reason| reason.code.as_str()).collect();
    for wanted in expect.reasons.iter().filter(|wanted| !codes.contains(&wanted.as_str())) {
        problems.push(format!("reasons: expected {wanted} among {}", codes.join(", ")));
    }
    let line = file.text[..case.name.span().start.min(file.text.len())].matches('\n').count() + 1;
    CaseResult { name: case.name.get_ref().clone(), file: file.name.clone(), line, problems, decision }
}

/// Place, message, hint.
type Mistake = (std::ops::Range<usize>, String, String);

fn inputs(policy: &Policy, case: &CaseText) -> Result<Inputs, Mistake> {
    let expect = case.expect.get_ref();
    if expect.rule.is_none() && expect.verdict.is_none() && expect.mode.is_none() && expect.reasons.is_empty() {
        let hint = "name one of `rule`, `verdict`, `mode` and `reasons`";
        return Err((case.expect.span(), "the case expects nothing".into(), hint.into()));
    }
    let at = case.at.unwrap_or(NOW);
    let finding = finding(&case.finding, at)?;
    let history =
        case.history.iter().map(|run| past_run(policy, run, &finding.target, at)).collect::<Result<_, _>>()?;
    let unit_name = if finding.target.kind == "unit" { finding.target.name.clone() } else { String::new() };
    let mut inputs = Inputs {
        at,
        finding,
        plan: None,
        host: case.host.clone(),
        unit: case.unit.as_ref().map(|text| unit(text, unit_name)),
        deployments_running: case.deployments.clone(),
        ceiling: case.ceiling.unwrap_or(Mode::Auto),
        grant: case.grant.unwrap_or(Mode::Auto),
        paused: case.paused,
        history,
        now_running: case.now_running,
        given: Vec::new(),
    };
    if let Some(text) = &case.plan {
        let by = text.by.clone().or_else(|| first_match(policy, &inputs).map(|rule| rule.plugin.clone()));
        let by = by.unwrap_or_else(|| "nobody".into());
        let plan = plan(text, &inputs.finding, &by, at);
        inputs.plan =
            Some(plan.map_err(|error| (case.name.span(), format!("the plan cannot be made: {error}"), String::new()))?);
    }
    Ok(inputs)
}

fn finding(text: &FindingText, at: Timestamp) -> Result<Finding, Mistake> {
    let named = [
        text.unit.as_ref().map(Target::unit),
        text.path.as_ref().map(Target::file),
        text.filesystem.as_ref().map(Target::filesystem),
        text.subject.clone(),
    ];
    let mut named = named.into_iter().flatten();
    let (Some(target), None) = (named.next(), named.next()) else {
        let message = "the finding must be about one thing".to_owned();
        return Err((text.kind.span(), message, "give it one of `unit`, `path`, `filesystem` and `subject`".into()));
    };
    let ids = &mut SeededIds(1);
    let kind = text.kind.get_ref();
    let began_at = at.minus(text.lasted.unwrap_or(Interval::secs(3_600)).0);
    Ok(Finding {
        id: FindingId::new(NOW, ids),
        fingerprint: format!("case|{kind}|{target}|"),
        kind: kind.clone(),
        class: text.class.unwrap_or(Class::Reliability),
        title: text.title.clone().unwrap_or_else(|| format!("{kind} of {target}")),
        target,
        severity: text.severity.unwrap_or(Severity::High),
        confidence: text.confidence.unwrap_or(Confidence::CERTAIN),
        method: Method { name: text.method.clone().unwrap_or_else(|| "case".into()), version: 1 },
        evidence: text
            .evidence
            .iter()
            .map(|(name, value)| Evidence { name: name.clone(), value: value.clone() })
            .collect(),
        state: text.state.unwrap_or(FindingState::New),
        count: 1,
        began_at,
        detected_at: began_at,
        last_seen_at: at,
        resolved_at: None,
        incident: None,
        cause: text.own_effect.then(|| RemediationId::new(NOW, ids)),
        label: None,
    })
}

fn past_run(policy: &Policy, text: &RunText, target: &Target, at: Timestamp) -> Result<PastRun, Mistake> {
    let rule = text.rule.get_ref();
    if policy.rule(rule).is_none() {
        let message = format!("there is no rule {rule}, so this run would count for nothing");
        return Err((text.rule.span(), message, "name a rule of the policy".into()));
    }
    let own = text.unit.as_ref().map(Target::unit).or_else(|| text.path.as_ref().map(Target::file));
    Ok(PastRun {
        rule: rule.clone(),
        target: own.unwrap_or_else(|| target.clone()),
        started_at: at.minus(text.ago.0),
        state: text.state,
    })
}

fn unit(text: &UnitText, name: String) -> UnitState {
    UnitState {
        name: text.name.clone().unwrap_or(name),
        load_state: text.load_state.clone(),
        active_state: text.active_state.clone(),
        sub_state: text.sub_state.clone(),
        result: text.result.clone(),
        unit_file_state: text.unit_file_state.clone(),
        restart: text.restart.clone(),
        n_restarts: text.n_restarts,
        ..UnitState::default()
    }
}

/// A plan that touches what the case says; without a word about that, what the finding is about.
fn plan(text: &PlanText, finding: &Finding, by: &str, at: Timestamp) -> Result<Plan, serde_json::Error> {
    let (mut units, mut paths) = (text.units.clone(), text.paths.clone());
    if units.is_empty() && paths.is_empty() {
        if finding.target.kind == "unit" { &mut units } else { &mut paths }.push(finding.target.name.clone());
    }
    let mut actions: Vec<Action> = units.into_iter().map(restart).collect();
    if text.reversible {
        actions.extend(paths.into_iter().map(restore));
    } else {
        actions.push(reclaim(paths));
    }
    let steps = actions.into_iter().enumerate().map(|(index, action)| Step {
        id: (index + 1).to_string(),
        rationale: "case".into(),
        side_effects: Vec::new(),
        risk: text.risk.unwrap_or_else(|| action.minimum_risk()),
        undo: action.undo(),
        action,
        timeout_ms: 30_000,
    });
    let ids = &mut SeededIds(2);
    Plan::seal(PlanBody {
        id: PlanId::new(NOW, ids),
        finding: finding.id.clone(),
        target: finding.target.clone(),
        proposed_by: format!("{by} 0.0.0"),
        plugin_digest: "0".repeat(64),
        run: RunId::new(NOW, ids),
        summary: "case".into(),
        confidence: text.confidence.unwrap_or(Confidence::CERTAIN),
        steps: steps.collect(),
        evidence: Vec::new(),
        settle_ms: 1_000,
        made_at: at,
        expires_at: if text.expired { at } else { at.plus(Interval::secs(600).0) },
    })
}

fn restart(unit: String) -> Action {
    Action::RestartUnit { unit, only_if_invocation: None, only_if_active_state: "failed".into() }
}

fn restore(path: String) -> Action {
    Action::RestoreFile { path, only_if_sha256: None, sha256: "0".repeat(64), bytes: 0, mode: 0o644, uid: 0, gid: 0 }
}

fn reclaim(paths: Vec<String>) -> Action {
    let entry = |path| ReclaimEntry { path, files: 1, bytes: 1, newest_change: NOW.minus(Interval::secs(86_400).0) };
    Action::ReclaimPaths { root: "/".into(), entries: paths.into_iter().map(entry).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "[[rule]]\nname = \"r\"\non = [\"unit.failed\"]\nplugin = \"unit-medic\"\nmode = \"approve\"\n[rule.verify]\nwithin = \"5s\"\n";

    fn results(cases: &str) -> (Vec<CaseResult>, Vec<Diagnostic>) {
        let file = |name: &str, text: &str| PolicyFile { name: name.into(), text: text.into() };
        let files = [file("a.toml", RULES), file("a.test.toml", cases)];
        let (policy, found) = Policy::load(&files);
        assert_eq!(found, []);
        run(&policy, &files)
    }

    #[track_caller]
    fn check(case: &str, problems: &[&str]) {
        let (results, found) = results(&format!(
            "[[case]]\nname = \"c\"\nfinding = {{ kind = \"unit.failed\", unit = \"a.service\" }}\n{case}"
        ));
        assert_eq!(found, []);
        assert_eq!(results.iter().map(|r| r.problems.clone()).collect::<Vec<_>>(), [problems]);
    }

    #[test]
    fn what_is_as_expected_passes() {
        check(
            "plan = {}\nexpect = { rule = \"r\", verdict = \"require-approval\", mode = \"approve\", reasons = [\"rule_mode\"] }",
            &[],
        );
    }

    #[test]
    fn what_is_not_is_named() {
        check(
            "ceiling = \"advise\"\nexpect = { rule = \"none\", verdict = \"allow\", mode = \"auto\", reasons = [\"paused\"] }",
            &[
                "rule: expected none, decided by r",
                "verdict: expected allow, decided deny",
                "mode: expected auto, decided advise",
                "reasons: expected paused among host_ceiling, rule_mode",
            ],
        );
    }

    #[track_caller]
    fn check_mistake(cases: &str, line: usize, message: &str) {
        let (results, found) = results(cases);
        assert_eq!(results, []);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].line == line && found[0].message.contains(message), "{}", found[0]);
    }

    #[test]
    fn a_case_that_could_not_fail_is_a_mistake() {
        let finding = "finding = { kind = \"unit.failed\", unit = \"a\" }";
        check_mistake(&format!("[[case]]\nname = \"c\"\n{finding}\nexpect = {{}}"), 4, "expects nothing");
        check_mistake("", 1, "no case");
        let history = "history = [{ rule = \"x\", ago = \"1s\", state = \"failed\" }]";
        check_mistake(
            &format!("[[case]]\nname = \"c\"\n{finding}\n{history}\nexpect = {{ rule = \"r\" }}"),
            4,
            "no rule x",
        );
    }

    #[test]
    fn a_finding_about_nothing_or_two_things_is_a_mistake() {
        let text = |about: &str| {
            format!("[[case]]\nname = \"c\"\nfinding = {{ kind = \"k\"{about} }}\nexpect = {{ rule = \"r\" }}")
        };
        check_mistake(&text(""), 3, "about one thing");
        check_mistake(&text(", unit = \"a\", path = \"/a\""), 3, "about one thing");
        check_mistake(&text(", unitt = \"a\""), 3, "unknown field");
    }
}
