//! What a condition can name, and its values for one set of inputs.
//!
//! What is not known, or too large to look at, is absent: a condition that names it then fails to evaluate, which is a reason
//! for the stricter verdict. Nothing is cut to fit, because a cut text could lie.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::objects::Key;
use cel::{Context, Env, Value as Cel};

use super::inputs::Inputs;
use crate::model::{Action, Finding, Plan, UnitState, Value};

/// Longest text that a condition can look at, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// Longest list that a condition can look at.
const LIST_MAX: usize = 256;
/// Most pieces of evidence that a condition can look at; with more, none is there.
const EVIDENCE_MAX: usize = 256;

/// What is below a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// These fields and no others.
    Fields(&'static [(&'static str, Shape)]),
    /// Any field; what is there is known only when it is evaluated.
    Open,
    /// A text, number or truth value.
    Plain,
}

use Shape::{Fields, Open, Plain};

/// The variables.
pub(super) const VARIABLES: &[(&str, Shape)] = &[
    (
        "finding",
        Fields(&[
            ("kind", Plain),
            ("class", Plain),
            ("severity", Plain),
            ("severity_level", Plain),
            ("confidence", Plain),
            ("title", Plain),
            ("count", Plain),
            ("method", Plain),
            ("cause", Plain),
            ("subject", Fields(&[("kind", Plain), ("name", Plain), ("unit", Plain), ("path", Plain)])),
            ("evidence", Open),
        ]),
    ),
    ("host", Open),
    (
        "unit",
        Fields(&[
            ("name", Plain),
            ("load_state", Plain),
            ("active_state", Plain),
            ("sub_state", Plain),
            ("result", Plain),
            ("unit_file_state", Plain),
            ("restart", Plain),
            ("n_restarts", Plain),
            ("restarts_since", Plain),
        ]),
    ),
    ("deployment", Fields(&[("in_progress", Plain), ("running", Plain)])),
    ("plan", Fields(&[("risk", Plain), ("steps", Plain), ("reversible", Plain), ("confidence", Plain)])),
];

/// Facts about the machine that the agent provides. Naming another one is a warning: it may be absent for ever.
pub(super) const HOST_FACTS: &[&str] = &["memory_available_ratio", "cpu_busy_ratio", "load_1m", "cpus"];

/// The language, without its optional syntax.
pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// The values, ready to be looked at.
pub(super) struct Facts(pub(super) Context<'static, 'static>);

impl Facts {
    /// For one set of inputs.
    pub(super) fn new(inputs: &Inputs) -> Self {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_from_value("finding", finding(&inputs.finding));
        context.add_variable_from_value("host", host(inputs));
        let unit_values = inputs.unit.as_ref().map(|state| unit(state, inputs));
        context.add_variable_from_value("unit", unit_values.unwrap_or_default().done());
        let running = i64::try_from(inputs.deployments_running.len()).unwrap_or(i64::MAX);
        let deployment = Fill::default().put("in_progress", running > 0).put("running", running);
        context.add_variable_from_value("deployment", deployment.done());
        context.add_variable_from_value("plan", inputs.plan.as_ref().map(plan).unwrap_or_default().done());
        Self(context)
    }
}

/// A map in the making.
#[derive(Default)]
struct Fill(HashMap<Key, Cel>);

impl Fill {
    fn put(mut self, name: &str, value: impl Into<Cel>) -> Self {
        self.0.insert(Key::from(name), value.into());
        self
    }
    fn text(self, name: &str, value: &str) -> Self {
        if value.len() <= TEXT_BYTES_MAX { self.put(name, value) } else { self }
    }
    fn done(self) -> Cel {
        Cel::from(self.0)
    }
}

fn value(value: &Value) -> Option<Cel> {
    match value {
        Value::Boolean(v) => Some(Cel::from(*v)),
        Value::Integer(v) => Some(Cel::from(*v)),
        Value::Number(v) if v.is_finite() => Some(Cel::from(*v)),
        Value::Number(_) => None,
        Value::Text(v) => (v.len() <= TEXT_BYTES_MAX).then(|| Cel::from(v.as_str())),
        Value::Texts(v) => (v.len() <= LIST_MAX && v.iter().all(|text| text.len() <= TEXT_BYTES_MAX))
            .then(|| Cel::from(v.iter().map(String::as_str).collect::<Vec<_>>())),
    }
}

fn finding(finding: &Finding) -> Cel {
    let target = &finding.target;
    let named_by = |kinds: &[&str]| if kinds.contains(&target.kind.as_str()) { target.name.as_str() } else { "" };
    let subject = Fill::default()
        .text("kind", &target.kind)
        .text("name", &target.name)
        .text("unit", named_by(&["unit"]))
        .text("path", named_by(&["file", "directory", "filesystem"]));
    let mut evidence = Fill::default();
    if finding.evidence.len() <= EVIDENCE_MAX {
        for piece in finding.evidence.iter().filter(|piece| piece.name.len() <= TEXT_BYTES_MAX) {
            if let Some(known) = value(&piece.value) {
                evidence = evidence.put(&piece.name, known);
            }
        }
    }
    let class = match finding.class {
        crate::model::Class::Reliability => "reliability",
        crate::model::Class::Security => "security",
        crate::model::Class::Compliance => "compliance",
    };
    Fill::default()
        .text("kind", &finding.kind)
        .text("class", class)
        .text("severity", finding.severity.as_str())
        .put("severity_level", finding.severity as i64)
        .put("confidence", finding.confidence.get())
        .text("title", &finding.title)
        .put("count", i64::try_from(finding.count).unwrap_or(i64::MAX))
        .text("method", &finding.method.name)
        .text("cause", finding.cause.as_ref().map_or("", |cause| cause.as_str()))
        .put("subject", subject.done())
        .put("evidence", evidence.done())
        .done()
}

fn host(inputs: &Inputs) -> Cel {
    let known = |fill: Fill, (name, fact): (&String, &Value)| match value(fact) {
        Some(known) => fill.put(name, known),
        None => fill,
    };
    inputs.host.iter().take(LIST_MAX).fold(Fill::default(), known).done()
}

fn unit(unit: &UnitState, inputs: &Inputs) -> Fill {
    Fill::default()
        .text("name", &unit.name)
        .text("load_state", &unit.load_state)
        .text("active_state", &unit.active_state)
        .text("sub_state", &unit.sub_state)
        .text("result", &unit.result)
        .text("unit_file_state", &unit.unit_file_state)
        .text("restart", &unit.restart)
        .put("n_restarts", i64::from(unit.n_restarts))
        .put("restarts_since", restarts_since(unit, inputs))
}

/// Automatic restarts since the finding, or since the plan's own start: a start by hand sets systemd's counter to 0, so with a plan
/// that restarts the unit all that it counts came afterwards.
fn restarts_since(unit: &UnitState, inputs: &Inputs) -> i64 {
    let now = i64::from(unit.n_restarts);
    let restarted_by_plan = inputs.plan.as_ref().is_some_and(|plan| {
        plan.body()
            .steps
            .iter()
            .any(|step| matches!(&step.action, Action::RestartUnit { unit: name, .. } if *name == unit.name))
    });
    match inputs.finding.evidence("unit.n_restarts") {
        Some(Value::Integer(then)) if !restarted_by_plan && *then <= now => now - then,
        _ => now,
    }
}

fn plan(plan: &Plan) -> Fill {
    Fill::default()
        .text("risk", plan.risk().as_str())
        .put("steps", i64::try_from(plan.body().steps.len()).unwrap_or(i64::MAX))
        .put("reversible", plan.is_reversible())
        .put("confidence", plan.body().confidence.get())
}
