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
mod privacy;
mod rate;
mod scrape;
mod server;
mod tally;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast_core::model::{Change, SampleBatch};
use holdfast_core::redact::Redactor;
use tokio::sync::{mpsc, watch};

use crate::host::Clock;
use crate::request::Door;
use crate::status::ReceiverStatus;
use body::Room;
use intake::Intake;
use rate::Rate;
use tally::Tally;
use token::Token;

pub use config::{IngestConfig, Limits, ScrapeTarget};
pub use intake::Registry;

/// What is taken in from applications and pipelines; cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    config: Arc<IngestConfig>,
    token: Option<Token>,
    clock: Arc<dyn Clock>,
    intake: Intake,
    http: Tally,
    grpc: Tally,
    cdevents: Tally,
    journal: Tally,
    targets: scrape::Standing,
    /// What was derived and found no room.
    derived: Tally,
}

impl Ingest {
    /// As configured; nothing listens yet. `token`: where the file lies that `token-file` names.
    pub fn new(
        config: &IngestConfig,
        token: Option<PathBuf>,
        registry: Arc<dyn Registry>,
        clock: Arc<dyn Clock>,
        redactor: Arc<Redactor>,
    ) -> Self {
        let address = |it: Option<SocketAddr>| it.map(|at| at.to_string()).unwrap_or_default();
        Self {
            intake: Intake::new(config.limits.clone(), registry, Arc::clone(&clock), redactor),
            http: Tally::new("otlp-http", address(config.otlp_http)),
            grpc: Tally::new("otlp-grpc", address(config.otlp_grpc)),
            cdevents: Tally::new("cdevents", address(config.cdevents)),
            journal: Tally::new("journal", journal::PROGRAM.to_owned()),
            targets: scrape::Standing::default(),
            derived: Tally::new("derived", String::new()),
            config: Arc::new(config.clone()),
            token: token.map(|path| Token::new(path, Arc::clone(&clock))),
            clock,
        }
    }

    /// Starts what is configured, on the runtime of the caller; everything ends when `stopping` says so. What pipelines altered
    /// goes into `changes`, deployments through the door.
    pub fn start(&self, changes: mpsc::Sender<Change>, door: Door, stopping: &watch::Receiver<bool>) {
        let limits = &self.config.limits;
        let room = Room::new(limits.body_max.0);
        let rate = Arc::new(Rate::new(limits.requests_per_second));
        let shared = otlp::Shared::new(self.intake.clone(), room.clone(), Arc::clone(&rate), Arc::clone(&self.clock));
        if let Some(address) = self.config.otlp_http {
            let handler = Arc::new(otlp::Http { shared: shared.clone(), tally: self.http.clone() });
            tokio::spawn(server::listen((address, self.token.clone()), handler, self.http.clone(), stopping.clone()));
        }
        if let Some(address) = self.config.otlp_grpc {
            let handler = Arc::new(otlp::Grpc { shared, tally: self.grpc.clone() });
            tokio::spawn(server::listen((address, self.token.clone()), handler, self.grpc.clone(), stopping.clone()));
        }
        if let Some(address) = self.config.cdevents {
            let limits = (room.clone(), rate);
            let to = (changes, door);
            let handler = cdevents::CdEvents::new(limits, Arc::clone(&self.clock), self.cdevents.clone(), to);
            let at = (address, self.token.clone());
            tokio::spawn(server::listen(at, Arc::new(handler), self.cdevents.clone(), stopping.clone()));
        }
        if self.config.journal {
            let journal = journal::Journal {
                program: journal::PROGRAM.into(),
                intake: self.intake.clone(),
                clock: Arc::clone(&self.clock),
                tally: self.journal.clone(),
            };
            tokio::spawn(journal.run(stopping.clone()));
        }
        if !self.config.scrape.is_empty() || self.config.scrape_dir.is_some() {
            let (clock, standing) = (Arc::clone(&self.clock), self.targets.clone());
            let scraper = scrape::Scraper { intake: self.intake.clone(), room, clock, standing };
            let (targets, dir) = (self.config.scrape.clone(), self.config.scrape_dir.clone());
            tokio::spawn(scrape::run(scraper, targets, dir, stopping.clone()));
        }
    }

    /// Puts what was said since the last tick into this one's batch.
    pub fn drain(&self, batch: &mut SampleBatch) {
        self.intake.drain(batch);
        for (reason, count) in self.intake.take_unsaid().0 {
            self.derived.reject(reason.word(), count);
            self.derived.error(&format!("series derived from spans are {}", reason.text()));
        }
    }

    /// How each receiver that is on stands.
    pub fn statuses(&self) -> Vec<ReceiverStatus> {
        let config = &self.config;
        let on = [
            (config.otlp_http.is_some(), &self.http),
            (config.otlp_grpc.is_some(), &self.grpc),
            (config.cdevents.is_some(), &self.cdevents),
            (config.journal, &self.journal),
        ];
        let mut all: Vec<ReceiverStatus> = on.iter().filter(|(on, _)| *on).map(|(_, it)| it.status()).collect();
        all.extend(self.targets.statuses());
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
