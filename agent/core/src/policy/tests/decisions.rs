//! What is decided, and who may act on it.

use super::*;
use RemediationState as S;

/// Changes the fixture, decides, and compares the verdict, the mode and the codes of all reasons.
#[track_caller]
fn check(change: impl FnOnce(&mut Inputs), verdict: Verdict, mode: Mode, codes: &[&str]) {
    check_with(RULE, change, verdict, mode, codes);
}

#[track_caller]
fn check_with(text: &str, change: impl FnOnce(&mut Inputs), verdict: Verdict, mode: Mode, codes: &[&str]) {
    let mut inputs = inputs();
    change(&mut inputs);
    let decision = decided(&policy(text), inputs);
    let found: Vec<&str> = decision.reasons.iter().map(|reason| reason.code.as_str()).collect();
    assert_eq!((decision.verdict, decision.mode, found.as_slice()), (verdict, mode, codes), "{}", explain(&decision));
}

fn with_plan(inputs: &mut Inputs, change: impl FnOnce(&mut PlanBody)) {
    let mut body = inputs.plan.take().map(|plan| plan.body().clone()).unwrap();
    change(&mut body);
    inputs.plan = Some(Plan::seal(body).unwrap());
}

#[test]
fn with_everything_in_its_favour_it_may_run() {
    check(|_| {}, Verdict::Allow, Mode::Auto, &["rule_mode"]);
}

#[test]
fn silence_denies() {
    let decision = decided(&Policy::empty(), inputs());
    assert_eq!((decision.verdict, decision.mode, decision.rule), (Verdict::Deny, Mode::Observe, None));
    check(|i| i.finding.kind = "disk.full".into(), Verdict::Deny, Mode::Observe, &["no_rule"]);
    check(|i| i.finding.target.name = "db.service".into(), Verdict::Deny, Mode::Observe, &["no_rule"]);
}

#[test]
fn the_mode_is_the_least_of_all() {
    check(|i| i.ceiling = Mode::Advise, Verdict::Deny, Mode::Advise, &["host_ceiling", "rule_mode"]);
    check(|i| i.ceiling = Mode::Approve, Verdict::RequireApproval, Mode::Approve, &["host_ceiling", "rule_mode"]);
    check(|i| i.grant = Mode::Advise, Verdict::Deny, Mode::Advise, &["grant", "rule_mode"]);
    check_with(&RULE.replace("\"auto\"", "\"observe\""), |_| {}, Verdict::Deny, Mode::Observe, &["rule_mode"]);
    let both = |i: &mut Inputs| (i.ceiling, i.grant) = (Mode::Approve, Mode::Advise);
    check(both, Verdict::Deny, Mode::Advise, &["grant", "host_ceiling", "rule_mode"]);
}

#[test]
fn paused_denies_whatever_the_mode() {
    check(|i| i.paused = true, Verdict::Deny, Mode::Auto, &["paused", "rule_mode"]);
}

#[test]
fn what_descends_from_its_own_action_matches_no_rule() {
    let own = |i: &mut Inputs| i.finding.cause = Some(RemediationId::new(NOW, &mut SeededIds(5)));
    check(own, Verdict::Deny, Mode::Observe, &["own_effect"]);
    let mut inputs = inputs();
    own(&mut inputs);
    assert!(first_match(&policy(RULE), &inputs).is_none());
}

#[test]
fn a_transient_makes_no_plan() {
    let young = |secs| move |i: &mut Inputs| i.finding.began_at = NOW.minus(Interval::secs(secs).0);
    check(young(4), Verdict::Deny, Mode::Auto, &["sustained", "rule_mode"]);
    check(young(5), Verdict::Allow, Mode::Auto, &["rule_mode"]);
}

#[test]
fn a_finding_that_is_closed_needs_no_remedy() {
    check(|i| i.finding.state = FindingState::Resolved, Verdict::Deny, Mode::Auto, &["finding_closed", "rule_mode"]);
    check(|i| i.finding.state = FindingState::Suppressed, Verdict::Deny, Mode::Auto, &["finding_closed", "rule_mode"]);
}

#[test]
fn two_runs_on_one_target_keep_their_distance() {
    check(|i| i.history = vec![run(119, S::Succeeded)], Verdict::Deny, Mode::Auto, &["cooldown", "rule_mode"]);
    check(|i| i.history = vec![run(120, S::Succeeded)], Verdict::Allow, Mode::Auto, &["rule_mode"]);
    let elsewhere = |i: &mut Inputs| {
        i.history = vec![PastRun { target: Target::unit("web-2.service"), ..run(1, S::Succeeded) }];
    };
    check(elsewhere, Verdict::Allow, Mode::Auto, &["rule_mode"]);
    check(
        |i| i.history = vec![PastRun { rule: "other".into(), ..run(1, S::Succeeded) }],
        Verdict::Allow,
        Mode::Auto,
        &["rule_mode"],
    );
}

#[test]
fn what_was_only_proposed_is_no_run() {
    for state in [S::Proposed, S::AwaitingApproval, S::Approved, S::Rejected, S::Expired, S::Denied] {
        check(|i| i.history = vec![run(1, state); 9], Verdict::Allow, Mode::Auto, &["rule_mode"]);
    }
}

#[test]
fn an_exhausted_budget_drops_to_approve_and_says_so() {
    let runs = |count| move |i: &mut Inputs| i.history = vec![run(600, S::Succeeded); count];
    check(runs(2), Verdict::Allow, Mode::Auto, &["rule_mode"]);
    check(runs(3), Verdict::RequireApproval, Mode::Approve, &["budget_exhausted", "rule_mode"]);
    check(|i| i.history = vec![run(3_600, S::Succeeded); 9], Verdict::Allow, Mode::Auto, &["rule_mode"]);
    let elsewhere = |i: &mut Inputs| {
        i.history = vec![PastRun { target: Target::unit("web-2.service"), ..run(600, S::Succeeded) }; 3];
    };
    check(elsewhere, Verdict::RequireApproval, Mode::Approve, &["budget_exhausted", "rule_mode"]);
}

#[test]
fn a_rule_without_a_budget_gets_one() {
    let text = RULE.replace("budget       = { runs = 3, per = \"1h\" }", "");
    let six = |i: &mut Inputs| i.history = vec![run(600, S::Succeeded); 6];
    check_with(&text, six, Verdict::RequireApproval, Mode::Approve, &["budget_exhausted", "rule_mode"]);
}

#[test]
fn a_clock_that_was_set_back_does_not_open_the_budget() {
    let future = |i: &mut Inputs| {
        i.history = vec![PastRun { started_at: NOW.plus(Interval::secs(50).0), ..run(0, S::Succeeded) }; 3];
    };
    check(future, Verdict::Deny, Mode::Approve, &["cooldown", "budget_exhausted", "rule_mode"]);
}

#[test]
fn failures_in_a_row_lose_the_autonomy_until_one_succeeds() {
    let runs = |states: &'static [(u64, S)]| {
        move |i: &mut Inputs| i.history = states.iter().map(|(ago, state)| run(*ago * 4_000, *state)).collect()
    };
    check(runs(&[(1, S::Failed)]), Verdict::Allow, Mode::Auto, &["rule_mode"]);
    check(runs(&[(1, S::Failed), (2, S::Undone)]), Verdict::RequireApproval, Mode::Approve, &["demoted", "rule_mode"]);
    check(
        runs(&[(2, S::Undone), (1, S::Failed), (3, S::Succeeded)]),
        Verdict::RequireApproval,
        Mode::Approve,
        &["demoted", "rule_mode"],
    );
    check(runs(&[(1, S::Succeeded), (2, S::Failed), (3, S::Failed)]), Verdict::Allow, Mode::Auto, &["rule_mode"]);
    check(runs(&[(1, S::Failed), (2, S::Succeeded), (3, S::Failed)]), Verdict::Allow, Mode::Auto, &["rule_mode"]);
    let patient = format!("{RULE}[rule.autonomy]\ndemote-after-failures = 3\n");
    check_with(&patient, runs(&[(1, S::Failed), (2, S::Undone)]), Verdict::Allow, Mode::Auto, &["rule_mode"]);
}

#[test]
fn a_good_record_is_reported_and_raises_nothing() {
    let text = format!(
        "{}[rule.autonomy]\nsuggest-promotion-after = {{ successes = 3, over = \"30d\" }}\n",
        RULE.replace("\"auto\"", "\"approve\"")
    );
    let good = |i: &mut Inputs| i.history = (1..4).map(|n| run(n * 4_000, S::Succeeded)).collect();
    check_with(&text, good, Verdict::RequireApproval, Mode::Approve, &["rule_mode", "promotion"]);
    let mixed = |i: &mut Inputs| {
        i.history = (1..9).map(|n| run(n * 4_000, if n == 5 { S::Failed } else { S::Succeeded })).collect();
    };
    check_with(&text, mixed, Verdict::RequireApproval, Mode::Approve, &["rule_mode"]);
}

#[test]
fn a_checklist_item_that_fails_or_cannot_be_told_denies() {
    check(
        |i| i.deployments_running = vec!["web".parse().unwrap()],
        Verdict::Deny,
        Mode::Auto,
        &["checklist", "rule_mode"],
    );
    let text = RULE.replace("'!deployment.in_progress'", "'host.cpu_busy_ratio < 0.9'");
    check_with(&text, |_| {}, Verdict::Deny, Mode::Auto, &["checklist_error", "rule_mode"]);
    let known = |i: &mut Inputs| drop(i.host.insert("cpu_busy_ratio".into(), Value::from(0.1)));
    check_with(&text, known, Verdict::Allow, Mode::Auto, &["rule_mode"]);
    let not_a_number = |i: &mut Inputs| drop(i.host.insert("cpu_busy_ratio".into(), Value::Number(f64::NAN)));
    check_with(&text, not_a_number, Verdict::Deny, Mode::Auto, &["checklist_error", "rule_mode"]);
}

#[test]
fn a_rule_that_cannot_be_told_lets_nothing_after_it_run_alone() {
    let careful = "[[rule]]\nname = \"careful\"\non = [\"unit.*\"]\nwhen = 'finding.evidence[\"x\"] == \"y\"'\nplugin = \"unit-medic\"\nmode = \"advise\"\n";
    check_with(
        &format!("{careful}{RULE}"),
        |_| {},
        Verdict::RequireApproval,
        Mode::Approve,
        &["when_error", "rule_mode"],
    );
    let told = |i: &mut Inputs| i.finding.evidence.push(Evidence::new("x", "z"));
    check_with(&format!("{careful}{RULE}"), told, Verdict::Allow, Mode::Auto, &["rule_mode"]);
}

#[test]
fn little_confidence_is_advice() {
    let unsure = Confidence::new(0.49).unwrap();
    check(|i| i.finding.confidence = unsure, Verdict::Deny, Mode::Advise, &["low_confidence", "rule_mode"]);
    check(|i| with_plan(i, |b| b.confidence = unsure), Verdict::Deny, Mode::Advise, &["low_confidence", "rule_mode"]);
    check(|i| i.finding.confidence = Confidence::new(0.5).unwrap(), Verdict::Allow, Mode::Auto, &["rule_mode"]);
}

#[test]
fn what_cannot_be_taken_back_needs_a_person() {
    let plan = |i: &mut Inputs| i.plan = Some(Plan::seal(body(reclaim())).unwrap());
    check(plan, Verdict::RequireApproval, Mode::Approve, &["irreversible", "rule_mode"]);
}

#[test]
fn risk_is_limited_by_the_rule_and_high_risk_needs_a_person() {
    check(
        |i| with_plan(i, |b| b.steps[0].risk = Risk::High),
        Verdict::Deny,
        Mode::Approve,
        &["max_risk", "high_risk", "rule_mode"],
    );
    let text = RULE.replace("max-risk     = \"medium\"", "");
    check_with(
        &text,
        |i| with_plan(i, |b| b.steps[0].risk = Risk::High),
        Verdict::RequireApproval,
        Mode::Approve,
        &["high_risk", "rule_mode"],
    );
}

#[test]
fn a_plan_that_touches_too_much_is_denied() {
    let two = |i: &mut Inputs| {
        with_plan(i, |b| {
            let mut second = b.steps[0].clone();
            second.action = Action::ResetFailedUnit { unit: "web-2.service".into(), only_if_invocation: None };
            b.steps.push(second);
        });
    };
    check(two, Verdict::Deny, Mode::Auto, &["blast_radius", "rule_mode"]);
    check(|i| with_plan(i, |b| b.steps.push(b.steps[0].clone())), Verdict::Allow, Mode::Auto, &["rule_mode"]);
    let paths = RULE.replace("{ units = 1 }", "{ paths = 0 }");
    let plan = |i: &mut Inputs| i.plan = Some(Plan::seal(body(reclaim())).unwrap());
    check_with(&paths, plan, Verdict::Deny, Mode::Approve, &["blast_radius", "irreversible", "rule_mode"]);
}

#[test]
fn a_plan_that_is_too_old_or_not_for_this_is_denied() {
    check(|i| with_plan(i, |b| b.expires_at = NOW), Verdict::Deny, Mode::Auto, &["plan_expired", "rule_mode"]);
    check(
        |i| with_plan(i, |b| b.finding = FindingId::new(NOW, &mut SeededIds(77))),
        Verdict::Deny,
        Mode::Auto,
        &["plan_finding", "rule_mode"],
    );
    check(
        |i| with_plan(i, |b| b.proposed_by = "unit-medic-evil 1".into()),
        Verdict::Deny,
        Mode::Auto,
        &["plan_plugin", "rule_mode"],
    );
}

#[test]
fn what_the_agent_found_before_tightens_and_never_loosens() {
    let given = |verdict| {
        move |i: &mut Inputs| {
            let (code, origin, text) = ("plan_problem".to_owned(), "plan".to_owned(), "it names two units".to_owned());
            i.given = vec![Reason { code, verdict, origin, text }];
        }
    };
    check(given(Verdict::Deny), Verdict::Deny, Mode::Auto, &["plan_problem", "rule_mode"]);
    check(given(Verdict::RequireApproval), Verdict::RequireApproval, Mode::Auto, &["plan_problem", "rule_mode"]);
    check(given(Verdict::Allow), Verdict::Allow, Mode::Auto, &["plan_problem", "rule_mode"]);
    let nothing_matches = |i: &mut Inputs| {
        given(Verdict::Allow)(i);
        i.finding.kind = "disk.full".into();
    };
    check(nothing_matches, Verdict::Deny, Mode::Observe, &["no_rule", "plan_problem"]);
}

#[test]
fn a_guardrail_says_its_name_and_its_reason() {
    let guardrail =
        |keys: &str| format!("{RULE}\n[[guardrail]]\nname = \"quiet\"\nreason = \"the fair is on\"\n{keys}\n");
    check_with(&guardrail("deny = true"), |_| {}, Verdict::Deny, Mode::Auto, &["guardrail:quiet", "rule_mode"]);
    check_with(
        &guardrail("max-mode = \"approve\""),
        |_| {},
        Verdict::RequireApproval,
        Mode::Approve,
        &["guardrail:quiet", "rule_mode"],
    );
    check_with(&guardrail("max-risk = \"none\""), |_| {}, Verdict::Deny, Mode::Auto, &["guardrail:quiet", "rule_mode"]);
    check_with(&guardrail("max-risk = \"low\""), |_| {}, Verdict::Allow, Mode::Auto, &["rule_mode"]);
    check_with(
        &guardrail("max-running = 1"),
        |i| i.now_running = 1,
        Verdict::RequireApproval,
        Mode::Approve,
        &["guardrail:quiet", "rule_mode"],
    );
    check_with(&guardrail("max-running = 1"), |_| {}, Verdict::Allow, Mode::Auto, &["rule_mode"]);
    let others = |i: &mut Inputs| i.history = vec![PastRun { rule: "other".into(), ..run(600, S::Succeeded) }; 2];
    check_with(
        &guardrail("budget = { runs = 2, per = \"1h\" }"),
        others,
        Verdict::RequireApproval,
        Mode::Approve,
        &["guardrail:quiet", "rule_mode"],
    );
    check_with(&guardrail("on = [\"disk.*\"]\ndeny = true"), |_| {}, Verdict::Allow, Mode::Auto, &["rule_mode"]);
    check_with(
        &guardrail("when = 'finding.severity == \"low\"'\ndeny = true"),
        |_| {},
        Verdict::Allow,
        Mode::Auto,
        &["rule_mode"],
    );
    let decision = decided(&policy(&guardrail("deny = true")), inputs());
    assert_eq!(decision.reasons[0].text, "nothing may run here: the fair is on");
    assert_eq!(decision.reasons[0].origin, "a.toml:20");
}

#[test]
fn a_guardrail_that_cannot_be_told_holds() {
    let text = format!("{RULE}\n[[guardrail]]\nname = \"calm\"\nwhen = 'host.load_1m > 8.0'\ndeny = true\n");
    check_with(&text, |_| {}, Verdict::Deny, Mode::Auto, &["guardrail:calm", "rule_mode"]);
}

#[test]
fn a_document_in_error_lets_nothing_run() {
    let (policy, found) =
        Policy::load(&[file("a.toml", RULE), file("b.toml", "[[guardrail]]\nname = \"x\"\ndny = true\n")]);
    assert_eq!(found.len(), 1);
    assert!(!policy.is_sound());
    let decision = decided(&policy, inputs());
    assert_eq!((decision.verdict, decision.mode), (Verdict::Deny, Mode::Advise));
    assert_eq!((decision.reasons[0].code.as_str(), decision.reasons[0].origin.as_str()), ("policy_errors", "b.toml:3"));
}

#[test]
fn without_a_plan_the_mode_tells_whether_one_is_worth_asking_for() {
    check(|i| i.plan = None, Verdict::Allow, Mode::Auto, &["rule_mode"]);
    let rule = policy(RULE).rules()[0].clone();
    assert_eq!(sustained_at(&rule, &finding()), finding().began_at.plus(Interval::secs(5).0));
}

#[test]
fn healthy_is_what_the_rule_says() {
    let policy = policy(RULE);
    let check = |unit: Option<UnitState>, expected: Option<bool>| {
        let found = is_healthy(&policy.rules()[0], &Inputs { unit: unit.clone(), ..inputs() });
        assert_eq!(found.unwrap().ok(), expected, "{unit:?}");
    };
    let unit = |state: &str, n_restarts| {
        Some(UnitState { name: "web-1.service".into(), active_state: state.into(), n_restarts, ..UnitState::default() })
    };
    check(unit("active", 0), Some(true));
    check(unit("failed", 0), Some(false));
    // Started by the plan, so all five are from after it, though five were counted before as well.
    check(unit("active", 5), Some(false));
    check(None, None);
}

#[test]
fn the_explanation_names_rule_guardrail_and_numbers() {
    let text =
        format!("{RULE}\n[[guardrail]]\nname = \"quiet\"\nreason = \"the fair is on\"\nmax-mode = \"approve\"\n");
    let decision = decided(&policy(&text), Inputs { history: vec![run(600, S::Succeeded); 3], ..inputs() });
    let digests = [(decision.policy_digest.as_str(), "P"), (decision.plan.as_ref().unwrap().as_str(), "Q")];
    let shown = digests.iter().fold(explain(&decision), |text, (digest, short)| text.replace(&digest[..12], short));
    insta::assert_snapshot!(shown, @r#"
    require-approval: plan sha256:Q for fnd_01a3185c5000715c8289ec2d0a9167ec may run after a person's yes
    rule restart-web, effective mode approve, decided at 2027-01-15T08:00:00Z (dec_01a3185c50007460b0befe52afae62ea)
    because, each of these alone being enough:
      require-approval  3 of 3 runs within 1h are used up: from here on it asks a person [budget_exhausted] (a.toml:3)
      require-approval  the mode is approve at most: the fair is on [guardrail:quiet] (a.toml:20)
    besides:
      allow             rule restart-web runs on its own [rule_mode] (a.toml:3)
    policy sha256:P
    "#);
}

#[test]
fn a_text_from_a_plan_cannot_steer_a_terminal_or_flood_a_decision() {
    let mut inputs = inputs();
    let name = |text: String| move |b: &mut PlanBody| b.proposed_by = text;
    with_plan(&mut inputs, name("\u{1b}[2J\nallow \u{202e}".into()));
    let decision = decided(&policy(RULE), inputs.clone());
    assert_eq!(decision.reasons[0].text, "the rule asks unit-medic, and the plan is by \\u{1b}[2J\\nallow \\u{202e}");
    with_plan(&mut inputs, name("é".repeat(100_000)));
    let decision = decided(&policy(RULE), inputs);
    assert!(decision.reasons.iter().all(|reason| reason.text.len() <= 503), "{}", decision.reasons[0].text.len());
}

#[test]
fn only_an_allowed_or_approved_plan_is_authorised() {
    let plan = inputs().plan.unwrap();
    let allow = decided(&policy(RULE), inputs());
    let ask = decided(&policy(RULE), Inputs { ceiling: Mode::Approve, ..inputs() });
    let deny = decided(&policy(RULE), Inputs { paused: true, ..inputs() });
    let hour = Interval::secs(3_600).0;
    let yes = Approval {
        approver: "alice (uid 1000)".into(),
        plan: plan.digest().clone(),
        at: NOW,
        expires_at: NOW.plus(hour),
        note: String::new(),
    };
    let later = NOW.plus(Interval::secs(1).0);

    let basis = |decision: &Decision, approval: Option<&Approval>, now| {
        authorize(&plan, decision, approval, now).map(|a| a.basis().to_owned())
    };
    assert_eq!(basis(&allow, None, later).unwrap(), format!("rule restart-web in mode auto, {}", allow.id));
    assert_eq!(authorize(&plan, &allow, None, later).unwrap().plan(), &plan);
    assert!(basis(&ask, Some(&yes), later).unwrap().starts_with("yes of alice (uid 1000) at "));

    let no = |decision: &Decision, approval: Option<&Approval>, now| {
        authorize(&plan, decision, approval, now).unwrap_err().to_string()
    };
    assert_eq!(no(&ask, None, later), "it needs a person's yes");
    assert!(no(&deny, Some(&yes), later).contains("paused"), "a yes does not outweigh a denial");
    let mut other = yes.clone();
    other.plan = "1".repeat(64).parse().unwrap();
    assert!(no(&ask, Some(&other), later).contains("said yes to plan 1111"));
    assert!(no(&ask, Some(&Approval { expires_at: later, ..yes.clone() }), later).contains("was good until"));
    assert!(no(&allow, None, plan.body().expires_at).contains("the plan was good until"));
    assert!(no(&Decision { plan: None, ..allow.clone() }, None, later).contains("about no plan"));
    assert!(no(&Decision { plan: Some(other.plan.clone()), ..allow.clone() }, None, later).contains("about plan 1111"));
    assert!(
        no(&Decision { finding: FindingId::new(NOW, &mut SeededIds(8)), ..allow.clone() }, None, later)
            .contains("the plan is for")
    );
    for forged in [
        Decision { verdict: Verdict::Allow, ..deny.clone() },
        Decision { reasons: vec![], ..allow.clone() },
        Decision { mode: Mode::Approve, ..allow.clone() },
        Decision { rule: None, ..allow.clone() },
    ] {
        assert!(no(&forged, None, later).contains("does not follow"), "{forged:?}");
    }
}
