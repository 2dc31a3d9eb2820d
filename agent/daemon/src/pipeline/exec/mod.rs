//! `holdfast exec`: runs the caller's command as if it were not there, measures it, and tells the agent.
//!
//! Exit code, signals, terminal and the three standard streams are the command's own. What is measured never changes the
//! result; the agent, whether away, slow or unwilling, never holds the result up for longer than two seconds.
//! Arguments and environment may hold secrets: only the step's name and the program's are recorded.

mod history;
mod measure;
mod report;
mod start;
mod trace;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_core::model::{IdSource, RunId};

use crate::api::wire::StepsDocument;
use crate::api::{Client, ClientError};
use crate::host::{Clock, OsRandom, SystemClock};
use crate::request::{Request, StepMeasurement};
use crate::telemetry::Chain;

pub use history::Comparison;

/// Longest time between the end of the command and the end of `exec`.
const RECORD_DEADLINE: Duration = Duration::from_secs(2);
/// Former runs that a run is compared with.
const HISTORY: usize = 20;
/// Characters of a step's name.
const STEP_MAX: usize = 128;
/// The caller made a mistake.
const USAGE: u8 = 2;

/// What to run, and whom to tell.
#[derive(Debug, Clone)]
pub struct ExecOptions {
    /// Name of the step, the same in every run of the pipeline.
    pub step: String,
    /// Program and arguments; not empty.
    pub command: Vec<OsString>,
    /// The agent's socket.
    pub socket: PathBuf,
    /// Says nothing of its own.
    pub quiet: bool,
}

/// What became of the agent's part.
enum Recorded {
    Yes(Comparison),
    No(ClientError),
}

/// Runs the command and gives the exit code to end with: its own, 128 + signal, 127 not found, 126 not executable.
///
/// Blocks, handles signals of the whole process and makes a small runtime of its own: for the end of a `main`.
pub fn run(options: &ExecOptions) -> u8 {
    let say = |text: &str| {
        // Nobody may be listening any more; the command's result counts all the same.
        let _ = writeln!(std::io::stderr(), "holdfast: {text}");
    };
    let Some((program, arguments)) = options.command.split_first() else {
        say("no command given\n  hint: holdfast exec --step NAME -- COMMAND [ARGUMENT...]");
        return USAGE;
    };
    if options.step.is_empty() || options.step.chars().count() > STEP_MAX || options.step.chars().any(char::is_control)
    {
        say(&format!("`{}` is no name of a step: 1 to {STEP_MAX} printable characters", options.step.escape_default()));
        return USAGE;
    }
    let clock = SystemClock::new();
    let mut random = OsRandom::default();
    let trace = trace::child(std::env::var("TRACEPARENT").ok().as_deref(), || random.random());
    let started_at = clock.wall();
    let run = RunId::new(started_at, &mut random);
    let before = measure::Before::now();
    let begun = clock.monotonic();
    let ended = match start::run(program, arguments, &trace) {
        Ok(ended) => ended,
        Err(error) => {
            say(&format!("cannot run `{}`: {error}", program.to_string_lossy()));
            return start::refusal_code(&error);
        }
    };
    let duration = clock.monotonic().saturating_sub(begun);
    let used = before.used(&ended.usage);
    let measurement = StepMeasurement {
        run: Some(run),
        step: options.step.clone(),
        program: program.to_string_lossy().into_owned(),
        exit_code: i32::from(ended.code),
        started_at,
        duration_s: duration.as_secs_f64(),
        cpu_s: used.cpu.as_secs_f64(),
        peak_memory_bytes: used.peak_memory_bytes,
        read_bytes: used.read_bytes,
        written_bytes: used.written_bytes,
        trace: Some(trace.span),
    };
    let recorded = tell(&options.socket, &measurement, !options.quiet, &clock);
    if !options.quiet {
        say(&report::line(&measurement, used.peak_memory_below, &recorded));
    }
    ended.code
}

/// Records the run, then asks for the former ones, both within one deadline.
fn tell(socket: &Path, measurement: &StepMeasurement, compare: bool, clock: &dyn Clock) -> Recorded {
    let ended = clock.monotonic();
    let mut client = match Client::new(socket) {
        Ok(client) => client,
        Err(source) => return Recorded::No(ClientError::Unreachable { socket: socket.to_owned(), source }),
    };
    client.set_deadline(RECORD_DEADLINE);
    if let Err(error) = client.ask::<serde_json::Value>(&Request::RecordStep(measurement.clone())) {
        return Recorded::No(error);
    }
    if !compare {
        return Recorded::Yes(Comparison::default());
    }
    client.set_deadline(RECORD_DEADLINE.saturating_sub(clock.monotonic().saturating_sub(ended)));
    // One more than is compared: the answer holds this very run.
    let limit = ("limit", (HISTORY + 1).to_string());
    match client.get::<StepsDocument>(&format!("/steps/{}", measurement.step), &[limit]) {
        Ok(mut document) => {
            document.runs.retain(|former| former.run != measurement.run);
            document.runs.truncate(HISTORY);
            Recorded::Yes(history::compare(measurement, &document.runs))
        }
        Err(error) => Recorded::Yes(Comparison::unknown(&Chain(&error).to_string())),
    }
}

#[cfg(test)]
pub(in crate::pipeline) mod tests;
