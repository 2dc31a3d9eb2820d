//! Conditions: what compiles, what it says, and what is refused before it could do harm.

use super::super::condition::Condition;
use super::super::facts::Facts;
use super::*;

#[track_caller]
fn check(source: &str, expected: Result<bool, &str>) {
    let (condition, _) = Condition::compile(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
    match (condition.holds(&Facts::new(&inputs())), expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{source}"),
        (Err(found), Err(part)) if found.contains(part) => {}
        (found, expected) => panic!("{source}: {found:?}, not {expected:?}"),
    }
}

#[test]
fn conditions_see_the_finding_the_host_the_unit_and_the_plan() {
    for source in [
        "finding.kind == 'unit.failed' && finding.class == 'reliability' && finding.confidence >= 1",
        "finding.severity == 'high' && finding.severity_level >= 3",
        "finding.subject.unit.startsWith('web-') && finding.subject.path == '' && finding.subject.kind == 'unit'",
        "finding.evidence['unit.result'] == 'signal' && 'unit.result' in finding.evidence",
        "finding.cause == '' && finding.count == 1 && finding.title.contains('failed')",
        "host.memory_available_ratio > 0.05 && !has(host.cpus)",
        "unit.active_state == 'failed' && unit.n_restarts == 0",
        "plan.risk == 'low' && plan.steps == 1 && plan.reversible && plan.confidence > 0.5",
        "!deployment.in_progress && deployment.running == 0",
        "finding.subject.unit.matches('^web-[0-9]+\\\\.service$')",
        "['a', 'web-1.service'].exists(x, x == finding.subject.unit)",
        "finding.subject.unit in ['web-1.service']",
        "finding.kind.size() > 3 ? true : false",
    ] {
        check(source, Ok(true));
    }
}

#[test]
fn what_is_absent_cannot_be_told() {
    check("host.cpus > 4.0", Err("`cpus` is not known here"));
    check("finding.evidence.x == 1", Err("`x` is not known here"));
    check("finding.evidence['x'] == 1 || true", Ok(true));
    check("finding.evidence['unit.result'] > 1", Err("cannot be told"));
    check("1 / (finding.count - 1) == 1", Err("divides by zero"));
}

#[test]
fn what_is_too_large_to_look_at_is_absent_not_cut() {
    let mut inputs = inputs();
    inputs.finding.title = "x".repeat(5_000);
    inputs.finding.evidence.push(Evidence::new("long", "x".repeat(5_000)));
    inputs.finding.evidence.push(Evidence::new("many", vec![String::new(); 300]));
    let facts = Facts::new(&inputs);
    for source in ["finding.title.contains('bad')", "finding.evidence.long == ''", "finding.evidence.many.size() == 0"]
    {
        let (condition, _) = Condition::compile(source).unwrap();
        assert!(condition.holds(&facts).is_err(), "{source}");
    }
    inputs.finding.evidence = (0..300).map(|n| Evidence::new(n.to_string(), 1.0)).collect();
    let (condition, _) = Condition::compile("finding.evidence['1'] == 1.0").unwrap();
    assert!(condition.holds(&Facts::new(&inputs)).is_err());
}

#[track_caller]
fn check_refused(source: &str, at: usize, message: &str) {
    let refused = Condition::compile(source).map(|_| ()).expect_err(source);
    assert!(refused.message.contains(message), "{source}: {refused:?}");
    assert_eq!(refused.at.start, at, "{source}: {refused:?}");
}

#[test]
fn an_unknown_name_is_refused_where_it_stands() {
    check_refused("findng.kind == 'x'", 0, "`findng` is not known");
    check_refused("true && finding.kimd == 'x'", 16, "`kimd` is not known");
    check_refused("finding['kimd'] == 'x'", 7, "`kimd` is not known");
    check_refused("finding.subject.unitt == ''", 16, "`unitt` is not known");
    check_refused("finding.kind.x == ''", 13, "nothing below");
    check_refused("finding.evidence.unit.result == ''", 22, "nothing below");
    check_refused("['a'].exists(x, y == 'a')", 16, "`y` is not known");
    check_refused("x == 1 || ['a'].exists(x, x == 'a')", 0, "`x` is not known");
}

#[test]
fn a_fact_that_the_agent_does_not_provide_is_a_warning() {
    let (_, warnings) = Condition::compile("host.cpus > 1.0 && host.memory_free > 1.0").unwrap();
    assert_eq!(
        warnings.iter().map(|w| w.message.as_str()).collect::<Vec<_>>(),
        ["`host.memory_free` is not a fact that the agent provides"]
    );
}

#[test]
fn what_does_not_parse_is_refused_where_it_breaks() {
    check_refused("finding.kind == ", 16, "does not parse");
    check_refused("finding.kind = 'x'", 13, "does not parse");
    check_refused("", 0, "empty");
    check_refused("  \n", 0, "empty");
}

#[test]
fn functions_are_those_that_are_listed() {
    check_refused("finding.kind.lowerAscii() == ''", 13, "no function `lowerAscii`");
    check_refused("timestamp('2026') == 1", 0, "no function `timestamp`");
    check_refused("finding.evidence['x'].map(y, y + y).size() > 0", 22, "no function `map`");
    check_refused("optional.of(1) == 1", 9, "no function `of`");
    check_refused("exists(x)", 0, "walks a list");
}

#[test]
fn only_lists_are_walked_and_never_deep() {
    check_refused("finding.evidence.exists(k, k == 'x')", 8, "only a list");
    check_refused("host.all(k, true)", 0, "only a list");
    check_refused("[1].exists(a, [1].exists(b, true))", 18, "cannot stand within another");
    check_refused("[1].filter(a, a > 1).exists(a, b > 1)", 31, "`b` is not known");
    check("[1, 2].filter(a, a > 1).exists(a, a > 1)", Ok(true));
    check_refused("[1].exists(finding, true)", 11, "is taken");
    check_refused("{'a': 1}.size() == 1", 0, "cannot make maps");
}

#[test]
fn a_pattern_is_written_out_and_valid() {
    check_refused("finding.kind.matches(finding.title)", 13, "must be written out");
    check_refused("finding.kind.matches('(')", 13, "not a regular expression");
    check_refused(&format!("finding.kind.matches('{}')", "a".repeat(201)), 13, "more than 200 bytes");
    check_refused("['a'].exists(x, x.matches('a{9}'))", 18, "cannot count repetitions");
    check("['a'].exists(x, x.matches('^a+$'))", Ok(true));
}

#[test]
fn length_and_nesting_are_limited_before_parsing() {
    check_refused(&format!("{}true", "!".repeat(600)), 200, "more than 200 operators");
    check_refused(&format!("{}true{}", "(".repeat(13), ")".repeat(13)), 12, "nested deeper than 12");
    check_refused(&format!("{}true", "true?true:".repeat(90)), 0, "nested deeper than 64");
    check_refused(&format!("{}1 > 0", "1+".repeat(90)), 51, "nested deeper than 64");
    check_refused(&"a".repeat(EXPRESSION_BYTES_MAX + 1), 0, "more than 1024");
    check_refused(&format!("[{}1].size() > 0", "1,".repeat(64)), 0, "more than 64 elements");
    // Not hidden by a quote that the language reads differently.
    check_refused(&format!("r'\\' {}", "(".repeat(300)), 204, "more than 200 operators");
}

#[test]
fn what_can_never_be_true_or_false_is_an_error_of_the_document() {
    for (when, part) in [
        ("finding.kind", "gives a string"),
        ("finding.count > 'x'", "cannot be told"),
        ("finding.confidence + 1.0", "gives a float"),
    ] {
        let text =
            format!("[[rule]]\nname = \"r\"\non = [\"*\"]\nwhen = '''{when}'''\nplugin = \"p\"\nmode = \"advise\"\n");
        let (_, found) = Policy::load(&[file("a.toml", &text)]);
        assert!(found.iter().any(|d| d.level == Level::Error && d.message.contains(part)), "{when}: {found:?}");
    }
}

/// Depth of recursion follows the text; this is a quarter of the stack of a thread.
fn on_a_small_stack(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(512 * 1_024).spawn_scoped(scope, work).unwrap().join().unwrap();
    });
}

#[test]
fn no_expression_needs_much_stack() {
    let long = [
        ("", "!", "true"),
        ("", "- ", "1 == 1"),
        ("", "true && ", "true"),
        ("", "true ? true : ", "true"),
        ("", "true ? ", "true"),
        ("", "1 in ", "[1]"),
        ("finding", ".a", " == 1"),
        ("finding.kind", ".size()", " == 1"),
        ("finding.evidence", "['a']", " == 1"),
        ("", "(", "true"),
        ("", "[", "1"),
        ("", "string(", "1"),
        ("'", "\\", ""),
    ];
    for (before, part, after) in long {
        for count in [10, 12, 60, 190, 1_000] {
            let source = format!("{before}{}{after}", part.repeat(count));
            on_a_small_stack(move || {
                if let Ok((condition, _)) = Condition::compile(&source) {
                    let _ = condition.holds(&Facts::new(&inputs()));
                }
            });
        }
    }
}

#[test]
fn arithmetic_at_its_limits_cannot_be_told() {
    for source in [
        "-9223372036854775808 / -1 == 1",
        "-9223372036854775808 % -1 == 1",
        "-(-9223372036854775808) == 1",
        "9223372036854775807 + 1 > 0",
        "int(1e300) == 1",
        "int(0.0 / 0.0) == 1",
        "[1][9223372036854775807] == 1",
    ] {
        check(source, Err("cannot be told"));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_the_compiler_panic(text in "\\PC{0,60}") {
        let _ = Condition::compile(&text);
    }

    #[test]
    fn nothing_that_looks_like_an_expression_makes_it_panic(parts in proptest::collection::vec(proptest::sample::select(vec![
        "finding", ".", "kind", "(", ")", "[", "]", "'a'", "\"", "1", "-", "!", "&&", "||", "?", ":", "in", "exists", "x", ",", "{", "}", "r'", "b'", "\\", "1.5e3", "0x", "u", "`", "has", " ", "==", "null", "true", "//", "\n",
    ]), 0..40)) {
        if let Ok((condition, _)) = Condition::compile(&parts.concat()) {
            let _ = condition.holds(&Facts::new(&inputs()));
        }
    }
}
