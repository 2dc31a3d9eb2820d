//! Waiting until a running agent has taken up what was placed or switched: levels, not edges, and never for ever.

use std::time::Duration;

use holdfast_core::model::Interval;
use serde::Serialize;

use super::super::exit::Failure;
use super::Session;
use crate::api::ClientError;
use crate::api::wire::PluginsDocument;
use crate::request::Request;
use crate::status::PluginStatus;
use crate::telemetry::Chain;

const LOOK: Duration = Duration::from_millis(250);

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in super::super) struct Taken {
    /// The plugin's state as the agent says it; `removed`; `unreachable`: no agent, it counts from the next start; `pending`: not yet;
    /// `refused`: the agent does not take it.
    pub(in super::super) state: String,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) reason: Option<String>,
}

impl Taken {
    fn new(state: &str, reason: Option<String>) -> Self {
        Self { state: state.to_owned(), reason }
    }
}

/// How the agent sees a plugin; `Ok(None)`: it does not know it. `Err`: it cannot be asked.
fn seen(it: &Session, id: &str) -> Result<Option<PluginStatus>, ClientError> {
    let client = it.client().map_err(|failure| ClientError::Unreachable {
        socket: std::path::PathBuf::new(),
        source: std::io::Error::other(failure.message),
    })?;
    let document: PluginsDocument = client.get("/plugins", &[])?;
    Ok(document.plugins.into_iter().find(|plugin| plugin.id == id))
}

/// Asks until `is_so` answers, or `wait` is over; at the last look it is told so. What cannot be asked at first is not waited for.
pub(super) fn wait(
    it: &Session,
    id: &str,
    wait: Interval,
    is_so: impl Fn(Option<&PluginStatus>, bool) -> Option<Taken>,
) -> Taken {
    // Files lie as they should, so the agent need not wait for its next look. One that knows no such request, or does not take it from
    // this user, looks by the clock.
    if let Ok(client) = it.client() {
        let _: Result<serde_json::Value, _> = client.ask(&Request::LookAtPlugins);
    }
    // Counted and not timed: a clock that stands still must not make this last for ever.
    let looks = (wait.0.as_millis() / LOOK.as_millis()).min(100_000);
    for look in 0..=looks {
        match seen(it, id) {
            Ok(status) => {
                if let Some(taken) = is_so(status.as_ref(), look == looks) {
                    return taken;
                }
            }
            Err(error @ ClientError::Unreachable { .. }) if look == 0 => {
                return Taken::new("unreachable", Some(Chain(&error).to_string()));
            }
            Err(error @ ClientError::Refused(_)) => return Taken::new("unreachable", Some(error.to_string())),
            // It may be busy, or restart just now.
            Err(_) => {}
        }
        if look == 0 && looks > 0 {
            it.out.progress("waiting for the agent");
        }
        if look < looks {
            std::thread::sleep(LOOK);
        }
    }
    Taken::new(
        "pending",
        Some("the agent has not taken it up yet; `holdfast plugin list` shows when it has".to_owned()),
    )
}

/// For what was installed: the agent runs this component, or refuses it. `before`: how it saw the plugin before; a refusal of then
/// counts only when no other comes.
pub(super) fn installed(
    it: &Session,
    id: &str,
    digest: &str,
    before: Option<&PluginStatus>,
    wait_for: Interval,
) -> Taken {
    let refusal = |status: &PluginStatus| (status.update_refused.clone(), status.reason.clone());
    wait(it, id, wait_for, |status, last| {
        let status = status?;
        let is_new = last || before.map(refusal) != Some(refusal(status));
        if status.digest == digest && (status.state != "refused" || is_new) {
            return Some(Taken::new(&status.state, status.reason.clone()));
        }
        // The grant that came with it is not for what ran, so nothing goes on.
        if status.state == "refused" && is_new {
            return Some(Taken::new("refused", status.reason.clone()));
        }
        let refused = status.update_refused.as_deref().filter(|_| is_new)?;
        Some(Taken::new("refused", Some(format!("{refused}; {} goes on", status.version))))
    })
}

/// How the agent sees a plugin now, as far as it can be asked.
pub(super) fn now(it: &Session, id: &str) -> Option<PluginStatus> {
    seen(it, id).ok().flatten()
}

/// For what was switched.
pub(super) fn switched(it: &Session, id: &str, enabled: bool, wait_for: Interval) -> Taken {
    wait(it, id, wait_for, |status, _| {
        let status = status.filter(|status| (status.state == "disabled") != enabled)?;
        Some(Taken::new(&status.state, status.reason.clone().filter(|_| enabled)))
    })
}

/// For what was removed.
pub(super) fn removed(it: &Session, id: &str, wait_for: Interval) -> Taken {
    wait(it, id, wait_for, |status, _| status.is_none().then(|| Taken::new("removed", None)))
}

/// The agent answers at all.
pub(super) fn must_be_there(it: &Session, id: &str) -> Result<(), Failure> {
    seen(it, id).map(drop).map_err(Failure::from)
}
