//! A host of a plugin suite: a directory of its own, with keys, a configuration that trusts one of them, and an agent on demand.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{Running, agent, program, says};

const STEPS: u32 = 300;
const STEP: Duration = Duration::from_millis(100);

/// See the module.
pub struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    /// With the keys `ours`, which it trusts, and `theirs`, which it does not; both without a password. No agent runs yet.
    pub fn new() -> Result<Self> {
        let host = Self { dir: tempfile::tempdir()? };
        fs::write(host.path("holdfast.toml"), "")?;
        for name in ["ours", "theirs"] {
            host.says(&["plugin", "keygen", &host.key(name), "--no-password"], 0)?;
        }
        let public = fs::read_to_string(host.path("ours.key.pub"))?;
        let at = |name: &str| host.path(name).display().to_string();
        let text = format!(
            "[agent]\ndata-dir = {:?}\ncache-dir = {:?}\nsocket = {:?}\n[plugins]\ndirs = [{:?}]\ngrants = {:?}\ntrusted-keys = [{:?}]\n\
             [policy]\ndir = {:?}\n[watch]\nfiles = []\n[inventory]\nkinds = []\n[actuator]\nsocket = {:?}\n",
            at("data"),
            at("cache"),
            at("s"),
            at("plugins"),
            at("plugins.d"),
            public.lines().nth(1).context("no key")?,
            at("policy.d"),
            at("a"),
        );
        fs::write(host.path("holdfast.toml"), text)?;
        Ok(host)
    }

    /// A place in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The file of a secret key.
    pub fn key(&self, name: &str) -> String {
        self.path(&format!("{name}.key")).display().to_string()
    }

    fn command(&self) -> Result<Command> {
        let mut command = program(agent()?);
        command.current_dir(self.dir.path()).env_remove("HOLDFAST_SOCKET");
        // Logins are those of this host, and not of whoever runs the suite.
        command.env("DOCKER_CONFIG", self.path("docker"));
        command.arg("--config").arg(self.path("holdfast.toml"));
        Ok(command)
    }

    /// Signs a component with a key.
    pub fn sign(&self, file: &str, key: &str) -> Result<String> {
        self.says(&["plugin", "sign", file, "--key", &self.key(key), "--no-password"], 0)
    }

    /// Starts the agent and waits until it answers; it ends with the value.
    pub fn start(&self) -> Result<Running> {
        let log = fs::File::create(self.path("log"))?;
        let agent = Running(self.command()?.arg("run").stdout(Stdio::null()).stderr(log).spawn()?);
        for _ in 0..STEPS {
            if self.command()?.arg("status").output()?.status.success() {
                return Ok(agent);
            }
            std::thread::sleep(STEP);
        }
        bail!("the agent does not answer: {}", fs::read_to_string(self.path("log"))?)
    }

    /// Whatever comes of it.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        self.command()?.args(args).output().context("the agent's program cannot be started")
    }

    /// Must end with `code`; gives standard output and error.
    pub fn says(&self, args: &[&str], code: i32) -> Result<String> {
        says(self.command()?.args(args), code)
    }

    /// Must end with `code`; gives the document.
    pub fn json(&self, args: &[&str], code: i32) -> Result<Value> {
        let text = self.says(&[args, &["--format", "json"]].concat(), code)?;
        serde_json::from_str(&text).with_context(|| format!("no document: {text}"))
    }

    /// Asks until the document is as it is wanted.
    pub fn until(&self, args: &[&str], code: i32, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..STEPS {
            last = self.json(args, code)?;
            if wanted(&last) {
                return Ok(last);
            }
            std::thread::sleep(STEP);
        }
        bail!("holdfast {} goes on answering {last}", args.join(" "))
    }
}
