//! The agent as it is shipped, over a directory whose samples lie in the past.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Result;
use crate::host::Running;
use crate::http::Client;
use crate::peer::start;

/// Longest wait for the agent.
const PATIENCE: Duration = Duration::from_secs(30);

/// How it is started, again and again.
pub(crate) struct Past {
    own: tempfile::TempDir,
    data: PathBuf,
}

impl Past {
    /// `data`: its directory. No policy and no plugins.
    pub(crate) fn new(data: &Path) -> Result<Self> {
        let own = tempfile::tempdir()?;
        // The workload lies in the past, where a fresh agent would make hours of it.
        std::fs::write(
            own.path().join("holdfast.toml"),
            format!(
                "[store]\nsize-max = \"8GiB\"\nretention = \"3650d\"\nretention-minutes = \"3650d\"\nretention-hours = \"3650d\"\n\
                 [policy]\ndir = \"{0}\"\n[plugins]\ndirs = [\"{0}\"]\ngrants = \"{0}\"\n",
                own.path().join("none").display()
            ),
        )?;
        Ok(Self { own, data: data.to_owned() })
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.own.path().join("holdfast.sock")
    }

    /// A path beside its configuration.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.own.path().join(name)
    }

    /// Starts it, with this in its environment, as `NAME=value`.
    pub(crate) fn start(&self, environment: &[String]) -> Result<Running> {
        let (config, socket) = (self.beside("holdfast.toml"), self.socket());
        let words = environment.iter().cloned().chain(
            [
                env!("CARGO_BIN_EXE_holdfast"),
                "--config",
                &config.display().to_string(),
                "--socket",
                &socket.display().to_string(),
                "run",
                "--data-dir",
                &self.data.display().to_string(),
            ]
            .map(str::to_owned),
        );
        Ok(Running(vec![start("env", "coreutils", &self.beside("log"), &words.collect::<Vec<_>>())?]))
    }

    /// Waits until it answers.
    pub(crate) fn answers(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            match Client::unix(&self.socket()) {
                Ok(_) => return Ok(()),
                Err(why) if began.elapsed() > PATIENCE => {
                    return Err(format!("the agent does not answer: {why}").into());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
