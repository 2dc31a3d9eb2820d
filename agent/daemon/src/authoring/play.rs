//! Plays one case: the world is laid out, the plugin is asked, its answers become documents.

use std::path::Path;
use std::sync::Arc;

use holdfast_core::model::plan::hex;
use holdfast_core::model::{
    Class, Confidence, Detection, Evidence, Finding, Method, MetricKind, Mode, PlanBody, PlanId, Presence, RunId,
    SeededIds, Severity, StepRecord, StepState, Timestamp, VerificationVerdict,
};
use holdfast_core::plan_check::{self, PlanFacts};
use holdfast_plugin_host::{Call, CallError, CollectedSample, Collects, Grant, Plugin, Proposal, Run, World};
use serde_json::{Map, Value, json};

use super::AskReport;
use super::case::{Ask, Case, FindingGiven, What};
use super::lay::Ground;
use super::world::{Fixture, target};
use crate::telemetry::Chain;

/// The host's name in every case.
const HOST: &str = "case-host";

/// What came of a case's questions.
pub(super) struct Played {
    pub(super) asks: Vec<AskReport>,
    /// Answers of the wrong kind, and texts that they do not hold.
    pub(super) problems: Vec<String>,
    /// The whole answers, for the golden file.
    pub(super) answers: Vec<Value>,
}

/// What later questions may refer to.
#[derive(Default)]
struct Memory {
    found: Vec<Detection>,
    proposed: Option<(Finding, PlanBody)>,
}

/// Asks everything; an error is a case that cannot be played.
pub(super) fn play(plugin: &Plugin, dir: &Path, file: &Path, case: &Case) -> Result<Played, String> {
    let plugin = granted(plugin, dir, case)?;
    let root = tempfile::tempdir().map_err(|error| format!("a directory for the case: {error}"))?;
    let beside = file.parent().unwrap_or(dir);
    let ground = Ground { root: root.path(), beside, now: case.now };
    let fixture = Arc::new(Fixture::new(case.now, root.path().to_owned()));
    ground.lay(&case.world)?;
    fixture.add(&case.world)?;
    let mut memory = Memory::default();
    let mut played = Played { asks: vec![], problems: vec![], answers: vec![] };
    for (number, ask) in case.ask.iter().enumerate() {
        let name = format!("question {} ({})", number + 1, ask.what.as_str());
        ground.lay(&ask.world).and_then(|()| fixture.add(&ask.world)).map_err(|why| format!("{name}: {why}"))?;
        let run =
            Run { id: RunId::new(case.now, &mut SeededIds(number as u64)), host_id: HOST.to_owned(), at: case.now };
        let (report, answer) =
            put(&plugin, &run, &fixture, ask, &mut memory).map_err(|why| format!("{name}: {why}"))?;
        let text = answer.to_string();
        if report.answer == ask.answer {
            let absent = ask.says.iter().filter(|part| !holds(&answer, part));
            played.problems.extend(absent.map(|part| format!("{name}: `{part}` is nowhere in the answer:\n{text}")));
        } else {
            let said = serde_json::to_string_pretty(&answer).unwrap_or(text);
            played.problems.push(format!("{name}: the answer is `{}`, not `{}`:\n{said}", report.answer, ask.answer));
        }
        played.asks.push(report);
        played.answers.push(answer);
    }
    Ok(played)
}

/// Whether a text stands in one of the texts of a document.
fn holds(document: &Value, part: &str) -> bool {
    match document {
        Value::String(text) => text.contains(part),
        Value::Array(all) => all.iter().any(|it| holds(it, part)),
        Value::Object(all) => all.values().any(|it| holds(it, part)),
        Value::Number(_) | Value::Bool(_) | Value::Null => false,
    }
}

fn granted(plugin: &Plugin, dir: &Path, case: &Case) -> Result<Plugin, String> {
    let mut grant = match &case.grant {
        None => Grant::everything(&plugin.manifest().with_settings(&case.settings), Mode::Auto),
        Some(file) => {
            let file = dir.join(file);
            let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            Grant::parse(&text).map_err(|error| format!("{}: {}", file.display(), Chain(&error)))?
        }
    };
    grant.settings.extend(case.settings.clone());
    plugin.granted(Some(grant)).map_err(|error| Chain(&error).to_string())
}

/// One question.
fn put(
    plugin: &Plugin,
    run: &Run,
    fixture: &Arc<Fixture>,
    ask: &Ask,
    memory: &mut Memory,
) -> Result<(AskReport, Value), String> {
    let world = Arc::clone(fixture) as Arc<dyn World>;
    match ask.what {
        What::Collect => Ok(finish(fixture, ask.what, plugin.collect(run, &world), |samples| {
            let answer = if samples.is_empty() { "nothing" } else { "measured" };
            let told: Vec<Value> = samples.iter().map(measured).collect();
            (answer, json!({ "samples": told }))
        })),
        What::Check | What::Detect => {
            let call = if ask.what == What::Check { plugin.check(run, &world) } else { plugin.detect(run, &world) };
            Ok(finish(fixture, ask.what, call, |report| {
                memory.found.clone_from(&report.detections);
                let answer = if report.detections.is_empty() { "clean" } else { "found" };
                let skipped: Vec<Value> =
                    report.skipped.iter().map(|(rule, why)| json!({ "rule": rule, "why": why })).collect();
                (answer, json!({ "detections": report.detections, "evaluated": report.evaluated, "skipped": skipped }))
            }))
        }
        What::Propose => {
            let finding = match &ask.finding {
                Some(given) => given.finding(run.at)?,
                None => match memory.found.first() {
                    Some(detection) => Finding::opened(detection, run.at, &mut SeededIds(0)),
                    None => {
                        return Err(
                            "there is no finding: give one, or ask for a check before that finds one".to_owned()
                        );
                    }
                },
            };
            let call = plugin.propose(run, &world, &finding);
            let mut problems = Vec::new();
            let (report, mut answer) = finish(fixture, ask.what, call, |proposal| {
                let Some(proposal) = proposal else { return ("nothing", json!({})) };
                let body = body(plugin, run, &finding, proposal);
                problems = check_plan(plugin, &finding, &body, run.at);
                let document = document(&body);
                memory.proposed = Some((finding.clone(), body));
                ("plan", document)
            });
            if problems.is_empty() {
                return Ok((report, answer));
            }
            // The plugin host let it pass, the agent's independent check would not.
            answer["plan_problems"] = json!(problems);
            Ok((AskReport { answer: "refused", ..report }, answer))
        }
        What::Verify => {
            let Some((finding, body)) = &memory.proposed else {
                return Err("there is no plan to verify: ask for one before".to_owned());
            };
            let done = |step: &holdfast_core::model::Step| StepRecord {
                step: step.id.clone(),
                state: StepState::Done,
                started_at: Some(run.at),
                finished_at: Some(run.at),
                effects: vec![],
                undo_token: None,
                message: None,
            };
            let outcomes: Vec<StepRecord> = body.steps.iter().map(done).collect();
            let call = plugin.verify(run, &world, finding, body, &outcomes);
            Ok(finish(fixture, ask.what, call, |verdict| {
                let answer = match verdict.verdict {
                    VerificationVerdict::Healed => "healed",
                    VerificationVerdict::NotHealed => "not-healed",
                    VerificationVerdict::Inconclusive => "unsure",
                };
                (answer, json!({ "text": verdict.text }))
            }))
        }
    }
}

/// The kind of the answer and the whole of it; state is kept as the agent would keep it.
fn finish<T>(
    fixture: &Fixture,
    what: What,
    call: Call<T>,
    say: impl FnOnce(&T) -> (&'static str, Value),
) -> (AskReport, Value) {
    let (answer, mut document) = match &call.result {
        Ok(result) => say(result),
        Err(error @ (CallError::Answered { .. } | CallError::NoRole { .. })) => {
            ("unable", json!({ "error": Chain(error).to_string() }))
        }
        Err(error) => ("refused", json!({ "error": Chain(error).to_string() })),
    };
    fixture.keep(&call.state);
    let mut whole = Map::new();
    whole.insert("ask".to_owned(), json!(what.as_str()));
    whole.insert("answer".to_owned(), json!(answer));
    whole.extend(std::mem::take(&mut document).as_object().cloned().unwrap_or_default());
    if !call.state.is_empty() {
        let text = |value: &Option<Vec<u8>>| match value {
            None => Value::Null,
            Some(bytes) => {
                String::from_utf8(bytes.clone()).map_or_else(|_| json!({ "hex": hex(bytes) }), Value::String)
            }
        };
        let kept: Map<String, Value> = call.state.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        whole.insert("state".to_owned(), Value::Object(kept));
    }
    if !call.log.is_empty() {
        let line = |it: &holdfast_plugin_host::LogLine| {
            let level = format!("{:?}", it.level).to_lowercase();
            let fields: Map<String, Value> = it.fields.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
            json!({ "level": level, "message": it.message, "fields": fields })
        };
        whole.insert("log".to_owned(), call.log.iter().map(line).collect());
    }
    let mut whole = Value::Object(whole);
    own(&mut whole);
    let report = AskReport {
        ask: what.as_str(),
        answer,
        elapsed_us: u64::try_from(call.cost.elapsed.as_micros()).unwrap_or(u64::MAX),
        memory_peak_bytes: call.cost.memory_peak_bytes,
        host_calls: call.cost.host_calls,
    };
    (report, whole)
}

/// Files belong to whoever plays the case, which must not show in what is compared.
fn own(document: &mut Value) {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match document {
        Value::Array(all) => all.iter_mut().for_each(own),
        Value::Object(all) => {
            for (key, value) in all.iter_mut() {
                match key.as_str() {
                    "uid" if *value == json!(uid) => *value = json!("own"),
                    "gid" if *value == json!(gid) => *value = json!("own"),
                    _ => own(value),
                }
            }
        }
        _ => {}
    }
}

/// A sample as a reviewer wants to see it.
fn measured(sample: &CollectedSample) -> Value {
    let CollectedSample { key, collects, value, at } = sample;
    let instrument = match (collects, key.kind) {
        (Collects::Delta, _) => "delta",
        (Collects::Value, MetricKind::Counter) => "counter",
        (Collects::Value, MetricKind::Gauge) => "gauge",
    };
    let (metric, unit, attributes) = (&key.metric, &key.unit, &key.attributes);
    json!({ "metric": metric, "unit": unit, "instrument": instrument, "attributes": attributes, "value": value, "at": at })
}

/// What of a plan a reviewer wants to see: neither ids nor the component's digest, which change with every build.
fn document(body: &PlanBody) -> Value {
    json!({
        "summary": body.summary,
        "target": body.target,
        "confidence": body.confidence,
        "steps": body.steps,
        "evidence": body.evidence,
        "settle_ms": body.settle_ms,
        "expires_at": body.expires_at,
    })
}

/// The plan as the agent would seal it.
fn body(plugin: &Plugin, run: &Run, finding: &Finding, proposal: &Proposal) -> PlanBody {
    let Proposal { summary, target, confidence, steps, evidence, settle_ms, expires_at } = proposal.clone();
    PlanBody {
        id: PlanId::new(run.at, &mut SeededIds(0)),
        finding: finding.id.clone(),
        target,
        proposed_by: format!("{} {}", plugin.id(), plugin.version()),
        plugin_digest: plugin.digest().to_owned(),
        run: run.id.clone(),
        summary,
        confidence,
        steps,
        evidence,
        settle_ms,
        made_at: run.at,
        expires_at,
    }
}

fn check_plan(plugin: &Plugin, finding: &Finding, body: &PlanBody, now: Timestamp) -> Vec<String> {
    let propose = plugin.grant().map(|grant| grant.propose.clone()).unwrap_or_default();
    let facts = PlanFacts { finding, actions: &propose.actions, units: &propose.units, paths: &propose.paths, now };
    plan_check::check(body, &facts)
}

impl FindingGiven {
    fn finding(&self, now: Timestamp) -> Result<Finding, String> {
        let confidence = Confidence::new(self.confidence.unwrap_or(1.0))
            .map_err(|_| "finding.confidence is a number from 0 to 1".to_owned())?;
        let detection = Detection {
            kind: self.kind.clone(),
            class: Class::Reliability,
            target: target(&self.target).map_err(|why| format!("finding.target: {why}"))?,
            discriminator: String::new(),
            presence: Presence::Present,
            title: format!("{}: {}", self.kind, self.target),
            severity: self.severity.unwrap_or(Severity::High),
            confidence,
            method: Method { name: "case".to_owned(), version: 1 },
            evidence: self.evidence.iter().map(|(name, value)| Evidence::new(name, value.clone())).collect(),
            began_at: now,
            cause: None,
        };
        Ok(Finding::opened(&detection, now, &mut SeededIds(0)))
    }
}
