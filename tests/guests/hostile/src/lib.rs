//! A plugin that misbehaves in the way its settings say. Written against the raw WIT, as an attacker would.
//!
//! Each deed is used by a test of `agent/plugin-host/tests/hostile.rs`, which asserts what the host makes of it.

// On the host there is nothing to build: the names that its exports have mean nothing to a linker for libraries.
#![cfg(target_arch = "wasm32")]
#![allow(clippy::all, clippy::pedantic, missing_docs, reason = "generated code and deliberate misbehaviour")]

use std::cell::RefCell;
use std::hint::black_box;

wit_bindgen::generate!({ path: "../../../wit", world: "healer-plugin" });

use exports::holdfast::plugin::{check, lifecycle, remediator};
use holdfast::plugin::types::{Arg, Error, Evidence, Finding, Label, Severity, Subject, Value};
use holdfast::plugin::{changes, clock, files, log, metrics, processes, state, units};

struct Hostile;
export!(Hostile);

thread_local! {
    static DEED: RefCell<(String, String)> = const { RefCell::new((String::new(), String::new())) };
}

fn deed() -> (String, String) {
    DEED.with_borrow(Clone::clone)
}

impl lifecycle::Guest for Hostile {
    fn configure(context: lifecycle::Context) -> Result<(), Error> {
        std::panic::set_hook(Box::new(|panic| log::log(log::Level::Error, &panic.to_string(), &[])));
        let settings: serde_json::Value =
            serde_json::from_str(&context.settings).map_err(|error| Error::Invalid(error.to_string()))?;
        let text = |key: &str| settings[key].as_str().unwrap_or_default().to_owned();
        DEED.with_borrow_mut(|it| *it = (text("deed"), text("with")));
        match text("deed").as_str() {
            "loop in configure" => spin(),
            "fail in configure" => Err(Error::Unsupported("not on this host".to_owned())),
            _ => Ok(()),
        }
    }
}

fn spin() -> ! {
    loop {
        black_box(0);
    }
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "that is what this guest is for")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[black_box(3)]
}

fn finding() -> Finding {
    Finding {
        id: "one".to_owned(),
        rule: "test.rule".to_owned(),
        title: "Something is wrong".to_owned(),
        severity: Severity::Info,
        confidence: 0.5,
        subject: Subject { kind: "file".to_owned(), name: "/srv/x".to_owned() },
        expected: None,
        observed: None,
        evidence: vec![Evidence { name: "test.number".to_owned(), value: Value::Number(1.5) }],
        references: vec![],
    }
}

fn report(findings: Vec<Finding>) -> check::Report {
    check::Report { findings, evaluated: vec!["test.rule".to_owned()], skipped: vec![] }
}

fn observed(text: impl Into<String>) -> Result<check::Report, Error> {
    Ok(report(vec![Finding { observed: Some(text.into()), ..finding() }]))
}

fn options(hash: bool) -> files::WalkOptions {
    files::WalkOptions {
        max_depth: 16,
        only: vec![],
        except: vec!["skipped".to_owned()],
        hash: hash.then_some(files::Algorithm::Sha256),
        one_filesystem: true,
    }
}

impl check::Guest for Hostile {
    fn run() -> Result<check::Report, Error> {
        let (deed, with) = deed();
        match deed.as_str() {
            "nothing" => Ok(report(vec![finding()])),
            "loop" => spin(),
            "recurse" => observed(recurse(0).to_string()),
            "memory" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            "panic" => panic!("the moon is made of cheese"),
            "trap after state" => {
                state::set("key", b"value")?;
                panic!("after the state was set");
            }
            "log flood" => {
                let line = "x".repeat(4_000);
                for _ in 0..5_000 {
                    log::log(log::Level::Info, &line, &[Label { key: "a".to_owned(), value: "b".to_owned() }]);
                }
                Ok(report(vec![]))
            }
            "log 20 MiB" => {
                log::log(log::Level::Info, &"x".repeat(20 << 20), &[]);
                Ok(report(vec![]))
            }
            "title of 20 MiB" => Ok(report(vec![Finding { title: "x".repeat(20 << 20), ..finding() }])),
            "title of 4 KiB" => Ok(report(vec![Finding { title: "x".repeat(4 << 10), ..finding() }])),
            "escape codes in the title" => Ok(report(vec![Finding { title: "a\u{1b}[2Jb".to_owned(), ..finding() }])),
            "huge list" => {
                Ok(check::Report { findings: vec![], evaluated: vec![String::new(); 1_500_000], skipped: vec![] })
            }
            "too many findings" => {
                let many = (0..1_001).map(|n| Finding { id: format!("n{n}"), ..finding() });
                Ok(report(many.collect()))
            }
            "confidence" => Ok(report(vec![Finding { confidence: with.parse().unwrap_or(f64::NAN), ..finding() }])),
            "four million bytes of evidence" => {
                let evidence = vec![Evidence { name: "x".to_owned(), value: Value::Bytes(vec![7; 4_000_000]) }];
                Ok(report(vec![Finding { evidence, ..finding() }]))
            }
            "infinite evidence" => {
                let evidence = vec![Evidence { name: "x".to_owned(), value: Value::Number(f64::INFINITY) }];
                Ok(report(vec![Finding { evidence, ..finding() }]))
            }
            "twins" => Ok(report(vec![finding(), finding()])),
            "rule not evaluated" => Ok(report(vec![Finding { rule: "other".to_owned(), ..finding() }])),
            "bad rule name" => Ok(report(vec![Finding { rule: "a|b c".to_owned(), ..finding() }])),
            "skip" => Ok(check::Report {
                findings: vec![],
                evaluated: vec![],
                skipped: vec![("test.rule".to_owned(), Error::Unsupported("no systemd".to_owned()))],
            }),
            "many host calls" => loop {
                clock::now();
            },
            "ten host calls" => {
                for _ in 0..4 {
                    clock::now();
                    state::get("nothing")?;
                }
                files::stat(&with)?;
                log::log(log::Level::Info, "Done.", &[]);
                Ok(report(vec![finding()]))
            }
            "stat" => observed(format!("{:?}", files::stat(&with)?.kind)),
            "read" => observed(
                String::from_utf8_lossy(&files::read(&with, 0, u32::MAX)?).chars().take(64).collect::<String>(),
            ),
            "read length" => observed(files::read(&with, 0, u32::MAX)?.len().to_string()),
            "read without end" => loop {
                black_box(files::read(&with, 0, u32::MAX)?);
            },
            "read a thousand times" => {
                let mut wrong = 0;
                for _ in 0..1_000 {
                    // Either the right content or an error; never what lies outside.
                    wrong += u32::from(files::read(&with, 0, 64).is_ok_and(|bytes| bytes != b"inside"));
                }
                observed(wrong.to_string())
            }
            "read link" => observed(files::read_link(&with)?),
            "hash" => observed(files::hash(&with, files::Algorithm::Sha256)?.hex),
            "walk" => {
                let walker = files::walk(&with, &options(true))?;
                let mut seen = Vec::new();
                loop {
                    let page = walker.next(2)?;
                    if page.is_empty() {
                        break;
                    }
                    seen.extend(page.into_iter().map(|entry| {
                        let digest = entry.digest.map(|d| d.hex[..8].to_owned()).unwrap_or_default();
                        format!("{}:{:?}:{digest}", entry.path, entry.metadata.kind)
                    }));
                }
                let errors = walker.errors().len();
                observed(format!("{} errors={errors}", seen.join(" ")))
            }
            "leak handles" => {
                for _ in 0..100_000 {
                    std::mem::forget(files::walk(&with, &options(false))?);
                }
                Ok(report(vec![]))
            }
            "leak handles on and on" => {
                // Whatever the host says: as many as it lets a call ask.
                let leaked = (0..99_999).filter(|_| files::walk(&with, &options(false)).map(std::mem::forget).is_ok());
                observed(leaked.count().to_string())
            }
            "walk and drop" => {
                for _ in 0..100 {
                    drop(files::walk(&with, &options(false))?);
                }
                Ok(report(vec![]))
            }
            "unit" => observed(units::status(&with)?.active),
            "units without end" => loop {
                black_box(units::status(&with)?);
            },
            "units" => observed(units::list("*")?.into_iter().map(|unit| unit.name).collect::<Vec<_>>().join(" ")),
            "processes" => observed(processes::list("*")?.len().to_string()),
            "metrics" => {
                let selector = metrics::Selector { name: with, labels: vec![], start: 0, end: u64::MAX, step: 0 };
                observed(metrics::query(&selector)?.len().to_string())
            }
            "changes" => observed(changes::query(&[], 0, u64::MAX, 10)?.len().to_string()),
            "count runs" => {
                let before = state::get("runs")?.and_then(|bytes| String::from_utf8(bytes).ok());
                let runs = before.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0) + 1;
                state::set("runs", runs.to_string().as_bytes())?;
                observed(runs.to_string())
            }
            "state quota" => {
                for n in 0..100 {
                    state::set(&format!("k{n}"), &vec![0; 64 << 10])?;
                }
                Ok(report(vec![]))
            }
            "state keys" => {
                for n in 0..2_000 {
                    state::set(&format!("k{n}"), &[])?;
                }
                Ok(report(vec![]))
            }
            other => Err(Error::Invalid(format!("there is no deed `{other}`"))),
        }
    }
}

fn text(name: &str, value: &str) -> Arg {
    Arg { name: name.to_owned(), value: Value::Text(value.to_owned()) }
}

fn restart(unit: &str) -> remediator::Step {
    remediator::Step {
        id: "restart".to_owned(),
        capability: "unit.restart".to_owned(),
        args: vec![text("unit", unit), text("active-state", "failed")],
        rationale: "It has failed".to_owned(),
        side_effects: vec![],
        risk: remediator::Risk::None,
        preconditions: vec![],
        undo: undo("", vec![]),
        timeout_ms: 30_000,
    }
}

fn reclaim(root: &str) -> remediator::Step {
    let entry = format!(r#"{{"path":"{root}/a","files":1,"bytes":1,"newest-change-ns":1}}"#);
    let entries = Arg { name: "entries".to_owned(), value: Value::Texts(vec![entry]) };
    let args = vec![text("root", root), entries];
    remediator::Step { id: "reclaim".to_owned(), capability: "path.reclaim".to_owned(), args, ..restart("") }
}

fn restore(path: &str) -> remediator::Step {
    let whole = |name: &str| Arg { name: name.to_owned(), value: Value::Integer(0) };
    let texts = vec![text("path", path), text("sha256", &"a".repeat(64))];
    let args = texts.into_iter().chain(["bytes", "mode", "uid", "gid"].map(whole)).collect();
    remediator::Step { id: "restore".to_owned(), capability: "file.restore".to_owned(), args, ..restart("") }
}

fn quarantine(path: &str) -> remediator::Step {
    let args = vec![text("path", path), text("only-if-sha256", &"a".repeat(64))];
    remediator::Step { id: "quarantine".to_owned(), capability: "file.quarantine".to_owned(), args, ..restart("") }
}

/// An undo of the plugin's own.
fn undo(capability: &str, args: Vec<Arg>) -> remediator::Undo {
    remediator::Undo { reversible: true, capability: capability.to_owned(), args }
}

fn plan(steps: Vec<remediator::Step>) -> remediator::Plan {
    remediator::Plan {
        summary: "Start it again".to_owned(),
        subject: Subject { kind: "unit".to_owned(), name: "web-1.service".to_owned() },
        confidence: 0.9,
        steps,
        evidence: vec![],
        settle_ms: 1_000,
        expires: clock::now() + 600_000_000_000,
    }
}

impl remediator::Guest for Hostile {
    fn propose(_finding: Finding) -> Result<Option<remediator::Plan>, Error> {
        let (deed, with) = deed();
        let one = restart("web-1.service");
        Ok(Some(match deed.as_str() {
            "nothing" => return Ok(None),
            "plan" => plan(vec![one]),
            "plan with risk" => plan(vec![remediator::Step { risk: remediator::Risk::High, ..one }]),
            "undeclared action" => plan(vec![restore("/srv/app/a")]),
            "irreversible" => {
                let undo = remediator::Undo { reversible: false, ..undo("", vec![]) };
                plan(vec![remediator::Step { undo, ..one }])
            }
            "falsely reversible" => plan(vec![reclaim("/srv/app")]),
            "honestly irreversible" => {
                let undo = remediator::Undo { reversible: false, ..undo("", vec![]) };
                plan(vec![remediator::Step { undo, ..reclaim("/srv/app") }])
            }
            // Each takes the other back.
            "cyclic undo" => {
                let bad = quarantine("/srv/app/bad");
                let there = remediator::Step { undo: undo("file.quarantine", bad.args.clone()), ..one.clone() };
                let back = remediator::Step { undo: undo("unit.restart", one.args), ..bad };
                plan(vec![there, back])
            }
            // To take back a restart, another file is put away.
            "undo of another step" => {
                let foreign = undo("file.quarantine", quarantine("/srv/app/other").args);
                plan(vec![remediator::Step { undo: foreign, ..one }])
            }
            "undo with arguments alone" => plan(vec![remediator::Step { undo: undo("", one.args.clone()), ..one }]),
            "another plan each time" => {
                let runs = state::get("runs")?.map_or(0, |bytes| bytes.len());
                state::set("runs", &vec![1; runs + 1])?;
                plan(vec![if runs == 0 { one } else { quarantine("/srv/app/other") }])
            }
            "steps" => {
                let count: usize = with.parse().unwrap_or(0);
                let step = |n: usize| remediator::Step { id: format!("n{n}"), ..one.clone() };
                plan((0..count).map(step).collect())
            }
            "step called" => plan(vec![remediator::Step { id: with, ..one }]),
            "long summary" => remediator::Plan { summary: "x".repeat(501), ..plan(vec![one]) },
            "many side effects" => {
                plan(vec![remediator::Step { side_effects: vec!["It is noticed.".to_owned(); 17], ..one }])
            }
            "large plan" => {
                let evidence = |n: usize| Evidence { name: format!("n{n}"), value: Value::Text("x".repeat(16 << 10)) };
                remediator::Plan { evidence: (0..50).map(evidence).collect(), ..plan(vec![one]) }
            }
            "unknown action" => plan(vec![remediator::Step { capability: "command.run".to_owned(), ..one }]),
            "absolute argv" => {
                let argv = ["/bin/sh", "-c", "rm -rf /srv"].map(str::to_owned).to_vec();
                let args = vec![text("name", "/bin/sh"), Arg { name: "argv".to_owned(), value: Value::Texts(argv) }];
                plan(vec![remediator::Step { capability: "command.named".to_owned(), args, ..one }])
            }
            "unit" => plan(vec![restart(&with)]),
            "quarantine" => plan(vec![quarantine(&with)]),
            "unknown argument" => {
                let args = vec![text("unit", "web-1.service"), text("active-state", "failed"), text("force", "yes")];
                plan(vec![remediator::Step { args, ..one }])
            }
            "no steps" => plan(vec![]),
            "same step twice" => plan(vec![one.clone(), one]),
            "no timeout" => plan(vec![remediator::Step { timeout_ms: 0, ..one }]),
            "precondition" => {
                let condition = remediator::Condition { capability: "unit.restart".to_owned(), args: vec![] };
                plan(vec![remediator::Step { preconditions: vec![condition], ..one }])
            }
            "expired" => remediator::Plan { expires: 1, ..plan(vec![one]) },
            "eternal" => remediator::Plan { expires: u64::MAX, ..plan(vec![one]) },
            "nan" => remediator::Plan { confidence: f64::NAN, ..plan(vec![one]) },
            "panic" => panic!("no plan today"),
            other => return Err(Error::Invalid(format!("there is no deed `{other}`"))),
        }))
    }

    fn verify(
        finding: Finding,
        plan: remediator::Plan,
        outcomes: Vec<remediator::Outcome>,
    ) -> Result<remediator::Verdict, Error> {
        let told = format!("{} {} {}", finding.rule, plan.steps[0].capability, outcomes[0].step);
        Ok(remediator::Verdict::Unsure(told))
    }
}
