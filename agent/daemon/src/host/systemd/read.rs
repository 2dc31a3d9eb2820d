//! The calls to the bus and to systemd.

use std::collections::BTreeMap;

use holdfast_core::model::UnitState;
use tokio::task::JoinSet;
use zbus::message::Message;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use crate::telemetry::Chain;

use super::properties::{Properties, kind_of, unit_state};
use super::{Bus, CALL_TIMEOUT, SystemdError};

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Units asked for at the same time, five calls each: dbus-daemon lets one connection wait for 128 answers, and others share it.
const AT_ONCE_MAX: usize = 8;

/// What one call of `ListUnits` tells about a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) load_state: String,
    pub(super) active_state: String,
    pub(super) sub_state: String,
}

/// Name, description, load state, active state, sub-state, followed unit, object path, job id, job type, job path.
type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// A fresh connection, and systemd told to send signals to it.
pub(super) async fn open(bus: Bus) -> Result<Connection, SystemdError> {
    let builder = match bus {
        Bus::System => zbus::connection::Builder::system(),
        Bus::Session => zbus::connection::Builder::session(),
    };
    let bus = bus.as_str();
    let built = tokio::time::timeout(CALL_TIMEOUT, builder.method_timeout(CALL_TIMEOUT).build());
    let connection = match built.await {
        Ok(built) => built.map_err(|source| SystemdError::NoBus { bus, source })?,
        Err(_) => return Err(SystemdError::Timeout { what: format!("connect to the {bus} bus") }),
    };
    subscribe(&connection, bus).await?;
    Ok(connection)
}

/// Asks systemd for signals; asking twice does no harm.
pub(super) async fn subscribe(connection: &Connection, bus: &'static str) -> Result<(), SystemdError> {
    match connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "Subscribe", &()).await {
        Ok(_) => Ok(()),
        Err(error) if is(&error, &["AlreadySubscribed"]) => Ok(()),
        Err(error) if is(&error, &["ServiceUnknown", "NameHasNoOwner", "Spawn.", "NotSupported"]) => {
            Err(SystemdError::NoSystemd { bus })
        }
        Err(source) => Err(SystemdError::Call { what: "subscribe to systemd's signals".to_owned(), source }),
    }
}

/// Whether a D-Bus error's name contains one of these.
fn is(error: &zbus::Error, names: &[&str]) -> bool {
    let name = match error {
        zbus::Error::MethodError(name, _, _) => name.to_string(),
        zbus::Error::FDO(error) => zbus::DBusError::name(error.as_ref()).to_string(),
        _ => return false,
    };
    names.iter().any(|wanted| name.contains(wanted))
}

async fn manager<B>(connection: &Connection, method: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::DynamicType,
{
    connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), method, body).await
}

/// Every unit that systemd has in memory.
pub(super) async fn list(connection: &Connection) -> Result<Vec<Listed>, SystemdError> {
    let call = |source| SystemdError::Call { what: "list the units".to_owned(), source };
    let reply = manager(connection, "ListUnits", &()).await.map_err(call)?;
    let rows: Vec<Row> = reply.body().deserialize().map_err(call)?;
    Ok(rows
        .into_iter()
        .map(|(name, _, load_state, active_state, sub_state, ..)| Listed { name, load_state, active_state, sub_state })
        .collect())
}

/// What became of reading many units.
#[derive(Debug, Default)]
pub(super) struct States {
    /// `None` for a unit that systemd doesn't have in memory.
    pub(super) read: BTreeMap<String, Option<UnitState>>,
    /// Those that could not be read: one hides none of the others.
    pub(super) failed: Vec<String>,
}

/// The states of many units, several at a time.
///
/// Never loads a unit: that would make signals, which would make reads.
pub(super) async fn states(connection: &Connection, names: Vec<String>) -> Result<States, SystemdError> {
    let mut states = States::default();
    let mut waiting = names.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE_MAX {
            let Some(name) = waiting.next() else { break };
            let connection = connection.clone();
            running.spawn(async move {
                let state = state(&connection, &name, "GetUnit").await;
                (name, state)
            });
        }
        match running.join_next().await {
            Some(Ok((name, Ok(state)))) => {
                states.read.insert(name, state);
            }
            Some(Ok((_, Err(error)))) if connection.is_closed() => return Err(error),
            Some(Ok((name, Err(error)))) => {
                tracing::debug!(unit = name, error = %Chain(&error), "Unit cannot be read.");
                states.failed.push(name);
            }
            // A read that panicked counts as one that took too long; all units are looked at again.
            Some(Err(_)) => return Err(SystemdError::Timeout { what: "read the units".to_owned() }),
            None => return Ok(states),
        }
    }
}

/// One unit, which is loaded when it is not in memory; `None` when there is none of that name.
pub(super) async fn load(connection: &Connection, name: &str) -> Result<Option<UnitState>, SystemdError> {
    Ok(state(connection, name, "LoadUnit").await?.filter(|unit| unit.load_state != "not-found"))
}

async fn state(connection: &Connection, name: &str, find: &str) -> Result<Option<UnitState>, SystemdError> {
    let call = |source| SystemdError::Call { what: format!("read {name}"), source };
    let path: OwnedObjectPath = match manager(connection, find, &name).await {
        Ok(reply) => reply.body().deserialize().map_err(call)?,
        Err(error) if is(&error, &["NoSuchUnit", "InvalidArgs", "BadUnitSetting"]) => return Ok(None),
        Err(source) => return Err(call(source)),
    };
    let unit = async {
        let reply = connection.call_method(Some(SYSTEMD), &path, Some(PROPERTIES), "GetAll", &(UNIT,)).await?;
        reply.body().deserialize::<Properties>()
    };
    // One by one: all properties of a service include what systemd would have to read from its control group.
    let (interface, wanted) = kind_of(name).unwrap_or_default();
    let get = async |index: usize| -> zbus::Result<Option<(String, OwnedVariant)>> {
        let Some(property) = wanted.get(index) else { return Ok(None) };
        let body = (interface, *property);
        let reply = connection.call_method(Some(SYSTEMD), &path, Some(PROPERTIES), "Get", &body).await?;
        Ok(Some(((*property).to_owned(), reply.body().deserialize()?)))
    };
    let read = tokio::try_join!(unit, get(0), get(1), get(2), get(3));
    match read {
        Ok((unit, a, b, c, d)) => Ok(Some(unit_state(&unit, &[a, b, c, d].into_iter().flatten().collect()))),
        // It went away between the two calls.
        Err(error) if is(&error, &["UnknownObject", "NoSuchUnit", "UnknownInterface"]) => Ok(None),
        Err(source) => Err(call(source)),
    }
}
