//! CDEvents in CloudEvents, in binary and structured mode. Pure.
//!
//! Of an event its type, subject, outcome, environment, artifact and names are kept; links and custom data may hold anything
//! and are not.

use holdfast_core::model::plan::hex;
use holdfast_core::model::{Attributes, Change, ChangeId, IdSource, Target, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Characters of one text that are kept.
const TEXT_CHARS_MAX: usize = 256;
/// Subjects that are changes here, and what they are called.
const SUBJECTS: [(&str, &str); 8] = [
    ("service", "service"),
    ("environment", "environment"),
    ("pipelinerun", "pipeline_run"),
    ("taskrun", "task_run"),
    ("build", "build"),
    ("artifact", "artifact"),
    ("change", "change"),
    ("incident", "incident"),
];
/// Fields of a subject's content that are kept, and their names in the change.
const KEPT: [(&str, &str); 9] = [
    ("/environment/id", "deployment.environment.name"),
    ("/artifactId", "artifact"),
    ("/outcome", "cdevents.outcome"),
    ("/errors", "cdevents.errors"),
    ("/pipelineName", "cicd.pipeline.name"),
    ("/taskName", "cicd.pipeline.task.name"),
    ("/pipelineRun/id", "cicd.pipeline.run.id"),
    ("/change/id", "vcs.change.id"),
    ("/name", "cdevents.name"),
];

/// What a CloudEvent says around its data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) specversion: String,
    pub(super) id: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) time: Option<String>,
}

/// One event that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Noted {
    pub(super) change: Change,
    /// What was deployed, when the event says enough to record a deployment.
    pub(super) deployed: Option<Deployed>,
}

/// A deployment as an event tells it: when it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deployed {
    pub(super) id: String,
    pub(super) service: String,
    pub(super) environment: String,
    pub(super) version: String,
    pub(super) artifact: Option<String>,
}

/// Without control characters, and no longer than a text may be.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// Structured mode: one JSON document. The error says what is missing.
pub(super) fn structured(body: &[u8]) -> Result<(Envelope, Value), String> {
    let document: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    let envelope = Envelope {
        specversion: text("specversion").unwrap_or_default(),
        id: text("id").unwrap_or_default(),
        source: text("source").unwrap_or_default(),
        kind: text("type").unwrap_or_default(),
        time: text("time"),
    };
    Ok((envelope, document.get("data").cloned().unwrap_or(Value::Null)))
}

/// Binary mode: the data is the body, the rest is in headers.
pub(super) fn binary(envelope: Envelope, body: &[u8]) -> Result<(Envelope, Value), String> {
    let data = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?
    };
    Ok((envelope, data))
}

/// Tells one event from all others.
pub(super) fn key(envelope: &Envelope) -> [u8; 32] {
    Sha256::digest(format!("{}\0{}", envelope.source, envelope.id).as_bytes()).into()
}

/// The change that an event tells of. The error says what is wrong with it.
pub(super) fn noted(envelope: &Envelope, data: &Value, now: Timestamp) -> Result<Noted, String> {
    if envelope.specversion != "1.0" {
        return Err(format!("CloudEvents 1.0 is understood, not `{}`", short(&envelope.specversion)));
    }
    for (name, value) in [("id", &envelope.id), ("source", &envelope.source), ("type", &envelope.kind)] {
        if value.trim().is_empty() || value.len() > 1_024 {
            return Err(format!("the event has no `{name}`, or one of more than 1024 bytes"));
        }
    }
    let inner = |pointer: &str| data.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let time = inner("/context/timestamp").or(envelope.time.as_deref());
    let at = match time {
        None => now,
        Some(text) => text.parse::<Timestamp>().map_err(|_| format!("`{}` is not a time of RFC 3339", short(text)))?,
    };
    if at.since(now).as_secs() > 60 {
        return Err("the event lies in the future; look at the clocks".to_owned());
    }
    let cdevent = envelope.kind.strip_prefix("dev.cdevents.").map(|rest| rest.split('.').collect::<Vec<_>>());
    let (mut kind, mut subject, mut verb) = ("cdevent.other".to_owned(), "cdevent".to_owned(), "told".to_owned());
    if let Some([what, predicate, ..]) = cdevent.as_deref() {
        let stated = inner("/context/type").ok_or("the data has no `context.type`: it is no CDEvent")?;
        if stated != envelope.kind {
            return Err(format!("the event is of type `{}`, its data of `{}`", short(&envelope.kind), short(stated)));
        }
        inner("/subject/id").ok_or("the data has no `subject.id`")?;
        if let Some((_, name)) = SUBJECTS.iter().find(|(it, _)| it == what)
            && (1..=32).contains(&predicate.len())
            && predicate.bytes().all(|b| b.is_ascii_lowercase())
        {
            (kind, subject, verb) = (format!("{name}.{predicate}"), (*name).to_owned(), (*predicate).to_owned());
        }
    }
    let name = short(inner("/subject/id").unwrap_or(&envelope.id));
    let mut attributes = Attributes::from([
        ("cloudevents.event_id".to_owned(), short(&envelope.id)),
        ("cloudevents.event_source".to_owned(), short(&envelope.source)),
        ("cloudevents.event_type".to_owned(), short(&envelope.kind)),
    ]);
    for (pointer, attribute) in KEPT {
        if let Some(value) = inner(&format!("/subject/content{pointer}")) {
            attributes.insert(attribute.to_owned(), short(value));
        }
    }
    if subject == "service" {
        attributes.insert("service.name".to_owned(), name.clone());
    }
    let key = key(envelope);
    let deployed = matches!(kind.as_str(), "service.deployed" | "service.upgraded")
        .then(|| deployed(&attributes, &name, &key))
        .flatten();
    let summary = match attributes.get("deployment.environment.name") {
        Some(environment) => format!("{subject} {name} was {verb} in {environment}"),
        None => format!("{subject} {name} was {verb}"),
    };
    let change = Change {
        // The same event, sent again after a restart, has the same id, and is stored once.
        id: ChangeId::new(at, &mut Same(key)),
        at,
        kind,
        target: Target::new(subject, name),
        actor: Some(format!("cdevents {}", short(&envelope.source))),
        summary,
        attributes,
        deployment: None,
        cause: None,
    };
    Ok(Noted { change, deployed })
}

/// Ids that follow from what they name.
struct Same([u8; 32]);

impl IdSource for Same {
    fn random(&mut self) -> [u8; 10] {
        let mut out = [0; 10];
        out.copy_from_slice(&self.0[..10]);
        out
    }
}

fn deployed(attributes: &Attributes, service: &str, key: &[u8; 32]) -> Option<Deployed> {
    let environment = attributes.get("deployment.environment.name")?.clone();
    // A package URL: `pkg:oci/shop@sha256%3Aabc?tag=1.2`.
    let artifact = attributes.get("artifact")?;
    let (name, query) = artifact.split_once('?').unwrap_or((artifact, ""));
    let at = name.rsplit_once('@').map(|(_, version)| version.replace("%3A", ":").replace("%3a", ":"));
    let tag = query.split('&').find_map(|pair| pair.strip_prefix("tag="));
    let digest = at.clone().filter(|it| it.starts_with("sha256:"));
    let version = tag.map(str::to_owned).or(at)?;
    let id = format!("cdevents/{}", hex(&key[..10]));
    Some(Deployed { id, service: service.to_owned(), environment, version, artifact: digest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn envelope(kind: &str) -> Envelope {
        let text = |it: &str| it.to_owned();
        Envelope { specversion: text("1.0"), id: text("1"), source: text("/ci"), kind: text(kind), time: None }
    }

    fn data(kind: &str, content: Value) -> Value {
        json!({ "context": { "type": kind }, "subject": { "id": "shop", "content": content } })
    }

    #[track_caller]
    fn check(kind: &str, expected: &str) {
        let noted = noted(&envelope(kind), &data(kind, json!({ "outcome": "success" })), NOW).unwrap();
        assert_eq!(noted.change.kind, expected);
        assert_eq!((noted.change.target.name.as_str(), noted.change.at), ("shop", NOW));
    }

    #[test]
    fn events_are_called_as_changes_are() {
        check("dev.cdevents.service.rolledback.0.2.0", "service.rolledback");
        check("dev.cdevents.pipelinerun.finished.0.2.0", "pipeline_run.finished");
        check("dev.cdevents.taskrun.started.0.2.0", "task_run.started");
        check("dev.cdevents.environment.modified.0.2.0", "environment.modified");
        check("dev.cdevents.testcaserun.finished.0.2.0", "cdevent.other");
        check("com.example.something", "cdevent.other");
    }

    #[test]
    fn a_deployed_service_with_environment_and_artifact_is_a_deployment() {
        let kind = "dev.cdevents.service.deployed.0.2.0";
        let content = json!({ "environment": { "id": "prod" }, "artifactId": "pkg:oci/shop@sha256%3Aab12?tag=1.4" });
        let deployed = noted(&envelope(kind), &data(kind, content), NOW).unwrap().deployed.unwrap();
        let Deployed { service, environment, version, artifact, .. } = deployed;
        assert_eq!(
            (service.as_str(), environment.as_str(), version.as_str(), artifact.as_deref()),
            ("shop", "prod", "1.4", Some("sha256:ab12"))
        );
        assert_eq!(noted(&envelope(kind), &data(kind, json!({})), NOW).unwrap().deployed, None);
    }

    #[test]
    fn the_same_event_has_the_same_id_and_another_source_another() {
        let kind = "dev.cdevents.build.finished.0.2.0";
        let of = |source: &str| {
            noted(&Envelope { source: source.into(), ..envelope(kind) }, &data(kind, json!({})), NOW).unwrap().change.id
        };
        assert_eq!(of("/ci"), of("/ci"));
        assert_ne!(of("/ci"), of("/other"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let kind = "dev.cdevents.build.finished.0.2.0";
        for (envelope, data, wanted) in [
            (Envelope { id: String::new(), ..envelope(kind) }, data(kind, json!({})), "no `id`"),
            (Envelope { specversion: "0.3".into(), ..envelope(kind) }, data(kind, json!({})), "CloudEvents 1.0"),
            (envelope(kind), Value::Null, "context.type"),
            (envelope(kind), json!({ "context": { "type": kind } }), "subject.id"),
            (envelope(kind), data("dev.cdevents.build.started.0.2.0", json!({})), "its data of"),
            (Envelope { time: Some("2126-01-01T00:00:00Z".into()), ..envelope(kind) }, data(kind, json!({})), "future"),
            (Envelope { time: Some("yesterday".into()), ..envelope(kind) }, data(kind, json!({})), "RFC 3339"),
        ] {
            let error = noted(&envelope, &data, NOW).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200), kind in "(dev\\.cdevents\\.)?\\PC{0,30}") {
            let _ = structured(&body);
            let _ = noted(&envelope(&kind), &data(&kind, json!({ "artifactId": kind, "environment": { "id": "x" } })), NOW);
        }
    }
}
