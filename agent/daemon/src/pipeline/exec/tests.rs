//! Real commands, run by a real process: this test binary, started again with only [`the_other_process`] in it.
//! Signals and exit codes belong to a process, so they can't be tried within the tests' own.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::audit::AuditKey;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::sync::watch;

use super::*;
use crate::api::{Access, ApiContext};
use crate::host::FsRoot;
use crate::request::Door;
use crate::store::{Blobs, StateDb, StateReader, TelemetryDb, TelemetryOptions, Writes};

const COMMAND: &str = "HOLDFAST_TEST_EXEC";
const SOCKET: &str = "HOLDFAST_TEST_SOCKET";
const QUIET: &str = "HOLDFAST_TEST_QUIET";

/// Plays `holdfast exec` when a test asks for it, and is nothing otherwise.
#[test]
fn the_other_process() {
    let Ok(command) = std::env::var(COMMAND) else { return };
    let options = ExecOptions {
        step: "build".into(),
        command: serde_json::from_str::<Vec<String>>(&command).unwrap().into_iter().map(OsString::from).collect(),
        socket: std::env::var(SOCKET).unwrap_or_else(|_| "/nonexistent/holdfast.sock".into()).into(),
        quiet: std::env::var(QUIET).is_ok(),
    };
    std::process::exit(i32::from(run(&options)));
}

/// Whatever the tests' own caller ignores: a job in the background ignores what the terminal would send.
const WITH_ALL_SIGNALS: [&str; 2] = ["env", "--default-signal=HUP,INT,QUIT,TERM"];

fn other(command: &[&str]) -> Command {
    through(&WITH_ALL_SIGNALS, command)
}

/// Started by another program, which becomes it.
#[expect(clippy::disallowed_methods, reason = "a signal or an exit code needs a process of its own")]
fn through(starter: &[&str], command: &[&str]) -> Command {
    let mut other = Command::new(starter[0]);
    other.args(&starter[1..]).arg(std::env::current_exe().unwrap());
    other.args(["pipeline::exec::tests::the_other_process", "--exact", "--nocapture", "--test-threads=1", "-q"]);
    other.env(COMMAND, serde_json::to_string(command).unwrap()).env_remove("TRACEPARENT").env_remove("TRACESTATE");
    other.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    other
}

fn ended(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn check(command: &[&str], code: i32) -> (String, String) {
    let (found, stdout, stderr) = ended(&other(command).output().unwrap());
    assert_eq!(found, Some(code), "{command:?}: {stdout} {stderr}");
    (stdout, stderr)
}

#[test]
fn exit_codes_are_the_commands_own() {
    check(&["true"], 0);
    check(&["false"], 1);
    check(&["sh", "-c", "exit 42"], 42);
    let (_, stderr) = check(&["sh", "-c", "kill -9 $$"], 137);
    assert!(stderr.contains("step build (killed by signal 9): "), "{stderr}");
}

#[test]
fn what_cannot_be_started_ends_as_in_a_shell() {
    let (_, stderr) = check(&["holdfast-no-such-command"], 127);
    assert!(stderr.contains("holdfast: cannot run `holdfast-no-such-command`: No such file"), "{stderr}");
    check(&["/etc/passwd"], 126);
    check(&["/"], 126);
    check(&[], 2);
}

#[test]
fn without_an_agent_the_command_runs_all_the_same_and_one_line_says_so() {
    let (stdout, stderr) = check(&["sh", "-c", "echo out; echo err >&2"], 0);
    assert!(stdout.ends_with("out\n"), "{stdout}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "err"), "{stderr}");
    assert!(lines[1].contains("nothing was recorded: the agent cannot be reached at /nonexistent"), "{stderr}");
    let quiet = other(&["sh", "-c", "echo err >&2"]).env(QUIET, "1").output().unwrap();
    assert_eq!(ended(&quiet).2, "err\n");
}

#[test]
fn standard_input_is_the_commands() {
    let mut child = other(&["cat"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"through\n").unwrap();
    let (code, stdout, _) = ended(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(0));
    assert!(stdout.ends_with("through\n"), "{stdout}");
}

#[test]
fn the_child_is_part_of_the_callers_trace() {
    let show = ["sh", "-c", "echo parent=$TRACEPARENT state=$TRACESTATE"];
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let output =
        other(&show).env("TRACEPARENT", format!("00-{trace}-00f067aa0ba902b7-01")).env("TRACESTATE", "a=1").output();
    let (_, stdout, _) = ended(&output.unwrap());
    assert!(stdout.contains(&format!("parent=00-{trace}-")) && stdout.contains("state=a=1"), "{stdout}");
    assert!(!stdout.contains("00f067aa0ba902b7"), "{stdout}");
    let (_, stdout, _) = ended(&other(&show).env("TRACEPARENT", "nonsense").env("TRACESTATE", "a=1").output().unwrap());
    assert!(stdout.contains("parent=00-") && stdout.contains("state=\n"), "{stdout}");
}

/// Starts a command that says when it is ready, and gives the reader behind that line.
fn ready(mut command: Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line != "ready\n" {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
    }
    (child, stdout)
}

fn rest(mut child: Child, mut stdout: impl Read) -> (Option<i32>, String) {
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32).unwrap()
}

/// Waits in short sleeps of its own, so that a trap runs at once.
const TRAPS: &str = "trap 'echo got $0 >&1; exit 5' \"$0\"; echo ready; while :; do sleep 0.05; done";

#[test]
fn signals_are_passed_on_and_the_commands_answer_counts() {
    for (name, signal) in [("TERM", Signal::TERM), ("INT", Signal::INT), ("HUP", Signal::HUP), ("QUIT", Signal::QUIT)] {
        let (child, stdout) = ready(other(&["sh", "-c", TRAPS, name]));
        kill_process(pid(&child), signal).unwrap();
        assert_eq!(rest(child, stdout), (Some(5), format!("got {name}\n")), "{name}");
    }
}

#[test]
fn a_signal_that_kills_the_command_becomes_its_exit_code() {
    let (child, stdout) = ready(other(&["sh", "-c", "echo ready; exec sleep 60"]));
    kill_process(pid(&child), Signal::TERM).unwrap();
    assert_eq!(rest(child, stdout).0, Some(143));
}

#[test]
fn a_signal_to_the_whole_job_ends_both() {
    let mut command = other(&["sh", "-c", "echo ready; exec sleep 60"]);
    command.process_group(0);
    let (child, stdout) = ready(command);
    kill_process_group(pid(&child), Signal::INT).unwrap();
    assert_eq!(rest(child, stdout).0, Some(130));
}

#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    // As nohup does: the shell ignores it and starts exec, whose child inherits that.
    let nohup = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""];
    let mut command = through(&nohup, &["sh", "-c", "echo ready; sleep 0.3; echo done"]);
    command.stderr(Stdio::null());
    let (child, stdout) = ready(command);
    kill_process(pid(&child), Signal::HUP).unwrap();
    assert_eq!(rest(child, stdout), (Some(0), "done\n".to_owned()));
}

/// A real API in front of real stores; only the event loop is reduced to storing what `exec` measured.
pub(in crate::pipeline) fn with_agent(held: Writes, work: impl FnOnce(&Path, &StateReader)) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("holdfast.sock");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut state = StateDb::open(dir.path(), AuditKey::new([7; 32])).unwrap();
    state.commit(held).unwrap();
    let telemetry = TelemetryDb::open(dir.path(), TelemetryOptions::default()).unwrap();
    let (door, mut calls) = Door::new();
    let own_uid = rustix::process::getuid().as_raw();
    let (_access, access) = watch::channel(Access::new(&[], &[], &[], &[], own_uid));
    let (stop, shutdown) = watch::channel(false);
    let context = ApiContext {
        door,
        state: state.reader(),
        telemetry: telemetry.reader(),
        access,
        clock: Arc::new(SystemClock::new()),
        units: Arc::new(crate::plugins::NoUnits("no systemd here".to_owned())),
        required: Arc::default(),
        redactor: Arc::new(holdfast_core::redact::Redactor::standard()),
        fs: FsRoot::real(),
        look: Arc::new(Vec::new),
        blobs: Blobs::open(dir.path(), u64::MAX).unwrap(),
        retention_records: Duration::from_hours(400 * 24),
        pasts: std::sync::Arc::default(),
        read_file: |_, _, _| Err(std::io::ErrorKind::Unsupported.into()),
        detect: Arc::default(),
        data_dir: dir.path().to_owned(),
        audit_key: AuditKey::new([7; 32]),
    };
    let listener = runtime.block_on(async { crate::api::bind(&socket, 0o600) }).unwrap();
    let server = runtime.spawn(crate::api::serve(context, listener, shutdown));
    let reader = state.reader();
    runtime.spawn(async move {
        while let Some(call) = calls.recv().await {
            let Request::RecordStep(run) = call.request else { continue };
            state.commit(Writes { step_runs: vec![run], ..Writes::default() }).unwrap();
            let _ = call.answer.send(Ok(serde_json::json!({})));
        }
    });
    work(&socket, &reader);
    stop.send(true).unwrap();
    runtime.block_on(server).unwrap();
}

#[test]
fn a_run_is_recorded_measured_and_compared_with_the_former_ones() {
    with_agent(Writes::default(), |socket, state| {
        // Burns CPU in a grandchild, holds 64 MiB, writes through to the disk, and has a secret among its arguments.
        let busy = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; head -c 67108864 /dev/zero | tail -c 67108864 | wc -c";
        let run = || ended(&other(&["sh", "-c", busy, "hunter2"]).env(SOCKET, socket).output().unwrap());
        let (code, _, stderr) = run();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.ends_with("; no history yet\n"), "{stderr}");
        let stored = state.step_history("build", 10).unwrap();
        assert_eq!((stored.len(), stored[0].program.as_str(), stored[0].exit_code), (1, "sh", 0));
        assert!(stored[0].cpu_s > 0.02 && stored[0].cpu_s < 60.0, "{:?}", stored[0]);
        assert!(stored[0].duration_s > 0.01, "{:?}", stored[0]);
        let peak = stored[0].peak_memory_bytes.unwrap();
        assert!((64 << 20..512 << 20).contains(&peak), "{peak}");
        assert!(!serde_json::to_string(&stored).unwrap().contains("hunter2"));
        let (_, _, stderr) = run();
        assert!(stderr.contains("; usual ") && stderr.contains(" over 1 run, largest process "), "{stderr}");
        assert_eq!(state.step_history("build", 10).unwrap().len(), 2);
    });
}

#[test]
fn an_agent_that_never_answers_holds_nothing_up_for_longer_than_its_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("deaf.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let clock = SystemClock::new();
    let output = other(&["false"]).env(SOCKET, &socket).output().unwrap();
    let took = clock.monotonic();
    let (code, _, stderr) = ended(&output);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("nothing was recorded"), "{stderr}");
    assert!(took < RECORD_DEADLINE + Duration::from_secs(3), "{took:?}");
}
