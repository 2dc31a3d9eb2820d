//! `restart_unit` and `reset_failed_unit` through systemd's own D-Bus interface; the guards are read right before.

use std::future::poll_fn;
use std::pin::Pin;

use holdfast_core::model::Effect;
use holdfast_core::model::plan::hex;
use zbus::export::futures_core::Stream;

use zbus::{Connection, OwnedObjectPath, Proxy};

use crate::clock::Deadline;
use crate::stop::{Did, Stop};

const SYSTEMD: &str = "org.freedesktop.systemd1";

/// What a unit step asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) unit: &'a str,
    pub(crate) invocation: Option<&'a str>,
    /// `Some`: restart, if in this state; `None`: reset the failed state.
    pub(crate) active_state: Option<&'a str>,
}

/// Looks (`act == false`) or acts, within the deadline.
pub(crate) fn run(ask: Ask<'_>, deadline: Deadline, act: bool) -> Did {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::io("start the D-Bus client", e))?;
    let left = deadline.left().ok_or_else(|| Stop::guard("out of time before it began"))?;
    let mut asked = false;
    let result = runtime.block_on(async { tokio::time::timeout(left, work(ask, act, &mut asked)).await });
    match result {
        Ok(did) => did,
        Err(_) if asked => {
            Err(Stop::io(&format!("tell how the job for {} ended", ask.unit), "out of time; it may still run"))
        }
        Err(_) => Err(Stop::guard("systemd did not answer in time; nothing was asked of it")),
    }
}

fn bus(error: zbus::Error) -> Stop {
    Stop::io("speak with systemd", error)
}

async fn work(ask: Ask<'_>, act: bool, asked: &mut bool) -> Did {
    let root = rustix::process::geteuid().is_root();
    let connection = if root { Connection::system().await } else { Connection::session().await }.map_err(bus)?;
    let manager = Proxy::new(&connection, SYSTEMD, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
        .await
        .map_err(bus)?;
    let path: OwnedObjectPath = manager.call("LoadUnit", &ask.unit).await.map_err(bus)?;
    let (invocation, state) = read(&connection, &path).await?;
    // systemd forgets an inactive unit that nothing refers to, and its invocation with it (one that isn't enabled, once its failed
    // state is cleared). No invocation left means that nothing was started since.
    let forgotten = invocation.is_none() && ask.active_state == Some("inactive") && state == "inactive";
    if invocation.as_deref() != ask.invocation && !forgotten {
        let show = |id: Option<&str>| id.unwrap_or("never started").to_owned();
        return Err(Stop::guard(format!(
            "{} was started since: its invocation is {} and not {}",
            ask.unit,
            show(invocation.as_deref()),
            show(ask.invocation)
        )));
    }
    if let Some(wanted) = ask.active_state.filter(|wanted| *wanted != state) {
        return Err(Stop::guard(format!("{} is {state} and not {wanted}", ask.unit)));
    }
    let effect = |kind: &str, detail: String| Effect { kind: kind.into(), subject: ask.unit.into(), bytes: 0, detail };
    if ask.active_state.is_none() {
        if act {
            *asked = true;
            let _: () = manager.call("ResetFailedUnit", &ask.unit).await.map_err(bus)?;
        }
        return Ok((vec![effect("unit.failed_state_reset", String::new())], None));
    }
    if !act {
        return Ok((vec![effect("unit.restarted", String::new())], None));
    }
    // Without a subscription systemd sends no JobRemoved; listening begins before the job does.
    let _: () = manager.call("Subscribe", &()).await.map_err(bus)?;
    let mut removed = manager.receive_signal("JobRemoved").await.map_err(bus)?;
    *asked = true;
    let job: OwnedObjectPath = manager.call("RestartUnit", &(ask.unit, "replace")).await.map_err(bus)?;
    loop {
        let Some(message) = poll_fn(|cx| Pin::new(&mut removed).poll_next(cx)).await else {
            return Err(Stop::io("tell how the job ended", "the bus closed"));
        };
        let (_, path_of, _, result): (u32, OwnedObjectPath, String, String) =
            message.body().deserialize().map_err(bus)?;
        if path_of != job {
            continue;
        }
        let (now, state) = read(&connection, &path).await?;
        let detail = format!("invocation {}, {state}", now.as_deref().unwrap_or("none"));
        let effects = vec![effect("unit.restarted", detail)];
        if result == "done" {
            return Ok((effects, None));
        }
        let effects = if now == invocation { vec![] } else { effects };
        return Err(Stop::Failed {
            message: format!("the job for {} ended as {result}", ask.unit),
            effects,
            undo_token: None,
        });
    }
}

/// Invocation id and active state, fresh.
async fn read(connection: &Connection, path: &OwnedObjectPath) -> Result<(Option<String>, String), Stop> {
    let properties =
        Proxy::new(connection, SYSTEMD, path.as_ref(), "org.freedesktop.DBus.Properties").await.map_err(bus)?;
    let get = async |name: &str| -> Result<zbus::OwnedVariant, Stop> {
        properties.call("Get", &("org.freedesktop.systemd1.Unit", name)).await.map_err(bus)
    };
    let id: Vec<u8> = get("InvocationID").await?.try_into().map_err(|e| Stop::io("read the invocation id", e))?;
    let state: String = get("ActiveState").await?.try_into().map_err(|e| Stop::io("read the active state", e))?;
    Ok(((id.iter().any(|b| *b != 0)).then(|| hex(&id)), state))
}
