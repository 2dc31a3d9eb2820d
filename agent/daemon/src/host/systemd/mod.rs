//! systemd's units and their changes, over D-Bus; `systemctl` is never started or parsed.
//!
//! Read only: restarting is the actuator's. Kept in view are services, sockets, timers and mounts, up to a bound; what
//! exceeds it is counted. A host without a bus or without systemd is a value with a reason, and is asked again later.
//! Every call has a deadline.

mod properties;
mod read;
mod view;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::model::{Timestamp, UnitState};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zbus::Connection;

use super::{Clock, SystemClock};

/// Longest wait for one answer of the bus or of systemd.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Units kept in view when nobody says otherwise.
const UNITS_MAX: usize = 4_096;

/// Whose systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// The host's.
    #[default]
    System,
    /// The user's own, by `DBUS_SESSION_BUS_ADDRESS` or `$XDG_RUNTIME_DIR/bus`.
    Session,
}

impl Bus {
    fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Session => "session",
        }
    }
}

/// Why systemd cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// There is no bus, or it doesn't let us in.
    #[error("no {bus} bus")]
    NoBus {
        /// `system` or `session`.
        bus: &'static str,
        /// Cause.
        #[source]
        source: zbus::Error,
    },
    /// There is a bus, and no systemd on it.
    #[error("systemd is not on the {bus} bus")]
    NoSystemd {
        /// `system` or `session`.
        bus: &'static str,
    },
    /// The bus went away.
    #[error("the {bus} bus closed the connection")]
    Closed {
        /// `system` or `session`.
        bus: &'static str,
    },
    /// One call failed.
    #[error("cannot {what}")]
    Call {
        /// `list the units`, `read web.service`.
        what: String,
        /// Cause.
        #[source]
        source: zbus::Error,
    },
    /// An answer took too long.
    #[error("cannot {what}: no answer within {} s", CALL_TIMEOUT.as_secs())]
    Timeout {
        /// What was asked.
        what: String,
    },
}

/// A unit's state changed, or is told for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitChange {
    /// What was told last; `None` the first time, and then it is no change: the unit may have been so for long.
    pub before: Option<UnitState>,
    /// As it is. A unit that systemd forgot has the load state `unloaded` and is inactive.
    pub now: UnitState,
    /// When it was read.
    pub at: Timestamp,
}

/// How the watch stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SystemdStatus {
    /// Whether units are in view.
    pub connected: bool,
    /// Why not, when they are not.
    pub why: Option<String>,
    /// Units in view.
    pub units: usize,
    /// Units that exceed the bound.
    pub left_out: usize,
    /// Times that the bus or systemd went away.
    pub disconnects: u64,
    /// Last full look.
    pub synced_at: Option<Timestamp>,
}

struct Inner {
    bus: Bus,
    units_max: usize,
    clock: Arc<dyn Clock>,
    connection: tokio::sync::Mutex<Option<Connection>>,
    status: Mutex<SystemdStatus>,
}

/// A way to systemd. Cheap to clone; connects when first needed, and again after a loss.
#[derive(Clone)]
pub struct Systemd(Arc<Inner>);

impl std::fmt::Debug for Systemd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Systemd").field("bus", &self.0.bus).field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Systemd {
    /// Not connected yet, so it cannot fail: for a host where the bus may come later or never.
    pub fn new(bus: Bus, units_max: usize, clock: Arc<dyn Clock>) -> Self {
        let status = SystemdStatus { why: Some("not asked yet".to_owned()), ..SystemdStatus::default() };
        Self(Arc::new(Inner {
            bus,
            units_max,
            clock,
            connection: tokio::sync::Mutex::default(),
            status: Mutex::new(status),
        }))
    }

    /// Connected, or the reason why not.
    pub async fn connect(bus: Bus) -> Result<Self, SystemdError> {
        let systemd = Self::new(bus, UNITS_MAX, Arc::new(SystemClock::new()));
        drop(systemd.connection().await?);
        Ok(systemd)
    }

    /// All units in view, sorted by name.
    pub async fn units(&self) -> Result<Vec<UnitState>, SystemdError> {
        let connection = self.connection().await?;
        let listed = read::list(&connection).await?;
        let (names, _) = view::relevant(listed, self.0.units_max);
        let states = read::states(&connection, names.into_keys().collect()).await?;
        if let Some(name) = states.failed.first() {
            return Err(SystemdError::Timeout { what: format!("read {name}") });
        }
        // In the order of their names already.
        Ok(states.read.into_values().flatten().collect())
    }

    /// One unit of any kind, read now; `None` when systemd knows no such unit.
    pub async fn unit(&self, name: &str) -> Result<Option<UnitState>, SystemdError> {
        read::load(&self.connection().await?, name).await
    }

    /// Tells every unit in view, then each change within milliseconds, until the receiver is dropped.
    ///
    /// Nothing is lost to a slow receiver: changes of one unit that wait become one. All units are looked at again every
    /// minute and after each loss of the bus.
    pub fn watch(self, to: mpsc::Sender<UnitChange>) -> JoinHandle<()> {
        tokio::spawn(watch::run(self, to))
    }

    /// How the watch stands.
    pub fn status(&self) -> SystemdStatus {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_status(&self, set: impl FnOnce(&mut SystemdStatus)) {
        set(&mut self.0.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The connection in use; a new one when there is none or it was closed.
    async fn connection(&self) -> Result<Connection, SystemdError> {
        let mut held = self.0.connection.lock().await;
        if let Some(connection) = held.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = read::open(self.0.bus).await?;
        *held = Some(connection.clone());
        Ok(connection)
    }
}
