//! Whether the clock follows a time server, as systemd's `timedated` says, whichever server that is.

use std::time::Duration;

use zbus::OwnedVariant;

const TIMEDATED: &str = "org.freedesktop.timedate1";
const PATH: &str = "/org/freedesktop/timedate1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Longest wait for an answer; the bus may have to start timedated first.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks over a connection of its own, for it is asked seldom. `None`: nobody answers.
pub async fn clock_is_synchronized() -> Option<bool> {
    tokio::time::timeout(TIMEOUT, ask()).await.ok()?.inspect_err(|error| {
        tracing::debug!(error = %crate::telemetry::Chain(error), "timedated does not say whether the clock is in step.");
    })
    .ok()
}

async fn ask() -> zbus::Result<bool> {
    let connection = zbus::connection::Builder::system().method_timeout(TIMEOUT).build().await?;
    let reply =
        connection.call_method(Some(TIMEDATED), PATH, Some(PROPERTIES), "Get", &(TIMEDATED, "NTPSynchronized")).await?;
    let value: OwnedVariant = reply.body().deserialize()?;
    bool::try_from(value)
}
