//! The watch: signals name units, the units are read, differences are told.
//!
//! Signals are drained all the time into a set of names, because zbus stops reading (answers too) while a queue of signals is
//! full. The set is bounded by the units that exist; beyond its bound a look at all units takes its place.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use zbus::export::futures_core::Stream;
use zbus::message::{Message, Type};
use zbus::{Connection, MatchRule, MessageStream};

use super::properties::name_of_path;
use super::view::{View, matters, relevant};
use super::{Systemd, SystemdError, UnitChange, read};
use crate::telemetry::Chain;

/// Time between two looks at all units.
const SYNC_EVERY: Duration = Duration::from_mins(1);
/// The signals of one transition come in pairs: one read serves both.
const DEBOUNCE: Duration = Duration::from_millis(3);
/// A unit that could not be read is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Names that wait to be read; beyond it all units are looked at.
const DIRTY_MAX: usize = 8_192;
/// Signals that wait to be drained.
const SIGNALS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What the signals asked for.
#[derive(Debug, Default)]
struct Dirty {
    names: BTreeSet<String>,
    /// Compare the list of units with the view.
    sync: bool,
    /// Read every unit in view: unit files may have changed.
    all: bool,
    /// systemd was replaced: it must be told again that we listen.
    resubscribe: bool,
    /// The bus closed.
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    dirty: Mutex<Dirty>,
    wake: Notify,
}

impl Shared {
    fn mark(&self, mark: impl FnOnce(&mut Dirty)) {
        mark(&mut self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    fn take(&self) -> Dirty {
        std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Until the receiver is dropped.
pub(super) async fn run(systemd: Systemd, to: mpsc::Sender<UnitChange>) {
    let mut view = View::default();
    let mut backoff = BACKOFF_MIN;
    loop {
        let error = tokio::select! {
            () = to.closed() => return,
            result = connected(&systemd, &to, &mut view, &mut backoff) => match result {
                Ok(()) => return,
                Err(error) => error,
            },
        };
        let why = Chain(&error).to_string();
        if systemd.status().why.as_ref() != Some(&why) {
            tracing::warn!(error = %why, "Units cannot be seen; asking again later.");
        }
        systemd.set_status(|status| {
            status.disconnects += u64::from(status.connected);
            status.connected = false;
            status.why = Some(why);
        });
        tokio::select! {
            () = to.closed() => return,
            () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MAX),
        }
    }
}

/// One connection's life. `Ok`: the receiver was dropped.
async fn connected(
    systemd: &Systemd,
    to: &mpsc::Sender<UnitChange>,
    view: &mut View,
    backoff: &mut Duration,
) -> Result<(), SystemdError> {
    let connection = systemd.connection().await?;
    // A connection that was kept may have lost its subscription together with systemd.
    read::subscribe(&connection, systemd.0.bus.as_str()).await?;
    let shared = Arc::new(Shared::default());
    let streams = listen(&connection).await?;
    let drain = tokio::spawn(drain(streams, Arc::clone(&shared)));
    let result = follow(systemd, &connection, &shared, to, view, backoff).await;
    drain.abort();
    result
}

async fn follow(
    systemd: &Systemd,
    connection: &Connection,
    shared: &Shared,
    to: &mpsc::Sender<UnitChange>,
    view: &mut View,
    backoff: &mut Duration,
) -> Result<(), SystemdError> {
    let units_max = systemd.0.units_max;
    let mut sync = tokio::time::interval(SYNC_EVERY);
    sync.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut exceeding = 0;
    let mut failed: Vec<String> = Vec::new();
    loop {
        let timed = tokio::select! {
            _ = sync.tick() => true,
            () = shared.wake.notified() => {
                tokio::time::sleep(DEBOUNCE).await;
                false
            }
        };
        let mut dirty = shared.take();
        if dirty.closed {
            return Err(SystemdError::Closed { bus: systemd.0.bus.as_str() });
        }
        if dirty.resubscribe {
            read::subscribe(connection, systemd.0.bus.as_str()).await?;
        }
        if timed || dirty.sync {
            let (listed, left_out) = relevant(read::list(connection).await?, units_max);
            exceeding = left_out;
            dirty.names.extend(view.stale(&listed));
            dirty.names.extend(failed.drain(..));
        }
        if dirty.all {
            dirty.names.extend(view.names().cloned());
        }
        let mut room = units_max.saturating_sub(view.len());
        dirty.names.retain(|name| {
            let fits = view.knows(name) || room > 0;
            room = room.saturating_sub(usize::from(fits && !view.knows(name)));
            fits
        });
        let states = read::states(connection, dirty.names.into_iter().collect()).await?;
        for (name, state) in states.read {
            if let Some(change) = view.take(&name, state, systemd.0.clock.wall())
                && to.send(change).await.is_err()
            {
                return Ok(());
            }
        }
        if !states.failed.is_empty() {
            failed.extend(states.failed);
            sync.reset_after(RETRY_AFTER);
        }
        *backoff = BACKOFF_MIN;
        let now = systemd.0.clock.wall();
        systemd.set_status(|status| {
            status.connected = true;
            status.why = None;
            status.units = view.len();
            status.left_out = exceeding;
            if timed || dirty.sync {
                status.synced_at = Some(now);
            }
        });
    }
}

/// Changed properties of units; what the manager says; who systemd is.
struct Streams {
    properties: MessageStream,
    manager: MessageStream,
    owner: MessageStream,
}

async fn listen(connection: &Connection) -> Result<Streams, SystemdError> {
    let open = async |rule: zbus::Result<MatchRule<'static>>| -> Result<MessageStream, SystemdError> {
        let call = |source| SystemdError::Call { what: "listen to systemd's signals".to_owned(), source };
        MessageStream::for_match_rule(rule.map_err(call)?, connection, Some(SIGNALS_MAX)).await.map_err(call)
    };
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    Ok(Streams {
        properties: open(
            signal()
                .sender(read::SYSTEMD)
                .interface("org.freedesktop.DBus.Properties")
                .member("PropertiesChanged")
                .path_namespace("/org/freedesktop/systemd1/unit")
                .build(),
        )
        .await?,
        manager: open(signal().sender(read::SYSTEMD).interface(read::MANAGER).path(read::MANAGER_PATH).build()).await?,
        owner: open(
            signal()
                .sender("org.freedesktop.DBus")
                .interface("org.freedesktop.DBus")
                .member("NameOwnerChanged")
                .arg(0, read::SYSTEMD)
                .build(),
        )
        .await?,
    })
}

/// The next message of a stream; `None` at its end. Safe to cancel.
async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

async fn drain(mut streams: Streams, shared: Arc<Shared>) {
    loop {
        let message = tokio::select! {
            message = next(&mut streams.properties) => message,
            message = next(&mut streams.manager) => message,
            message = next(&mut streams.owner) => message,
        };
        match message {
            Some(Ok(message)) => note(&message, &shared),
            // A message that cannot be read may have named any unit.
            Some(Err(_)) => shared.mark(|dirty| (dirty.sync, dirty.all) = (true, true)),
            None => return shared.mark(|dirty| dirty.closed = true),
        }
    }
}

fn note(message: &Message, shared: &Shared) {
    let header = message.header();
    let member = header.member().map(|member| member.as_str().to_owned()).unwrap_or_default();
    let unit = match member.as_str() {
        "PropertiesChanged" => header.path().and_then(|path| name_of_path(path.as_str())),
        "UnitNew" | "UnitRemoved" => {
            message.body().deserialize::<(String, zbus::OwnedObjectPath)>().ok().map(|(name, _)| name)
        }
        "Reloading" => {
            if message.body().deserialize::<bool>().is_ok_and(|begins| !begins) {
                shared.mark(|dirty| (dirty.sync, dirty.all) = (true, true));
            }
            None
        }
        "NameOwnerChanged" => {
            let owner = message.body().deserialize::<(String, String, String)>();
            if owner.is_ok_and(|(_, _, new)| !new.is_empty()) {
                shared.mark(|dirty| (dirty.resubscribe, dirty.sync, dirty.all) = (true, true, true));
            }
            None
        }
        _ => None,
    };
    if let Some(unit) = unit.filter(|unit| matters(unit)) {
        shared.mark(|dirty| {
            dirty.names.insert(unit);
            if dirty.names.len() > DIRTY_MAX {
                dirty.names.clear();
                (dirty.sync, dirty.all) = (true, true);
            }
        });
    }
}
