//! From the configured destinations to running exporters, at the start and at every reload.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{AppError, credential};
use crate::config::{ExportSection, OtlpDestination};
use crate::export::{self, ExportConfig, ExportError, ExportHandle, ExportStatus, Prepared, TlsFiles};
use crate::host::Clock;
use crate::store::{StateReader, TelemetryDb};
use crate::telemetry::Chain;

/// Wait for one that is to end; its tasks look at that between any two waits.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What every exporter needs.
pub(super) struct Parts {
    pub(super) telemetry: TelemetryDb,
    pub(super) state: StateReader,
    pub(super) resource: Vec<(String, String)>,
    pub(super) clock: Arc<dyn Clock>,
}

struct Running {
    config: ExportConfig,
    /// Its end is the word to stop.
    stop: watch::Sender<bool>,
    handle: ExportHandle,
}

#[derive(Default)]
struct All {
    list: Vec<Running>,
    /// How those stand that are ending; whoever looks meanwhile is not told that there are none.
    ending: Vec<ExportStatus>,
    /// The agent ends: nothing is begun any more.
    ended: bool,
}

/// The exporters that run.
pub(super) struct Exports {
    parts: Parts,
    all: Mutex<All>,
    /// Held by whoever alters what runs.
    altering: tokio::sync::Mutex<()>,
}

impl Exports {
    /// Starts one exporter a destination, on the caller's runtime; one that cannot be used is an error.
    pub(super) fn start(section: &ExportSection, parts: Parts) -> Result<Self, AppError> {
        let it = Self { parts, all: Mutex::default(), altering: tokio::sync::Mutex::default() };
        let mut prepared = Vec::new();
        for config in wanted(section) {
            prepared.push((config.clone(), it.prepare(config).map_err(AppError::Export)?));
        }
        it.lock().list = prepared.into_iter().map(begin).collect();
        Ok(it)
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self, config: ExportConfig) -> Result<Prepared, ExportError> {
        let Parts { telemetry, state, resource, clock } = &self.parts;
        export::prepare(config, telemetry.clone(), state.clone(), resource, Arc::clone(clock))
    }

    /// Lets run what the section says; for a thread that may block, with a runtime. What it says as before goes on untouched; a destination
    /// that was altered goes on at its position. One that cannot be used as it is written now goes on as it was, and is a sentence.
    pub(super) fn apply(&self, section: &ExportSection) -> Vec<String> {
        Handle::current().block_on(self.alter(section))
    }

    async fn alter(&self, section: &ExportSection) -> Vec<String> {
        let _altering = self.altering.lock().await;
        let mut problems = Vec::new();
        let mut stay: Vec<String> = Vec::new();
        let mut next = Vec::new();
        let runs: Vec<ExportConfig> = self.lock().list.iter().map(|it| it.config.clone()).collect();
        for config in wanted(section) {
            // One that was given a name is the one that it was without.
            let is_it = |it: &&ExportConfig| it.name == config.name || config.formerly.as_ref() == Some(&it.name);
            let was = runs.iter().find(is_it);
            if was == Some(&config) {
                stay.push(config.name);
                continue;
            }
            match self.prepare(config.clone()) {
                Ok(ready) => next.push((config, ready)),
                Err(error) => {
                    let stays = if was.is_some() { "it goes on as it was" } else { "nothing is sent to it" };
                    let hint = error.hint().map(|it| format!(" ({it})")).unwrap_or_default();
                    problems.push(format!("{}{hint}; {stays}", Chain(&error)));
                    stay.extend(was.map(|it| it.name.clone()));
                }
            }
        }
        let ending = {
            let all = &mut *self.lock();
            let (stays, ending): (Vec<Running>, _) =
                std::mem::take(&mut all.list).into_iter().partition(|it| stay.contains(&it.config.name));
            all.list = stays;
            all.ending = ending.iter().map(|it| it.handle.status()).collect();
            ending
        };
        end(ending).await;
        let mut all = self.lock();
        all.ending = Vec::new();
        if !all.ended {
            all.list.extend(next.into_iter().map(begin));
        }
        problems
    }

    /// How each stands; one that is altered just now, as it stood last.
    pub(super) fn statuses(&self) -> Vec<ExportStatus> {
        let all = self.lock();
        all.list.iter().map(|it| it.handle.status()).chain(all.ending.iter().cloned()).collect()
    }

    /// Ends all of them, for ever.
    pub(super) async fn stop(&self) {
        self.lock().ended = true;
        // What is being altered just now ends what it has to within the same time.
        let _altering = tokio::time::timeout(ENDS_WITHIN, self.altering.lock()).await;
        let list = std::mem::take(&mut self.lock().list);
        end(list).await;
    }
}

fn begin((config, ready): (ExportConfig, Prepared)) -> Running {
    let (stop, stopping) = watch::channel(false);
    Running { config, stop, handle: ready.start(&stopping) }
}

/// All of them at once.
async fn end(list: Vec<Running>) {
    let mut ending = tokio::task::JoinSet::new();
    for Running { config, stop, handle } in list {
        drop(stop);
        ending.spawn(async move {
            if tokio::time::timeout(ENDS_WITHIN, handle.stopped()).await.is_err() {
                tracing::warn!(destination = config.name, "An exporter did not end in time.");
            }
        });
    }
    while ending.join_next().await.is_some() {}
}

fn wanted(section: &ExportSection) -> Vec<ExportConfig> {
    let credentials = credential::directory();
    section.otlp.iter().map(|it| settings(it, &section.otlp, credentials.as_deref())).collect()
}

fn settings(it: &OtlpDestination, all: &[OtlpDestination], credentials: Option<&Path>) -> ExportConfig {
    let file = |text: &Option<String>| text.as_deref().map(|text| credential::place(text, credentials));
    // A destination that was given a name goes on where it was without one, unless that is another's by now.
    let taken = all.iter().any(|other| other.identity() == it.endpoint);
    ExportConfig {
        name: it.identity().to_owned(),
        formerly: (!taken).then(|| it.endpoint.clone()),
        protocol: it.protocol,
        compression: it.compression,
        headers: it.headers.iter().map(|(k, v)| (k.clone(), v.expose().to_owned())).collect(),
        headers_file: file(&it.headers_file),
        tls: TlsFiles { ca: file(&it.tls.ca_file), cert: file(&it.tls.cert_file), key: file(&it.tls.key_file) },
        streams: it.streams.clone(),
        interval: it.interval.0,
        timeout: it.timeout.0,
        ..ExportConfig::new(it.endpoint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::export::receiver::Receiver;
    use crate::host::SystemClock;
    use crate::store::{StateDb, TelemetryOptions};
    use holdfast_core::model::audit::AuditKey;
    use holdfast_core::model::{Attributes, MetricKind, SampleBatch, SeriesKey, Timestamp};

    async fn until(what: &str, holds: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} within 10 s");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_reload_moves_what_was_altered_leaves_the_rest_and_keeps_what_cannot_be_used_anew() {
        let dir = tempfile::tempdir().unwrap();
        let at = |second: i64| Timestamp::from_secs(1_800_000_000 + second);
        let options = TelemetryOptions { opened_at: at(0), ..TelemetryOptions::default() };
        let telemetry = TelemetryDb::open(dir.path(), options).unwrap();
        let state = StateDb::open(dir.path(), AuditKey::new([1; 32])).unwrap();
        let key =
            SeriesKey { metric: "x".into(), unit: "1".into(), kind: MetricKind::Gauge, attributes: Attributes::new() };
        let series = telemetry.registry().intern(&key).0;
        let tick = |second: i64| {
            let samples = vec![(series, second as f64)];
            telemetry.write_batch(Arc::new(SampleBatch { at: at(second), new_series: vec![], samples }));
            telemetry.flush().unwrap();
        };
        let parts = Parts {
            telemetry: telemetry.clone(),
            state: state.reader(),
            resource: Vec::new(),
            clock: Arc::new(SystemClock::new()),
        };
        let (near, far, moved) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
        let section = |far: &str, more: &str| {
            let text = format!(
                "[[export.otlp]]\nname = \"near\"\nendpoint = \"{}\"\ninterval = \"1s\"\n\
                 [[export.otlp]]\nname = \"far\"\nendpoint = \"{far}\"\ninterval = \"1s\"\nstreams = [\"metrics\"]\n{more}",
                near.endpoint
            );
            crate::config::parse(&text, "x").unwrap().export
        };
        let exports = Arc::new(Exports::start(&section(&far.endpoint, ""), parts).unwrap());
        let apply = |section: ExportSection| {
            let exports = Arc::clone(&exports);
            async move { tokio::task::spawn_blocking(move || exports.apply(&section)).await.unwrap() }
        };
        let sent = || -> Vec<(String, u64)> {
            let metrics = |it: &ExportStatus| it.streams.get("metrics").map_or(0, |it| it.sent);
            exports.statuses().iter().map(|it| (it.endpoint.clone(), metrics(it))).collect()
        };
        tick(1);
        until("both are told", || sent().iter().all(|(_, sent)| *sent == 1)).await;

        // One goes elsewhere, at its position; the other keeps its counts, so it was not begun anew. Nobody is told meanwhile that there
        // is one fewer, though the one that ends waits for an answer.
        far.will("/v1/metrics", 0, None, Vec::new());
        tick(2);
        until("far is asked", || far.bodies("/v1/metrics").len() == 2).await;
        let mut moving = tokio::spawn(apply(section(&moved.endpoint, "")));
        loop {
            assert_eq!(exports.statuses().len(), 2);
            if let Ok(moved) = tokio::time::timeout(Duration::from_millis(1), &mut moving).await {
                assert_eq!(moved.unwrap(), Vec::<String>::new());
                break;
            }
        }
        until("the second tick is told to both", || {
            sent().contains(&(near.endpoint.clone(), 2)) && sent().contains(&(moved.endpoint.clone(), 1))
        })
        .await;
        assert_eq!((far.bodies("/v1/metrics").len(), moved.bodies("/v1/metrics").len()), (2, 1));

        // Certificates that are not there: it goes on as it was.
        let problems = apply(section("https://127.0.0.1:9", "tls.ca-file = \"/nowhere/ca.pem\"\n")).await;
        assert!(
            problems[0].contains("/nowhere/ca.pem") && problems[0].ends_with("it goes on as it was"),
            "{problems:?}"
        );
        tick(3);
        until("the third, too", || sent().contains(&(moved.endpoint.clone(), 2))).await;

        // Nothing is wanted any more.
        assert_eq!(apply(ExportSection::default()).await, Vec::<String>::new());
        assert_eq!(sent(), []);
    }

    #[test]
    fn a_bare_name_is_a_credential_and_a_new_name_keeps_the_position() {
        let text = "[[export.otlp]]\nname = \"far\"\nendpoint = \"https://x:1\"\nheaders-file = \"token\"\n\
                    tls.ca-file = \"/etc/ca.pem\"\n[[export.otlp]]\nname = \"two\"\nendpoint = \"http://y:1\"\n\
                    [[export.otlp]]\nendpoint = \"http://y:1\"\n";
        let all = crate::config::parse(text, "x").unwrap().export.otlp;
        let of = |n: usize, dir| settings(&all[n], &all, dir);
        let far = of(0, Some(Path::new("/run/credentials/holdfast.service")));
        assert_eq!(far.headers_file.as_deref(), Some(Path::new("/run/credentials/holdfast.service/token")));
        assert_eq!(far.tls.ca.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!((far.name.as_str(), far.formerly.as_deref()), ("far", Some("https://x:1")));
        assert_eq!(of(0, None).headers_file.as_deref(), Some(Path::new("$CREDENTIALS_DIRECTORY/token")));
        assert_eq!((of(1, None).formerly, of(2, None).name.as_str()), (None, "http://y:1"));
    }
}
