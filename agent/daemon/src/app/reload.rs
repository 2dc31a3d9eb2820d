//! Configuration, policy, plugins and grants read again: what can be replaced while the agent runs is, the rest is named.
//!
//! A mistake in a text keeps everything as it was. A file that the configuration names and that cannot be used (a token, a certificate)
//! keeps what needs it as it was, and is said.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::exports::Exports;
use super::hands::Reload;
use super::{ingest, policy};
use crate::api::Access;
use crate::config::{self, Config, Overrides};
use crate::event_loop::Reloaded;
use crate::ingest::Ingest;
use crate::plugins::Plugins;

/// What a reload reaches.
pub(super) struct Reach {
    /// What the configuration was read from.
    pub(super) source: (Option<PathBuf>, Overrides),
    /// What the agent was started with.
    pub(super) started: Config,
    pub(super) access: watch::Sender<Access>,
    pub(super) plugins: Arc<Plugins>,
    pub(super) exports: Arc<Exports>,
    pub(super) ingest: Ingest,
}

/// See the module.
pub(super) fn reloader(reach: Reach) -> Arc<Reload> {
    // One at a time: two would end and begin the same things.
    let reach = Mutex::new(reach);
    Arc::new(move || reach.lock().unwrap_or_else(PoisonError::into_inner).again())
}

impl Reach {
    fn again(&self) -> Reloaded {
        let failed = |problem: String| Reloaded {
            policy: None,
            policy_files: Vec::new(),
            problems: vec![problem],
            warnings: Vec::new(),
        };
        let config = match config::load(self.source.0.as_deref(), &self.source.1) {
            Ok(loaded) => loaded.config,
            Err(error) => return failed(error.to_string()),
        };
        let (policy, policy_files) = match policy::load(&config.policy.dir) {
            Ok(read) => read,
            Err(error) => return failed(error.to_string()),
        };
        let _ = self.access.send(super::access_of(&config));
        let taken = self.ingest.apply(&config.ingest, ingest::token(&config.ingest).as_deref());
        let mut warnings = self.exports.apply(&config.export);
        warnings.extend(taken.err().map(|why| format!("{why}; [ingest] stays as it was")));
        let problems = self.plugins.look();
        super::plugins::complain(&problems);
        warnings.extend(problems.iter().map(ToString::to_string));
        let waits = waiting(&self.started, &config);
        if !waits.is_empty() {
            warnings.push(format!("changed, and in force after `systemctl restart holdfast`: {}", waits.join(", ")));
        }
        for warning in &warnings {
            tracing::warn!(warning, "Read again with a reservation.");
        }
        Reloaded { policy: Some(policy), policy_files, problems: Vec::new(), warnings }
    }
}

/// What differs from what runs, and cannot be altered while it does.
fn waiting(runs: &Config, wanted: &Config) -> Vec<&'static str> {
    let Config {
        agent,
        collect,
        store,
        detect,
        data,
        redact,
        ingest: _,
        watch,
        inventory,
        units,
        policy: _,
        plugins,
        actuator,
        export: _,
        access,
        log,
        telemetry,
    } = runs;
    [
        ("[agent]", *agent != wanted.agent),
        ("[collect]", *collect != wanted.collect),
        ("[store]", *store != wanted.store),
        ("[detect]", *detect != wanted.detect),
        ("[data]", *data != wanted.data),
        ("[redact]", *redact != wanted.redact),
        ("[watch]", *watch != wanted.watch),
        ("[inventory]", *inventory != wanted.inventory),
        ("[units]", *units != wanted.units),
        ("[plugins]", *plugins != wanted.plugins),
        ("[actuator]", *actuator != wanted.actuator),
        ("[access] four-eyes", access.four_eyes != wanted.access.four_eyes),
        ("[log]", *log != wanted.log),
        ("[telemetry]", *telemetry != wanted.telemetry),
    ]
    .into_iter()
    .filter_map(|(name, altered)| altered.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_altered_and_cannot_be_while_it_runs_is_named() {
        let read = |text: &str| config::parse(text, "holdfast.toml").unwrap();
        let runs = read("[collect]\nevery = \"1s\"\n");
        let waits = |text: &str| waiting(&runs, &read(text));
        assert_eq!(waits("[collect]\nevery = \"1s\"\n"), Vec::<&str>::new());
        assert_eq!(waits("[ingest]\njournal = true\n[[export.otlp]]\nendpoint = \"http://x:1\"\n"), Vec::<&str>::new());
        assert_eq!(
            waits("[collect]\nevery = \"2s\"\n[access]\nfour-eyes = true\n"),
            ["[collect]", "[access] four-eyes"]
        );
    }
}
