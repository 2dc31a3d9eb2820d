//! Documents: every mistake is shown with its place and with what to write instead.

use super::*;

/// Loads one document and compares what is printed about it.
fn shown(text: &str) -> String {
    let (_, found) = Policy::load(&[file("web.toml", text)]);
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

#[track_caller]
fn check(change: (&str, &str), level: Level, line: usize, column: usize, message: &str) {
    assert!(RULE.contains(change.0), "{}", change.0);
    let (policy, found) = Policy::load(&[file("web.toml", &RULE.replacen(change.0, change.1, 1))]);
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert!(only.message.contains(message), "{only}");
    assert_eq!((only.level, only.line, only.column), (level, line, column), "{only}");
    assert_eq!(policy.rules().len(), usize::from(level == Level::Warning));
    assert_eq!(policy.is_sound(), level == Level::Warning);
}

#[test]
fn a_good_rule_is_read_in_full() {
    let policy = policy(&format!(
        "{RULE}on-failure = \"escalate\"\n[rule.autonomy]\ndemote-after-failures = 4\nsuggest-promotion-after = {{ successes = 20, over = \"30d\" }}\n"
    ));
    let rule = policy.rule("restart-web").unwrap();
    assert_eq!((rule.mode, rule.plugin.as_str(), rule.origin.as_str()), (Mode::Auto, "unit-medic", "a.toml:3"));
    assert_eq!((rule.sustained, rule.approval_expires), (Some(Interval::secs(5)), Interval::secs(3_600)));
    assert_eq!(
        rule.guard,
        Guard {
            cooldown: Some(Interval::secs(120)),
            budget: Budget { runs: 3, per: Interval::secs(3_600) },
            blast_radius: BlastRadius { units: Some(1), paths: None },
            max_risk: Some(Risk::Medium),
        }
    );
    assert_eq!((rule.verify.within, rule.verify.on_failure), (Interval::secs(30), OnFailure::Escalate));
    assert_eq!(
        rule.autonomy,
        Autonomy {
            demote_after_failures: 4,
            suggest_promotion_after: Some(Promotion { successes: 20, over: Interval::secs(30 * 86_400) })
        }
    );
    assert_eq!(rule.checklist.iter().map(Condition::source).collect::<Vec<_>>(), ["!deployment.in_progress"]);
}

#[test]
fn mistakes_of_form_are_shown_with_their_place() {
    let error = Level::Error;
    check(("mode      = \"auto\"", "mode      = \"atuo\""), error, 8, 13, "unknown variant `atuo`");
    check(("sustained", "sustaind"), error, 6, 1, "unknown field `sustaind`");
    check(("\"5s\"", "5"), error, 6, 13, "invalid type");
    check(("\"5s\"", "\"5 s\""), error, 6, 13, "is not a span of time");
    check(("plugin    = \"unit-medic\"", ""), error, 2, 1, "missing field `plugin`");
    check(("cooldown", "cool-down"), error, 11, 1, "unknown field `cool-down`");
    check(("{ units = 1 }", "{ unit = 1 }"), error, 13, 18, "unknown field `unit`");
    check(("runs = 3", "runs = -3"), error, 12, 25, "invalid value");
}

#[test]
fn mistakes_of_meaning_are_shown_with_their_place() {
    let error = Level::Error;
    check(("\"restart-web\"", "\"Restart web\""), error, 3, 13, "is not a name for a rule");
    check(("\"restart-web\"", "\"none\""), error, 3, 13, "is not a name for a rule");
    check(("[\"unit.failed\"]", "[]"), error, 4, 13, "names 0 kinds");
    check(("\"unit.failed\"", "\"unit.[\""), error, 4, 14, "the glob is not valid");
    check(("\"unit-medic\"", "\"../medic\""), error, 7, 13, "is not a plugin's id");
    check(("\"2m\"", "\"0s\""), error, 11, 16, "more than nothing");
    check(("\"30s\"", "\"2h\""), error, 16, 11, "at most 1h");
    check(("finding.subject.unit", "finding.subject.unti"), error, 5, 30, "`unti` is not known here");
    check(("== \"active\" &&", "== \"active\" &&&"), error, 17, 44, "does not parse");
}

#[test]
fn what_is_perhaps_not_meant_is_a_warning() {
    check(("sustained = \"5s\"", ""), Level::Warning, 8, 13, "runs on its own without `sustained`");
    check(("cooldown     = \"2m\"", ""), Level::Warning, 8, 13, "without `[rule.guard] cooldown`");
    check(
        ("!deployment.in_progress", "host.memory > 1.0"),
        Level::Warning,
        9,
        20,
        "not a fact that the agent provides",
    );
}

#[test]
fn an_automatic_rule_says_what_success_is_or_is_refused() {
    let text = RULE.split("[rule.verify]").next().unwrap();
    let (policy, found) = Policy::load(&[file("a.toml", text)]);
    assert!(policy.rules().is_empty());
    assert!(
        found.len() == 1 && found[0].level == Level::Error && found[0].message.contains("does not say what success is"),
        "{found:?}"
    );
    let (policy, found) = Policy::load(&[file("a.toml", &text.replace("\"auto\"", "\"approve\""))]);
    assert_eq!((policy.rules().len(), found.len(), found[0].level), (1, 1, Level::Warning));
    let (_, found) = Policy::load(&[file("a.toml", &text.replace("\"auto\"", "\"advise\""))]);
    assert_eq!(found, []);
}

#[test]
fn a_name_is_used_once_over_all_documents() {
    let (policy, found) = Policy::load(&[file("b.toml", RULE), file("a.toml", RULE)]);
    assert_eq!((found.len(), policy.rules().len(), policy.is_sound()), (1, 1, false));
    assert_eq!((found[0].file.as_str(), found[0].line), ("b.toml", 3));
    assert!(found[0].message.contains("already, at a.toml:3"), "{}", found[0]);
}

#[test]
fn a_rule_that_can_never_be_the_one_is_said() {
    let second = RULE.replace("restart-web", "again");
    let (_, found) = Policy::load(&[file("a.toml", RULE), file("b.toml", &second)]);
    assert!(
        found.len() == 1 && found[0].message.contains("can never be the one: restart-web at a.toml:3"),
        "{found:?}"
    );
    let narrower = second.replace("startsWith(\"web-\")", "startsWith(\"web-1\")");
    assert_eq!(Policy::load(&[file("a.toml", RULE), file("b.toml", &narrower)]).1, []);
}

#[test]
fn the_first_rule_in_order_of_file_names_and_lines_matches() {
    let second = RULE.replace("restart-web", "again").replace("startsWith(\"web-\")", "startsWith(\"web-1\")");
    let files = [file("b.toml", RULE), file("a.toml", &second)];
    let (policy, _) = Policy::load(&files);
    assert_eq!(first_match(&policy, &inputs()).unwrap().name, "again");
    let [b, a] = files;
    assert_eq!(Policy::load(&[a, b]).0.digest(), policy.digest(), "the order of reading a directory is no matter");
}

#[test]
fn the_digest_tells_every_document_apart_and_leaves_cases_out() {
    let digest = |files: &[PolicyFile]| Policy::load(files).0.digest().to_owned();
    let one = digest(&[file("a.toml", RULE)]);
    assert_ne!(one, digest(&[file("a.toml", &format!("{RULE} "))]));
    assert_ne!(one, digest(&[file("b.toml", RULE)]));
    assert_ne!(digest(&[file("a", "b")]), digest(&[file("ab", "")]));
    assert_eq!(one, digest(&[file("a.toml", RULE), file("a.test.toml", "x")]));
    assert_eq!(Policy::empty().digest(), digest(&[]));
}

#[test]
fn a_guardrail_that_limits_nothing_is_an_error() {
    insta::assert_snapshot!(shown("[[guardrail]]\nname = \"calm\"\nreason = \"x\"\n"), @r#"
    error in web.toml at line 2, column 8
      |
    2 | name = "calm"
      |        ^^^^^^
    guardrail calm limits nothing
    hint: give it `deny = true`, `max-mode`, `max-risk`, `max-running` or `budget`
    "#);
}

#[test]
fn errors_look_like_those_of_the_toml_parser() {
    let text = RULE.replace("finding.subject.unit", "finding.subject.unti").replace("\"2m\"", "\"0s\"");
    insta::assert_snapshot!(shown(&text), @r#"
    error in web.toml at line 5, column 30
      |
    5 | when      = 'finding.subject.unti.startsWith("web-")'
      |                              ^^^^
    `unti` is not known here
    hint: known are kind, name, unit, path

    error in web.toml at line 11, column 16
       |
    11 | cooldown     = "0s"
       |                ^^^^
    `cooldown` is 0ms, and more than nothing and at most 90d is possible
    "#);
    insta::assert_snapshot!(shown("[[rule]\n"), @r#"
    error in web.toml at line 1, column 8
      |
    1 | [[rule]
      |        ^
    unclosed array table, expected `]`
    "#);
}

#[test]
fn a_place_in_a_condition_is_found_in_every_kind_of_string() {
    let place = |when: &str| {
        let text = format!("[[rule]]\nname = \"r\"\non = [\"*\"]\nwhen = {when}\nplugin = \"p\"\nmode = \"advise\"\n");
        let (_, found) = Policy::load(&[file("a.toml", &text)]);
        (found[0].line, found[0].column)
    };
    assert_eq!(place("'true && x'"), (4, 17));
    assert_eq!(place("\"true && x\""), (4, 17));
    assert_eq!(place("'''true && x'''"), (4, 19));
    assert_eq!(place("'''\ntrue &&\n  x'''"), (6, 3));
    assert_eq!(place("\"'\\t' == '' && x\""), (4, 8), "escapes: the whole string");
}

#[test]
fn limits_of_size_are_said() {
    let many: String = (0..600)
        .map(|n| RULE.replace("restart-web", &format!("r{n}")).replace("web-\"", &format!("web-{n}\"")))
        .collect();
    let (policy, found) = Policy::load(&[file("a.toml", &many)]);
    assert!(!policy.is_sound());
    assert!(found.last().unwrap().message.contains("more than"), "{:?}", found.last());
    let long = format!("# {}", "x".repeat(300_000));
    assert!(shown(&long).contains("more than 262144"));
}

#[test]
fn no_document_needs_much_stack() {
    for text in [
        format!("a{} = 1", ".a".repeat(60_000)),
        format!("[a{}]", ".a".repeat(60_000)),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{ a = ".repeat(40_000)),
        format!("[[rule]]\non = {}{}", "[".repeat(60), "]".repeat(60)),
    ] {
        let work = move || assert!(!Policy::load(&[file("a.toml", &text)]).0.is_sound());
        std::thread::Builder::new().stack_size(512 * 1_024).spawn(work).unwrap().join().unwrap();
    }
}

proptest::proptest! {
    #[test]
    fn no_document_makes_it_panic(at in 0_usize..400, text in "\\PC{0,20}") {
        let at = RULE.floor_char_boundary(at.min(RULE.len()));
        let (policy, found) = Policy::load(&[file("a.toml", &format!("{}{text}{}", &RULE[..at], &RULE[at..]))]);
        for diagnostic in &found {
            let _ = diagnostic.to_string();
        }
        proptest::prop_assert_eq!(policy.is_sound(), found.iter().all(|d| d.level == Level::Warning));
    }
}
