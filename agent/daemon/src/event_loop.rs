//! The one loop: everything that can wake the agent, in one closed enum, from bounded queues.
//!
//! To see all causes, read [`Event`]. The loop has a thread of its own, because durable writes block; whatever else takes
//! time is a [`Command`], done elsewhere, whose result comes back as an event. A full queue makes collectors skip a tick.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::detect::drift::PackageFact;
use holdfast_core::detect::replay::Episode;
use holdfast_core::model::{
    Change, DeploymentId, FileState, FindingId, Inventory, Label, RemediationId, RunId, SampleBatch, Timestamp,
    UnitState,
};
use holdfast_core::policy::Policy;
use holdfast_plugin_host::{CheckReport, PluginVerdict, Proposal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::act::{ActError, Outcome, Performed};
use crate::answers::Replayed;
use crate::collect::CollectorReport;
use crate::data::Forgotten;
use crate::engine::{Command, Engine, Moment, WantedTuning};
use crate::host::Clock;
use crate::request::{Answer, CALLS_MAX, Call, Refusal};
use crate::telemetry::Event as _;
use crate::telemetry::events::QueueFull;

/// Events that may wait for the loop.
pub const EVENT_QUEUE_MAX: usize = 1_024;
/// Remediations whose steps run at the same time.
pub const ACTIONS_RUNNING_MAX: usize = 1;
/// Longest sleep of the loop, which knows when its next timer is due: what has no timer of its own, such as a plan that
/// expires, is at most this late. Every second has a tick anyhow.
const NAP: Duration = Duration::from_secs(4);
/// Shortest sleep: what is looked at again and again, such as a verification under way, must not keep a core busy.
const NAP_MIN: Duration = Duration::from_millis(50);
const _: () = assert!(ACTIONS_RUNNING_MAX + CALLS_MAX < EVENT_QUEUE_MAX, "every running action can report back");

/// A plugin's proposal with what names the plugin.
#[derive(Debug, Clone)]
pub struct Proposed {
    /// What it proposes.
    pub proposal: Proposal,
    /// `unit-medic 0.1.0`.
    pub plugin: String,
    /// SHA-256 of its component.
    pub digest: String,
}

/// One file as it was found, with who owns it.
#[derive(Debug, Clone)]
pub struct FileFound {
    /// Its state; absence is one.
    pub state: FileState,
    /// Its content; `None` when absent, special or too large.
    pub content: Option<Vec<u8>>,
    /// The package that ships it.
    pub package: Option<PackageFact>,
    /// When it was read.
    pub at: Timestamp,
    /// Told because the watch begins, not because something happened.
    pub first: bool,
}

/// Why files were read.
#[derive(Debug)]
pub enum ReadFor {
    /// A person wants them accepted as they are.
    Accept {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Only files that have an accepted state already.
        known_only: bool,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// A deployment ended: its files are recorded.
    Release {
        /// Which.
        deployment: DeploymentId,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// The agent looks again by itself.
    Look,
}

/// What was read again.
#[derive(Debug)]
pub struct Reloaded {
    /// The policy; unchanged when it has errors.
    pub policy: Option<Policy>,
    /// Names of its files.
    pub policy_files: Vec<String>,
    /// What is wrong, one sentence or excerpt each; nothing was replaced then.
    pub problems: Vec<String>,
    /// What a person should know all the same.
    pub warnings: Vec<String>,
}

/// Everything that can wake the agent. Closed on purpose: to see all causes, read this enum.
#[derive(Debug)]
pub enum Event {
    /// One second's samples, with how the collectors are doing.
    Tick(Arc<SampleBatch>, Vec<CollectorReport>),
    /// systemd says that a unit is in another state.
    Unit(UnitState, Timestamp),
    /// systemd cannot be reached; the reason.
    NoUnits(String),
    /// A watched file was found in another state.
    File(Box<FileFound>),
    /// One look at what the host is made of besides files.
    Inventory(Box<Inventory>, Timestamp),
    /// Files that were read because the engine asked.
    Files(Vec<FileFound>, ReadFor),
    /// The directory of a superseded release was looked at.
    Left {
        /// Which.
        dir: String,
        /// Whether nothing is in it; what cannot be told is left.
        nothing: bool,
    },
    /// Something was altered around the machine.
    Change(Change),
    /// Somebody told of what was altered, and waits.
    Told {
        /// It.
        change: Change,
        /// Answered once the change is on its way to the store; false when it was refused there.
        taken: oneshot::Sender<bool>,
    },
    /// A person or a program asks.
    Call(Call),
    /// It is time for a plugin's scheduled check.
    CheckDue(String),
    /// A plugin answered with a plan, with none, or not at all.
    Proposed {
        /// For which finding.
        finding: FindingId,
        /// Asked for by this rule.
        rule: String,
        /// The plugin's run.
        run: RunId,
        /// Its answer.
        result: Result<Option<Proposed>, String>,
    },
    /// A plugin's check ended.
    Checked {
        /// Which plugin.
        plugin: String,
        /// The run.
        run: RunId,
        /// What the call took, waiting for its turn included.
        elapsed: Duration,
        /// Its report.
        result: Result<CheckReport, String>,
        /// A person waits for it.
        answer: Option<oneshot::Sender<Answer>>,
    },
    /// A plugin looked again after its plan was carried out.
    Verified {
        /// Which remediation.
        remediation: RemediationId,
        /// What it says.
        result: Result<PluginVerdict, String>,
    },
    /// The actuator answered to a step.
    Performed {
        /// Whose.
        remediation: RemediationId,
        /// Which, counted from 0.
        step: usize,
        /// Its answer.
        result: Result<Performed, ActError>,
    },
    /// The actuator answered to an undo.
    Undone {
        /// Whose.
        remediation: RemediationId,
        /// Which step, counted from 0.
        step: usize,
        /// Its answer.
        result: Result<Performed, ActError>,
    },
    /// The actuator says what became of an earlier request.
    Outcome {
        /// Whose.
        remediation: RemediationId,
        /// Which step, counted from 0.
        step: usize,
        /// Whether it was an undo.
        undo: bool,
        /// Its answer; `Ok(None)`: it never began.
        result: Result<Option<Outcome>, ActError>,
    },
    /// A purge came to its end.
    Purged {
        /// Who wanted it.
        by: String,
        /// What was forgotten and what stays; or why nothing was.
        result: Result<Forgotten, String>,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// The samples of a labelled finding were gathered.
    Episode {
        /// The label that they were gathered for.
        label: Box<Label>,
        /// They, or why not.
        result: Result<Box<Episode>, String>,
    },
    /// Kept incidents were replayed under other settings.
    TuningProved {
        /// Who wants what.
        wanted: Box<WantedTuning>,
        /// Which of them would not be found any more, or why nobody can tell.
        replayed: Result<Replayed, String>,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// A signal asks for a reload.
    ReloadAsked,
    /// Configuration and policy were read again.
    Reloaded(Reloaded, Option<oneshot::Sender<Answer>>),
    /// The end.
    Shutdown,
}

/// The sending end of the loop's queue; cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    /// Waits for room: for results of commands, which must not be lost.
    pub async fn send(&self, event: Event) {
        let _ = self.0.send(event).await;
    }

    /// Does not wait: a full queue is a counted loss. For what comes again by itself.
    pub fn offer(&self, event: Event) {
        if self.0.try_send(event).is_err() {
            QueueFull { queue: "events", lost: 1 }.emit();
        }
    }
}

/// The queue.
pub fn queue() -> (Events, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(EVENT_QUEUE_MAX);
    (Events(sender), receiver)
}

/// Carries out the engine's commands; each result comes back as an event.
pub trait Hands: Send {
    /// Begins; never blocks.
    fn begin(&mut self, command: Command);
}

/// How long the loop may sleep when its next timer is due at `at`.
fn nap(at: Option<Duration>, now: Duration) -> Duration {
    at.map_or(NAP, |at| at.saturating_sub(now).clamp(NAP_MIN, NAP))
}

/// Runs until [`Event::Shutdown`]. `alive` is moved on at every turn, for the watchdog.
pub async fn run(
    mut engine: Engine,
    mut events: mpsc::Receiver<Event>,
    mut calls: mpsc::Receiver<Call>,
    hands: &mut dyn Hands,
    clock: Arc<dyn Clock>,
    alive: &watch::Sender<u64>,
) {
    let moment = || Moment { wall: clock.wall(), mono: clock.monotonic() };
    for command in engine.begin(moment()) {
        hands.begin(command);
    }
    let mut closed = false;
    loop {
        let nap = nap(engine.next_timer(), clock.monotonic());
        let event = tokio::select! {
            biased;
            event = events.recv() => event.unwrap_or(Event::Shutdown),
            call = calls.recv(), if !closed => {
                if let Some(call) = call { Event::Call(call) } else { closed = true; continue }
            }
            () = tokio::time::sleep(nap) => {
                alive.send_modify(|turn| *turn += 1);
                for command in engine.on_timer(moment()) { hands.begin(command); }
                continue;
            }
        };
        alive.send_modify(|turn| *turn += 1);
        let last = matches!(event, Event::Shutdown);
        let now = moment();
        let mut commands = engine.handle(event, now);
        commands.extend(engine.on_timer(now));
        for command in commands {
            hands.begin(command);
        }
        if last {
            return;
        }
    }
}

/// What is answered when nobody listens any more.
pub(crate) fn refuse(answer: oneshot::Sender<Answer>, refusal: Refusal) {
    let _ = answer.send(Err(refusal));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_sleeps_until_its_timer_and_never_spins() {
        let (now, ms) = (Duration::from_secs(100), Duration::from_millis);
        assert_eq!(nap(None, now), NAP);
        assert_eq!(nap(Some(now + ms(300)), now), ms(300));
        assert_eq!(nap(Some(now + Duration::from_hours(1)), now), NAP);
        assert_eq!(nap(Some(Duration::ZERO), now), NAP_MIN, "a verification under way is always due");
    }
}
