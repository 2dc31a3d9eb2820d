//! What was altered around the machine, and what its applications and pipelines say: watched files and packages; OTLP, scraped
//! targets, CDEvents and the journal. Units are told by `host::systemd`.
//!
//! Everything here reads and tells; it never judges and never acts. A notice that was lost is made good by a look at
//! everything; whatever exceeds a bound is counted and said, to the sender too.

mod body;
mod cdevents;
mod config;
pub mod dpkg;
pub mod files;
mod intake;
pub mod inventory;
mod journal;
mod otlp;
pub mod packages;
mod privacy;
mod rate;
pub mod rpm;
mod scrape;
mod server;
mod slot;
mod stored;
mod tally;
mod token;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_core::model::SampleBatch;
use holdfast_core::redact::Redactor;
use holdfast_plugin_host::{CollectedSample, Collects};
use tokio::sync::{mpsc, watch};

use crate::host::Clock;
use crate::request::Door;
use crate::status::ReceiverStatus;
use crate::store::Kept;
use body::Room;
use intake::{Intake, Point, Said};
use rate::Rate;
use slot::Slot;
use stored::Stored;
use tally::Tally;
use token::Token;

pub use cdevents::Told;
pub use config::{IngestConfig, Limits, ScrapeTarget};
pub use intake::Registry;

/// What is taken in from applications and pipelines; cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    clock: Arc<dyn Clock>,
    intake: Intake,
    stored: Stored,
    room: Room,
    rate: Arc<Rate>,
    http: Tally,
    grpc: Tally,
    cdevents: Tally,
    journal: Tally,
    targets: scrape::Standing,
    /// What was derived and found no room.
    derived: Tally,
    /// What plugins measured.
    plugins: Tally,
    running: Arc<Mutex<Running>>,
}

/// An address, and where the token for it lies.
type Listening = (SocketAddr, Option<PathBuf>);

/// What runs.
#[derive(Default)]
struct Running {
    config: IngestConfig,
    http: Slot<Listening>,
    grpc: Slot<Listening>,
    cdevents: Slot<Listening>,
    journal: Slot<()>,
    scrape: Slot<()>,
    /// What the scraper is to read.
    plan: watch::Sender<scrape::Plan>,
    /// Where changes and deployments go, once there is a loop to take them.
    to: Option<(mpsc::Sender<Told>, Door)>,
    /// The agent ends: nothing is begun any more.
    ended: bool,
}

impl Ingest {
    /// With the limits of `config`; nothing listens yet. `kept` says which ticks are stored, `every` is the time between two.
    pub fn new(
        config: &IngestConfig,
        registry: Arc<dyn Registry>,
        (kept, every): (watch::Receiver<Kept>, Duration),
        clock: Arc<dyn Clock>,
        redactor: Arc<Redactor>,
    ) -> Self {
        let limits = &config.limits;
        let tally = |name: &str| Tally::new(name, String::new());
        Self {
            intake: Intake::new(limits.clone(), registry, Arc::clone(&clock), redactor),
            stored: Stored::new(kept, every),
            room: Room::new(limits.body_max.0),
            rate: Arc::new(Rate::new(limits.requests_per_second)),
            http: tally("otlp-http"),
            grpc: tally("otlp-grpc"),
            cdevents: tally("cdevents"),
            journal: Tally::new("journal", journal::PROGRAM.to_owned()),
            targets: scrape::Standing::default(),
            derived: tally("derived"),
            plugins: tally("plugins"),
            running: Arc::default(),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what is configured, on the runtime of the caller; everything ends when `stopping` says so. What pipelines altered
    /// goes into `changes`, deployments through the door. `token`: where the file lies that `token-file` names.
    pub fn start(
        &self,
        config: &IngestConfig,
        token: Option<&Path>,
        to: (mpsc::Sender<Told>, Door),
        mut stopping: watch::Receiver<bool>,
    ) {
        self.lock().to = Some(to);
        self.set(config, token);
        let it = self.clone();
        tokio::spawn(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
            it.stop();
        });
    }

    /// Lets run what this configuration says, on the caller's runtime. What it says as before goes on untouched, its connections, counts
    /// and series too; a listener on another address ends within seconds, after the requests under way. Reads a file.
    ///
    /// Errors: a sentence on the token, without which receivers would refuse everybody; nothing is altered then.
    pub fn apply(&self, config: &IngestConfig, token: Option<&Path>) -> Result<(), String> {
        if let Some(path) = token {
            Token::new(path.to_owned(), Arc::clone(&self.clock)).read()?;
        }
        self.set(config, token);
        Ok(())
    }

    fn set(&self, config: &IngestConfig, token: Option<&Path>) {
        let running = &mut *self.lock();
        if running.ended {
            return;
        }
        let limits = &config.limits;
        self.intake.set_limits(limits);
        self.room.set_most(limits.body_max.0);
        self.rate.set(limits.requests_per_second);
        let shared = || {
            let into = (self.intake.clone(), self.stored.clone());
            otlp::Shared::new(into, self.room.clone(), Arc::clone(&self.rate), Arc::clone(&self.clock))
        };
        let wanted = |address: Option<SocketAddr>| address.map(|it| (it, token.map(Path::to_owned)));
        running.http.set(wanted(config.otlp_http), |at, stopping| {
            let handler = otlp::Http { shared: shared(), tally: self.http.clone() };
            self.listen(at, handler, &self.http, stopping)
        });
        running.grpc.set(wanted(config.otlp_grpc), |at, stopping| {
            let handler = otlp::Grpc { shared: shared(), tally: self.grpc.clone() };
            self.listen(at, handler, &self.grpc, stopping)
        });
        if let Some(to) = running.to.clone() {
            running.cdevents.set(wanted(config.cdevents), |at, stopping| {
                let limits = (self.room.clone(), Arc::clone(&self.rate));
                let handler = cdevents::CdEvents::new(
                    limits,
                    Arc::clone(&self.clock),
                    self.cdevents.clone(),
                    to,
                    self.stored.clone(),
                );
                self.listen(at, handler, &self.cdevents, stopping)
            });
        }
        running.journal.set(config.journal.then_some(()), |(), stopping| {
            let journal = journal::Journal {
                program: journal::PROGRAM.into(),
                intake: self.intake.clone(),
                clock: Arc::clone(&self.clock),
                tally: self.journal.clone(),
            };
            journal.run(stopping)
        });
        let plan = scrape::Plan { targets: config.scrape.clone(), dir: config.scrape_dir.clone() };
        let any = !plan.targets.is_empty() || plan.dir.is_some();
        running.plan.send_if_modified(|it| {
            let altered = *it != plan;
            *it = plan;
            altered
        });
        let plan = running.plan.subscribe();
        running.scrape.set(any.then_some(()), |(), stopping| {
            let (clock, standing) = (Arc::clone(&self.clock), self.targets.clone());
            let scraper = scrape::Scraper { intake: self.intake.clone(), room: self.room.clone(), clock, standing };
            scrape::run(scraper, plan, stopping)
        });
        running.config = config.clone();
    }

    fn listen<H: server::Handler>(
        &self,
        (address, token): &Listening,
        handler: H,
        tally: &Tally,
        stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static + use<H> {
        let token = token.as_ref().map(|path| Token::new(path.clone(), Arc::clone(&self.clock)));
        tally.listens(address.to_string());
        tally.failing(None);
        server::listen((*address, token), Arc::new(handler), tally.clone(), stopping)
    }

    fn stop(&self) {
        let running = &mut *self.lock();
        running.ended = true;
        running.http.stop();
        running.grpc.stop();
        running.cdevents.stop();
        running.journal.stop();
        running.scrape.stop();
    }

    /// Puts what was said since the last tick into this one's batch.
    pub fn drain(&self, batch: &mut SampleBatch) {
        self.stored.tick(batch.at, || self.intake.drain(batch));
        for (reason, count) in self.intake.take_unsaid().0 {
            self.derived.reject(reason.word(), count);
            self.derived.error(&format!("series derived from spans are {}", reason.text()));
        }
    }

    /// Takes what a plugin measured, until the next tick; each plugin is a source of its own, with the bounds that all have.
    pub fn collected(&self, plugin: &str, samples: Vec<CollectedSample>) {
        let (source, redactor) = (format!("plugin:{plugin}"), self.intake.redactor());
        let mut accepted = 0;
        for CollectedSample { mut key, collects, value, at } in samples {
            for (name, value) in &mut key.attributes {
                *value = privacy::kept(redactor, name, std::mem::take(value));
            }
            let said = match collects {
                Collects::Value => Said::Value(value),
                Collects::Delta => Said::Delta(value),
            };
            match self.intake.point(&source, Point { key, at, start: None, said }) {
                Ok(()) => accepted += 1,
                Err(reason) => {
                    self.plugins.reject(reason.word(), 1);
                    self.plugins.error(&format!("a sample of plugin {plugin} is {}", reason.text()));
                }
            }
        }
        self.plugins.request(accepted);
    }

    /// How each receiver that is on stands.
    pub fn statuses(&self) -> Vec<ReceiverStatus> {
        let config = self.lock().config.clone();
        let on = [
            (config.otlp_http.is_some(), &self.http),
            (config.otlp_grpc.is_some(), &self.grpc),
            (config.cdevents.is_some(), &self.cdevents),
            (config.journal, &self.journal),
        ];
        let mut all: Vec<ReceiverStatus> = on.iter().filter(|(on, _)| *on).map(|(_, it)| it.status()).collect();
        all.extend(self.targets.statuses());
        let plugins = self.plugins.status();
        if plugins.requests > 0 {
            all.push(plugins);
        }
        let derived = self.derived.status();
        if !derived.rejected.is_empty() {
            all.push(ReceiverStatus {
                address: format!("{} of {} series", self.intake.series().0, self.intake.series().1),
                ..derived
            });
        }
        all
    }
}

#[cfg(test)]
mod tests;
