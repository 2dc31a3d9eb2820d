//! Whose group it is: what must not go, whatever the disk says. Every answer is a reason in words.

use holdfast_plugin_sdk::host::processes::Process;
use holdfast_plugin_sdk::text;

use crate::group::Measured;

/// The kernel cuts a process's name here.
const NAME_BYTES_MAX: usize = 15;
/// A job's first files may bear a time from just before its process is seen to start.
const WORKER_SLACK_NS: u64 = 120_000_000_000;

/// Why this group stays; `None`: nobody needs it.
pub fn keeps(
    group: &Measured,
    processes: &[Process],
    workers: &[String],
    now_ns: u64,
    keep_newer_ns: u64,
) -> Option<String> {
    if let Some(odd) = &group.odd {
        return Some(odd.clone());
    }
    if let Some(marker) = &group.marker {
        return Some(format!("{marker} marks it as needed"));
    }
    let age = now_ns.saturating_sub(group.newest());
    if age < keep_newer_ns {
        return Some(format!("a file in it was altered {} ago", text::span(age)));
    }
    if let Some(holder) = processes.iter().find(|process| holds(process, &group.path)) {
        return Some(format!("process {} ({}) runs from it or was started with it", holder.pid, holder.name));
    }
    let worker = processes
        .iter()
        .filter(|process| is_worker(process, workers))
        .find(|process| group.newest_touch >= process.started.saturating_sub(WORKER_SLACK_NS))?;
    Some(format!("it was touched since the job of {} ({}) began", worker.name, worker.pid))
}

/// Whether the program, or anything on the command line, lies at or below the path.
fn holds(process: &Process, path: &str) -> bool {
    process.exe.iter().chain(&process.cmdline).any(|text| mentions(text, path))
}

/// `--dir=/w/shop/build` mentions `/w/shop`, and `/w/shop2` does not.
fn mentions(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let after = text[at + path.len()..].chars().next();
        after.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
    })
}

fn is_worker(process: &Process, workers: &[String]) -> bool {
    let program = process.exe.as_deref().and_then(|exe| exe.rsplit('/').next()).unwrap_or_default();
    workers.iter().any(|worker| {
        let cut = worker.get(..NAME_BYTES_MAX).unwrap_or(worker);
        process.name == *worker || process.name == cut || program == worker
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_mentioned_by_itself_and_by_what_lies_below_it() {
        for (text, wanted) in [
            ("/w/shop", true),
            ("/w/shop/build/cc1", true),
            ("--dir=/w/shop", true),
            ("PATH=/w/shop:/bin", true),
            ("/w/shop2", false),
            ("/w/shop-api/x", false),
            ("/w/shop.git", false),
            ("/w", false),
        ] {
            assert_eq!(mentions(text, "/w/shop"), wanted, "{text}");
        }
    }
}
