//! The operator's way through the real binary and a real agent: install, upgrade, switch off and on, remove.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod agentless;
mod documents;
mod folder;
mod life;
mod places;
mod together;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_holdfast");
const PATIENCE: u32 = 300;
const STEP: Duration = Duration::from_millis(100);

/// A built guest's bytes.
#[track_caller]
fn guest(path: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(path);
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", file.display()))
}

/// The hostile guest, which does nothing unless its settings say so, with this manifest.
fn component(id: &str, version: &str, more: &str) -> Vec<u8> {
    let mut wasm = guest("guests/hostile.wasm");
    // The manifest is the last section: its id, its length, its name's length, its name.
    let name = wasm.windows(17).rposition(|it| it == b"holdfast-manifest").unwrap();
    let length = wasm[..name - 1].iter().rev().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    wasm.truncate(name - 1 - length - 1);
    let manifest = format!(
        "id = \"{id}\"\nversion = \"{version}\"\ndescription = \"Looks after x\"\nroles = [\"check\", \"remediator\"]\n{more}\n\
         [settings]\ndeed = \"nothing\"\nwith = \"\"\n"
    );
    holdfast_plugin_build::with_manifest(wasm, &manifest).unwrap()
}

const FIRST: &str = "[wants]\nfiles = [\"/srv\", \"/opt\"]\nstate = true";
const WIDER: &str = "[wants]\nfiles = [\"/srv\", \"/etc\"]\nmetrics = true\nstate = true";

/// A host: directories, a configuration, keys. Its agent runs when a test starts it.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["in", "packaged"] {
            fs::create_dir_all(host.path(dir)).unwrap();
        }
        for key in ["ours", "theirs"] {
            host.says(&["plugin", "keygen", &host.text(&format!("{key}.key")), "--no-password"], 0);
        }
        let public = fs::read_to_string(host.path("ours.key.pub")).unwrap();
        host.configure(&format!("trusted-keys = [\"{}\"]", public.lines().nth(1).unwrap()));
        host
    }

    fn configure(&self, trust: &str) {
        let at = |name: &str| self.text(name);
        let text = format!(
            "[agent]\ndata-dir = \"{}\"\ncache-dir = \"{}\"\nsocket = \"{}\"\n[plugins]\ndirs = [\"{}\", \"{}\"]\n\
             trusted-dirs = [\"{}\"]\ngrants = \"{}\"\n{trust}\n[policy]\ndir = \"{}\"\n[watch]\nfiles = []\n[inventory]\nkinds = []\n\
             [actuator]\nsocket = \"{}\"\n",
            at("data"),
            at("cache"),
            at("s"),
            at("packaged"),
            at("plugins"),
            at("packaged"),
            at("plugins.d"),
            at("policy.d"),
            at("a"),
        );
        fs::write(self.path("holdfast.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A component in a file, signed by one of the keys.
    fn file(&self, name: &str, component: &[u8], key: Option<&str>) -> String {
        let file = self.path(&format!("in/{name}.wasm"));
        fs::write(&file, component).unwrap();
        let file = file.to_str().unwrap().to_owned();
        let _ = fs::remove_file(format!("{file}.minisig"));
        if let Some(key) = key {
            self.says(&["plugin", "sign", &file, "-k", &self.text(&format!("{key}.key")), "--no-password"], 0);
        }
        file
    }

    #[expect(clippy::disallowed_methods, reason = "a test of the command starts the command")]
    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).stdin(Stdio::null()).env_remove("HOLDFAST_SOCKET");
        if self.path("holdfast.toml").exists() {
            command.arg("--config").arg(self.path("holdfast.toml"));
        }
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// Must end with `code`; gives standard output and error.
    #[track_caller]
    fn says(&self, args: &[&str], code: i32) -> String {
        let ran = self.run(args);
        let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "holdfast {}: {text}", args.join(" "));
        text
    }

    /// Must end with `code`; gives the document.
    #[track_caller]
    fn json(&self, args: &[&str], code: i32) -> Value {
        let ran = self.run(&[args, &["--format", "json"]].concat());
        let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "holdfast {}: {text}", args.join(" "));
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn start(&self) -> Agent {
        let log = fs::File::create(self.path("log")).unwrap();
        let child = self.command().arg("run").stderr(log).spawn().unwrap();
        let agent = Agent(child);
        for _ in 0..PATIENCE {
            if self.run(&["status"]).status.success() {
                return agent;
            }
            std::thread::sleep(STEP);
        }
        panic!("the agent does not answer: {}", fs::read_to_string(self.path("log")).unwrap());
    }

    /// How the agent lists a plugin; null: it does not.
    fn listed(&self, id: &str) -> Value {
        let list = self.json(&["plugin", "list"], 0);
        list["plugins"].as_array().unwrap().iter().find(|it| it["id"] == id).cloned().unwrap_or_default()
    }

    /// Everything that lies in the plugin directory, by name.
    fn placed(&self) -> Vec<String> {
        let Ok(found) = fs::read_dir(self.path("plugins")) else { return Vec::new() };
        let mut names: Vec<String> = found.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn grant(&self, id: &str) -> String {
        fs::read_to_string(self.path(&format!("plugins.d/{id}.toml"))).unwrap()
    }
}

/// A running agent; ends with this value.
struct Agent(Child);

impl Agent {
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
