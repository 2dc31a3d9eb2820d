//! Several commands at the same time, each a process of its own: what lies there afterwards is whole, and whoever came too late is told.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{FlockOperation, flock};

use super::*;

impl Host {
    /// Has the turn that every change of plugins takes, as another command would.
    fn takes_the_turn(&self) -> File {
        fs::create_dir_all(self.path("plugins.d")).unwrap();
        let mut options = File::options();
        let lock =
            options.write(true).create(true).truncate(false).mode(0o600).open(self.path("plugins.d/.lock")).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        lock
    }

    /// The same once somebody else has had it, who removes the plugin.
    fn takes_the_next_turn(&self) -> File {
        let lock = File::open(self.path("plugins.d/.lock")).unwrap();
        for _ in 0..PATIENCE * 100 {
            let is_gone = self.placed().is_empty();
            if is_gone && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return lock;
            }
            std::thread::sleep(STEP / 100);
        }
        panic!("it does not come to its turn");
    }

    fn begins(&self, args: &[&str]) -> Child {
        self.command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Until a process waits for its turn.
    fn waits(&self, process: &Child) {
        let fds = format!("/proc/{}/fd", process.id());
        for _ in 0..PATIENCE {
            let mut open = fs::read_dir(&fds).unwrap().filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
            if open.any(|file| file == self.path("plugins.d/.lock")) {
                return;
            }
            std::thread::sleep(STEP);
        }
        panic!("it does not come to its turn");
    }

    /// A signed component in a file.
    fn version(&self, version: &str) -> String {
        self.file(&format!("x-{version}"), &component("x", version, FIRST), Some("ours"))
    }
}

fn ended(process: Child) -> (i32, String) {
    let ran = process.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().unwrap(), text)
}

#[test]
fn two_installations_and_a_removal_at_once_leave_one_whole_plugin_or_none() {
    let host = Host::new();
    let (one, two) = (host.version("0.1.0"), host.version("0.2.0"));
    host.says(&["plugin", "install", &one, "--yes"], 0);
    for _ in 0..4 {
        let all = [
            host.begins(&["plugin", "install", &one, "--yes", "--allow-older"]),
            host.begins(&["plugin", "install", &two, "--yes", "--allow-older"]),
            host.begins(&["plugin", "remove", "x", "--yes"]),
        ];
        for (code, text) in all.map(ended) {
            let late = text.contains("were changed by somebody else") || text.contains("no plugin `x` is installed");
            assert!(code == 0 || late, "{code}: {text}");
        }
        match host.placed().as_slice() {
            [] => {}
            [a, b] => {
                assert_eq!((a.as_str(), b.as_str()), ("x.wasm", "x.wasm.minisig"));
                let text = host.says(&["plugin", "verify", &host.text("plugins/x.wasm")], 0);
                assert!(text.contains("is signed by the trusted key"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_command_waits_for_its_turn_and_says_who_has_it_when_that_takes_too_long() {
    let host = Host::new();
    host.says(&["plugin", "install", &host.version("0.1.0"), "--yes"], 0);
    let turn = host.takes_the_turn();
    fs::write(host.path("plugins.d/.lock"), std::process::id().to_string()).unwrap();
    let text = host.says(&["plugin", "disable", "x"], 1);
    let who = format!("(process {})", std::process::id());
    assert!(text.contains("are being changed by another command") && text.contains(&who), "{text}");
    assert!(text.contains("hint: nothing was changed; wait until it has ended"), "{text}");
    let waiting = host.begins(&["plugin", "disable", "x"]);
    host.waits(&waiting);
    drop(turn);
    assert_eq!(ended(waiting).0, 0);
    assert!(host.grant("x").contains("enabled = false"));
}

#[test]
fn an_installation_that_was_decided_before_something_else_was_placed_is_not_done() {
    let host = Host::new();
    let (one, two, three) = (host.version("0.1.0"), host.version("0.2.0"), host.version("0.3.0"));
    host.says(&["plugin", "install", &one, "--yes"], 0);
    let turn = host.takes_the_turn();
    let waiting = host.begins(&["plugin", "install", &two, "--yes"]);
    host.waits(&waiting);
    // Two would be older than what lies there now, and nobody said that this is wanted.
    for ending in ["", ".minisig"] {
        fs::copy(format!("{three}{ending}"), host.path(&format!("plugins/x.wasm{ending}"))).unwrap();
    }
    drop(turn);
    let (code, text) = ended(waiting);
    assert!(code == 1 && text.contains("were changed by somebody else while this was decided"), "{code}: {text}");
    assert_eq!(fs::read(host.path("plugins/x.wasm")).unwrap(), fs::read(&three).unwrap());
    // The same in the meantime is no difference.
    let turn = host.takes_the_turn();
    let four = host.version("0.4.0");
    let waiting = host.begins(&["plugin", "install", &four, "--yes"]);
    host.waits(&waiting);
    for ending in [".minisig", ""] {
        fs::copy(format!("{four}{ending}"), host.path(&format!("plugins/x.wasm{ending}"))).unwrap();
    }
    let grant = host.grant("x");
    drop(turn);
    let (code, text) = ended(waiting);
    assert_eq!((code, host.grant("x")), (0, grant), "{text}");
}

#[test]
fn a_purge_leaves_the_grant_of_what_was_installed_meanwhile() {
    let host = Host::new();
    let agent = host.start();
    let one = host.version("0.1.0");
    host.says(&["plugin", "install", &one, "--yes"], 0);
    let turn = host.takes_the_turn();
    let purging = host.begins(&["plugin", "remove", "x", "--purge", "--yes"]);
    host.waits(&purging);
    drop(turn);
    // Between its two turns it waits for the agent, which lets go of the plugin within seconds.
    let turn = host.takes_the_next_turn();
    assert_eq!(host.placed(), [""; 0]);
    host.waits(&purging);
    for ending in [".minisig", ""] {
        fs::copy(format!("{one}{ending}"), host.path(&format!("plugins/x.wasm{ending}"))).unwrap();
    }
    let grant = host.grant("x");
    drop(turn);
    let (code, text) = ended(purging);
    assert!(code == 1 && text.contains("plugins/x.wasm was put there meanwhile, so its grant"), "{code}: {text}");
    assert_eq!((host.grant("x"), text.contains("forgotten")), (grant, false), "{text}");
    agent.stop();
}
