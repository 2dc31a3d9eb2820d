//! Units for plugins: each question to systemd, within its time, from a blocking thread.

use std::time::Duration;

use holdfast_core::model::UnitState;
use holdfast_plugin_host::WorldError;
use tokio::runtime::Handle;

use super::world::UnitSource;
use crate::host::systemd::{Systemd, SystemdError};
use crate::telemetry::Chain;

/// systemd as plugins may ask it. Never asked from a thread of the runtime itself.
#[derive(Debug, Clone)]
pub struct SystemdUnits {
    systemd: Systemd,
    runtime: Handle,
}

impl SystemdUnits {
    /// Asks this systemd on this runtime.
    pub fn new(systemd: Systemd, runtime: Handle) -> Self {
        Self { systemd, runtime }
    }

    fn ask<T>(
        &self,
        within: Duration,
        question: impl Future<Output = Result<T, SystemdError>>,
    ) -> Result<T, WorldError> {
        match self.runtime.block_on(async { tokio::time::timeout(within, question).await }) {
            Ok(answer) => answer.map_err(|error| {
                let text = Chain(&error).to_string();
                match error {
                    SystemdError::NoBus { .. } | SystemdError::NoSystemd { .. } => WorldError::unsupported(text),
                    SystemdError::Timeout { .. } => WorldError::timeout(text),
                    SystemdError::Closed { .. } | SystemdError::Call { .. } => WorldError::io(text),
                }
            }),
            Err(_) => Err(WorldError::timeout(format!("systemd gave no answer within {} ms", within.as_millis()))),
        }
    }
}

impl UnitSource for SystemdUnits {
    fn unit(&self, name: &str, within: Duration) -> Result<Option<UnitState>, WorldError> {
        self.ask(within, self.systemd.unit(name))
    }

    fn units(&self, within: Duration) -> Result<Vec<UnitState>, WorldError> {
        self.ask(within, self.systemd.units())
    }
}
