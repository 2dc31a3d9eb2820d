//! Asks the agent for a verdict until it has settled or the time is up.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use holdfast_core::gate::GateReport;
use holdfast_core::model::DeploymentId;

use super::render::progress;
use crate::api::{Client, ClientError};
use crate::host::Clock;
use crate::request::RefusalKind;

/// Wait for one answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Between two questions.
const POLL: Duration = Duration::from_secs(1);
/// An agent that was there and is away for longer than this is not being restarted: it is gone.
const AWAY_MAX: Duration = Duration::from_secs(15);

/// What to wait for.
#[derive(Debug, Clone)]
pub struct WaitOptions {
    /// The agent's socket.
    pub socket: PathBuf,
    /// The deployment.
    pub deployment: DeploymentId,
    /// A unit to compare the deployment's with.
    pub sibling: Option<String>,
    /// Longest wait; zero asks once.
    pub wait: Duration,
    /// Shows on stderr what is waited for, when that is a terminal.
    pub progress: bool,
}

/// The verdict: settled, or the last one before the time was up. Blocks; not for use inside an async runtime.
pub fn wait(options: &WaitOptions, clock: &dyn Clock) -> Result<GateReport, ClientError> {
    let unreachable = |source| ClientError::Unreachable { socket: options.socket.clone(), source };
    let mut client = Client::new(&options.socket).map_err(unreachable)?;
    client.set_deadline(ANSWER_DEADLINE);
    let started = clock.monotonic();
    let mut asked_for = vec![("deployment", options.deployment.to_string())];
    asked_for.extend(options.sibling.iter().map(|it| ("sibling", it.clone())));
    let mut line = Line::new(options.progress);
    let mut seen_at: Option<Duration> = None;
    loop {
        let asked = client.get::<GateReport>("/gate", &asked_for);
        let now = clock.monotonic();
        let left = options.wait.saturating_sub(now.saturating_sub(started));
        match asked {
            Ok(report) if report.settled || left.is_zero() => return Ok(report),
            Ok(report) => {
                line.show(&format!("{} s left: {}", left.as_secs(), progress(&report)));
                seen_at = Some(now);
            }
            // It may be in the middle of a restart, as long as it was there before.
            Err(error) => {
                let was_there = seen_at.is_some_and(|at| now.saturating_sub(at) < AWAY_MAX);
                if !was_there || left.is_zero() || !may_pass(&error) {
                    return Err(error);
                }
                line.show(&format!("waiting for the agent: {error}"));
            }
        }
        std::thread::sleep(POLL.min(left));
    }
}

/// Whether the agent may answer a moment later.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Refused(refusal) => refusal.kind == RefusalKind::Unavailable,
        ClientError::Unreachable { .. } | ClientError::Garbled { .. } => true,
    }
}

/// One line on a terminal that is written over and taken away at the end.
struct Line {
    shown: bool,
    on: bool,
}

impl Line {
    fn new(wanted: bool) -> Self {
        Self { shown: false, on: wanted && std::io::stderr().is_terminal() }
    }

    fn show(&mut self, text: &str) {
        if self.on {
            // A line that wraps could not be written over.
            let cut: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(78).collect();
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\r\x1b[K{cut}");
            let _ = stderr.flush();
            self.shown = true;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown {
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\r\x1b[K");
            let _ = stderr.flush();
        }
    }
}
