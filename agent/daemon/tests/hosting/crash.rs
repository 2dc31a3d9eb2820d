//! The whole agent dies in the middle of a plugin's call, and knows whose it was when it comes back.

use super::*;
use std::process::{Child, Command, Output, Stdio};

/// An agent of its own, everything below one directory.
struct Agent {
    dir: tempfile::TempDir,
    child: Child,
}

#[expect(clippy::disallowed_methods, reason = "the test starts the agent")]
fn holdfast(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(dir.join("holdfast.toml")).args(arguments);
    command
}

fn start(dir: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    let mut child = holdfast(dir, &["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    for _ in 0..600 {
        if holdfast(dir, &["status"]).output().unwrap().status.success() {
            return child;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("the agent does not answer: {}", std::fs::read_to_string(dir.join("log")).unwrap_or_default());
}

impl Agent {
    /// With a plugin that never ends its check by itself.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |sub: &str| dir.path().join(sub).display().to_string();
        for sub in ["plugins", "plugins.d", "policy.d", "data"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let config = format!(
            "[agent]\ndata-dir = {:?}\ncache-dir = {:?}\nsocket = {:?}\n[plugins]\nallow-unsigned = true\ndirs = [{:?}]\ngrants = {:?}\n[policy]\ndir = {:?}\n",
            at("data"),
            at("cache"),
            at("sock"),
            at("plugins"),
            at("plugins.d"),
            at("policy.d")
        );
        std::fs::write(dir.path().join("holdfast.toml"), config).unwrap();
        std::fs::write(dir.path().join("plugins/hostile.wasm"), guest("guests/hostile.wasm")).unwrap();
        std::fs::write(dir.path().join("plugins.d/hostile.toml"), "[settings]\ndeed = \"loop\"\n").unwrap();
        let child = start(dir.path());
        Self { dir, child }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        holdfast(self.dir.path(), arguments).output().unwrap()
    }

    fn marked(&self) -> bool {
        std::fs::read_to_string(self.dir.path().join("data/plugins.running"))
            .is_ok_and(|it| it.contains("call hostile "))
    }

    /// Has the check run, and ends the agent by a signal in the middle of it.
    fn dies_during_the_call(&mut self, signal: rustix::process::Signal) {
        let mut asking = holdfast(self.dir.path(), &["plugin", "run", "hostile"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if self.marked() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(self.marked(), "the call is under way");
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap();
        asking.wait().unwrap();
    }

    /// What systemd tells `ExecStopPost=`.
    fn systemd_says(&self, result: &str, code: &str, status: &str) {
        let told = [("SERVICE_RESULT", result), ("EXIT_CODE", code), ("EXIT_STATUS", status)];
        let output = holdfast(self.dir.path(), &["record-end"]).envs(told).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn comes_back(&mut self) -> String {
        self.child = start(self.dir.path());
        let listed = self.ask(&["--format", "json", "plugin", "list"]);
        let document: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        let plugin = &document["plugins"][0];
        format!("{} {}", plugin["state"].as_str().unwrap(), plugin["reason"].as_str().unwrap_or_default())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_crash_during_a_call_benches_the_plugin_at_the_next_start_and_a_person_is_told_why() {
    let mut agent = Agent::new();
    // A segmentation fault that is only sent is not repeated by any instruction, so the handler of traps swallows it.
    agent.dies_during_the_call(rustix::process::Signal::ABORT);
    agent.systemd_says("core-dump", "dumped", "ABRT");
    let state = agent.comes_back();
    assert!(state.starts_with("quarantined the agent ended during its call (SIGABRT)"), "{state}");
    let refused = agent.ask(&["plugin", "run", "hostile"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("is quarantined"), "{said}");
}

#[test]
fn an_agent_that_somebody_killed_suspects_nobody() {
    let mut agent = Agent::new();
    agent.dies_during_the_call(rustix::process::Signal::KILL);
    agent.systemd_says("oom-kill", "killed", "KILL");
    assert_eq!(agent.comes_back(), "ready ");
    // Nobody has recorded the next end: once is no proof, twice in a row is.
    agent.dies_during_the_call(rustix::process::Signal::KILL);
    assert_eq!(agent.comes_back(), "ready ");
    agent.dies_during_the_call(rustix::process::Signal::KILL);
    let state = agent.comes_back();
    assert!(state.starts_with("quarantined the agent ended during its call (nobody has recorded how)"), "{state}");
}

#[test]
fn an_agent_that_was_told_to_stop_during_a_call_suspects_nobody() {
    let mut agent = Agent::new();
    agent.dies_during_the_call(rustix::process::Signal::TERM);
    assert_eq!(agent.comes_back(), "ready ");
}
