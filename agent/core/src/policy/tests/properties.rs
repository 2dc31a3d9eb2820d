//! What must hold for every input: limits only tighten, and a replay gives the same.

use proptest::prelude::*;

use super::*;

fn modes() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Observe, Mode::Advise, Mode::Approve, Mode::Auto])
}

fn states() -> impl Strategy<Value = RemediationState> {
    use RemediationState as S;
    prop::sample::select(vec![
        S::Proposed,
        S::Approved,
        S::Running,
        S::Verifying,
        S::Succeeded,
        S::Failed,
        S::Undone,
        S::Rejected,
    ])
}

fn numbers() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), any::<f64>(), 0.0..1.0]
}

prop_compose! {
    fn histories()(runs in prop::collection::vec((0_u64..8_000, states(), any::<bool>(), any::<bool>()), 0..8)) -> Vec<PastRun> {
        runs.into_iter().map(|(ago, state, same_rule, same_target)| {
            let mut run = run(ago, state);
            if !same_rule { run.rule = "other".into(); }
            if !same_target { run.target = Target::unit("web-2.service"); }
            run
        }).collect()
    }
}

prop_compose! {
    fn any_inputs()(
        (ceiling, grant, paused, history) in (modes(), modes(), any::<bool>(), histories()),
        (plan, risk, confidence, memory) in (0_u8..4, 0_u8..4, 0.0..=1.0_f64, numbers()),
        (deploying, lasted, now_running, evidence) in (any::<bool>(), 0_u64..30, 0_u32..4, numbers()),
        (kind, unit, own) in (prop::sample::select(vec!["unit.failed", "disk.full"]), any::<bool>(), 0_u8..8),
    ) -> Inputs {
        let mut inputs = inputs();
        (inputs.ceiling, inputs.grant, inputs.paused, inputs.history) = (ceiling, grant, paused && lasted % 3 == 0, history);
        let mut body = body(if plan == 2 { reclaim() } else { restart() });
        body.steps[0].risk = [Risk::None, Risk::Low, Risk::Medium, Risk::High][usize::from(risk)];
        body.confidence = Confidence::clamped(confidence + 0.4);
        inputs.plan = (plan > 0).then(|| Plan::seal(body).unwrap());
        inputs.finding.confidence = Confidence::clamped(confidence + 0.3);
        inputs.host.insert("memory_available_ratio".into(), Value::Number(memory));
        inputs.finding.evidence.push(Evidence { name: "x".into(), value: Value::Number(evidence) });
        inputs.deployments_running = if deploying && lasted % 2 == 0 { vec!["d".parse().unwrap()] } else { vec![] };
        inputs.finding.began_at = NOW.minus(Interval::secs(lasted).0);
        inputs.now_running = now_running;
        inputs.finding.kind = kind.into();
        if !unit { inputs.unit = None; }
        if own == 0 { inputs.finding.cause = Some(RemediationId::new(NOW, &mut SeededIds(4))); }
        inputs
    }
}

prop_compose! {
    fn guardrails()(
        deny in any::<bool>(), mode in prop::option::of(modes()), risk in 0_u8..5, running in prop::option::of(0_u32..3),
        budget in prop::option::of((0_u32..4, 1_u64..8_000)), when in 0_u8..5, on in 0_u8..3,
    ) -> String {
        use std::fmt::Write;
        let mut text = format!("[[guardrail]]\nname = \"g\"\ndeny = {deny}\nmax-running = {}\n", running.unwrap_or(9));
        if let Some(mode) = mode.filter(|mode| *mode != Mode::Auto) { writeln!(text, "max-mode = \"{mode}\"").unwrap(); }
        if let Some(risk) = ["none", "low", "medium", "high"].get(usize::from(risk)) { writeln!(text, "max-risk = \"{risk}\"").unwrap(); }
        if let Some((runs, per)) = budget { writeln!(text, "budget = {{ runs = {runs}, per = \"{per}s\" }}").unwrap(); }
        if let Some(when) = ["host.memory_available_ratio < 0.5", "host.cpus > 4.0", "unit.active_state == 'failed'"].get(usize::from(when)) {
            writeln!(text, "when = \"{when}\"").unwrap();
        }
        if let Some(on) = ["unit.*", "disk.*"].get(usize::from(on)) { writeln!(text, "on = [\"{on}\"]").unwrap(); }
        text
    }
}

const MEMORY: &str = "[[rule]]\nname = \"first\"\non = [\"*\"]\nwhen = 'host.memory_available_ratio > 0.9'\nplugin = \"unit-medic\"\nmode = \"approve\"\n[rule.verify]\nwithin = \"9s\"\n";

fn same(a: &Decision, b: &Decision) -> bool {
    let bytes = |d: &Decision| {
        serde_json::to_vec(&(d.verdict, d.mode, &d.reasons, &d.rule, &d.plan, &d.policy_digest)).unwrap()
    };
    bytes(a) == bytes(b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_replay_from_stored_inputs_gives_the_same_bytes(inputs in any_inputs(), guardrail in guardrails()) {
        let policy = policy(&format!("{MEMORY}{RULE}{guardrail}"));
        let first = decided(&policy, inputs);
        let stored = serde_json::to_string(&first).unwrap();
        let read: Decision = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&read, &first);
        let again = decided(&policy, serde_json::from_value(read.inputs.clone()).unwrap());
        prop_assert!(same(&first, &again), "{}\n{}", explain(&first), explain(&again));
        prop_assert_eq!(again.inputs, first.inputs);
    }

    #[test]
    fn adding_a_guardrail_never_loosens(inputs in any_inputs(), guardrail in guardrails()) {
        let without = decided(&policy(&format!("{MEMORY}{RULE}")), inputs.clone());
        let with = decided(&policy(&format!("{MEMORY}{RULE}{guardrail}")), inputs);
        prop_assert!(with.verdict >= without.verdict && with.mode <= without.mode, "{}\n{}", explain(&without), explain(&with));
    }

    #[test]
    fn lowering_a_ceiling_or_a_grant_or_pausing_never_loosens(inputs in any_inputs(), ceiling in modes(), grant in modes(), paused: bool) {
        let policy = policy(RULE);
        let before = decided(&policy, inputs.clone());
        let lower = Inputs { ceiling: inputs.ceiling.min(ceiling), grant: inputs.grant.min(grant), paused: inputs.paused || paused, ..inputs };
        let after = decided(&policy, lower);
        prop_assert!(after.verdict >= before.verdict && after.mode <= before.mode, "{}\n{}", explain(&before), explain(&after));
    }

    #[test]
    fn one_more_run_that_failed_never_loosens(inputs in any_inputs(), ago in 0_u64..100) {
        let policy = policy(RULE);
        let before = decided(&policy, inputs.clone());
        let mut more = inputs;
        more.history.push(run(0, RemediationState::Failed));
        more.history.last_mut().unwrap().started_at = NOW.minus(std::time::Duration::from_millis(ago));
        let after = decided(&policy, more);
        prop_assert!(after.verdict >= before.verdict && after.mode <= before.mode, "{}\n{}", explain(&before), explain(&after));
    }

    #[test]
    fn allow_means_that_every_limit_lets_it(inputs in any_inputs()) {
        let decision = decided(&policy(RULE), inputs.clone());
        if decision.verdict == Verdict::Allow {
            prop_assert!(!inputs.paused && inputs.ceiling == Mode::Auto && inputs.grant == Mode::Auto);
            prop_assert!(inputs.finding.cause.is_none() && inputs.deployments_running.is_empty());
            prop_assert!(inputs.plan.as_ref().is_none_or(|plan| plan.is_reversible() && plan.risk() <= Risk::Medium));
            prop_assert!(inputs.finding.confidence.get() >= 0.5 && decision.mode == Mode::Auto);
        }
        prop_assert_eq!(decision.verdict == Verdict::Allow, decision.reasons.iter().all(|r| r.verdict == Verdict::Allow));
    }
}
