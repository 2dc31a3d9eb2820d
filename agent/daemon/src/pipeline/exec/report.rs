//! The one line that `exec` says about a run. Pure.

use std::fmt::Write as _;

use holdfast_core::model::unit::human_bytes;

use super::Recorded;
use super::history::{Comparison, Spread};
use crate::request::StepMeasurement;
use crate::telemetry::Chain;

pub(super) fn line(run: &StepMeasurement, memory_below: Option<u64>, recorded: &Recorded) -> String {
    let ended = match run.exit_code {
        0 => String::new(),
        code @ 129..=192 => format!(" (killed by signal {})", code - 128),
        code => format!(" (exit code {code})"),
    };
    let mut line = format!("step {}{ended}: {}, CPU {}", run.step, secs(run.duration_s), secs(run.cpu_s));
    match (run.peak_memory_bytes, memory_below) {
        (Some(bytes), _) => {
            let _ = write!(line, ", largest process {}", human_bytes(bytes));
        }
        (None, Some(bytes)) => {
            let _ = write!(line, ", largest process below {}", human_bytes(bytes));
        }
        (None, None) => {}
    }
    if let (Some(read), Some(written)) = (run.read_bytes, run.written_bytes) {
        let _ = write!(line, ", read {} and wrote {}", human_bytes(read), human_bytes(written));
    }
    match recorded {
        Recorded::Yes(comparison) => compared(&mut line, run, comparison),
        Recorded::No(error) => {
            let _ = write!(line, "; nothing was recorded: {}", Chain(error));
        }
    }
    line
}

fn compared(line: &mut String, run: &StepMeasurement, comparison: &Comparison) {
    if let Some(why) = &comparison.unknown {
        let _ = write!(line, "; recorded, but its history cannot be read: {why}");
        return;
    }
    let Some(duration) = comparison.duration else {
        line.push_str("; no history yet");
        return;
    };
    let _ = write!(line, "; usual {}", range(duration, secs));
    let runs = duration.runs;
    let _ = write!(line, " over {runs} run{}", if runs == 1 { "" } else { "s" });
    if let Some(memory) = comparison.memory.filter(|_| run.peak_memory_bytes.is_some()) {
        let _ = write!(line, ", largest process {}", range(memory, |bytes| human_bytes(bytes as u64)));
    }
    if let Some(times) = comparison.far_longer {
        let _ = write!(line, " - FAR LONGER than usual: {times:.1} times the median");
    }
    if let Some(times) = comparison.far_larger {
        let _ = write!(line, " - FAR MORE MEMORY than usual: {times:.1} times the median");
    }
}

fn range(spread: Spread, show: impl Fn(f64) -> String) -> String {
    format!("{} ({} to {})", show(spread.median), show(spread.least), show(spread.most))
}

fn secs(secs: f64) -> String {
    if secs < 0.1 {
        format!("{:.0} ms", secs * 1e3)
    } else if secs < 10.0 {
        format!("{secs:.2} s")
    } else if secs < 120.0 {
        format!("{secs:.1} s")
    } else {
        let whole = secs.round() as u64;
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::compare;
    use super::super::history::tests::run;
    use super::*;
    use crate::api::ClientError;

    #[track_caller]
    fn check(run: &StepMeasurement, below: Option<u64>, recorded: Recorded, expected: &str) {
        assert_eq!(line(run, below, &recorded), expected);
    }

    #[test]
    fn a_first_run_has_no_history() {
        check(
            &run(0.05, None, 0),
            Some(9 << 20),
            Recorded::Yes(Comparison::default()),
            "step build: 50 ms, CPU 0.10 s, largest process below 9.00 MiB, read 0 B and wrote 1.00 MiB; no history yet",
        );
    }

    #[test]
    fn a_long_run_is_said_to_be_long() {
        let former: Vec<StepMeasurement> = (0..6).map(|n| run(10.0 + f64::from(n), Some(100), 0)).collect();
        let run = run(130.0, Some(100), 0);
        let compared = compare(&run, &former);
        check(
            &run,
            None,
            Recorded::Yes(compared),
            "step build: 2 min 10 s, CPU 4 min 20 s, largest process 100.00 MiB, read 0 B and wrote 1.00 MiB; \
             usual 12.5 s (10.0 s to 15.0 s) over 6 runs, largest process 100.00 MiB (100.00 MiB to 100.00 MiB) - \
             FAR LONGER than usual: 10.4 times the median",
        );
    }

    #[test]
    fn without_an_agent_nothing_was_recorded_and_it_says_why() {
        let source = std::io::Error::from_raw_os_error(2);
        let error = ClientError::Unreachable { socket: "/run/holdfast/holdfast.sock".into(), source };
        check(
            &StepMeasurement { read_bytes: None, ..run(1.0, None, 137) },
            None,
            Recorded::No(error),
            "step build (killed by signal 9): 1.00 s, CPU 2.00 s; nothing was recorded: the agent cannot be \
             reached at /run/holdfast/holdfast.sock: No such file or directory (os error 2)",
        );
    }
}
