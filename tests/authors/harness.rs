//! An author with an empty folder and the program alone, and a host whose agent runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_tests::{Running, agent, program, root, says};
use serde_json::Value;

const STEPS: u32 = 300;
const STEP: Duration = Duration::from_millis(100);

/// Every list of commands in the SDK's README, in order.
pub(crate) fn blocks() -> Result<Vec<String>> {
    let readme = fs::read_to_string(root().join("plugin-sdk/README.md"))?;
    Ok(readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect())
}

/// The commands that the README has for a language.
pub(crate) fn block(language: &str) -> Result<String> {
    let first = if language == "rust" {
        "holdfast plugin new log-size\n".to_owned()
    } else {
        format!("holdfast plugin new log-size --language {language}\n")
    };
    let found = blocks()?.into_iter().find(|block| block.starts_with(&first));
    found.with_context(|| format!("the README has no commands that begin with {first}"))
}

/// An author's folder, away from the checkout, with `holdfast` on the path.
pub(crate) struct Author {
    dir: tempfile::TempDir,
    path: String,
}

impl Author {
    pub(crate) fn new() -> Result<Self> {
        Self::with(&std::env::var("PATH").unwrap_or_default())
    }

    /// Whoever has nothing but `holdfast`.
    pub(crate) fn without_tools() -> Result<Self> {
        Self::with("")
    }

    fn with(more: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let bin = dir.path().join("bin");
        fs::create_dir_all(dir.path().join("work"))?;
        fs::create_dir(&bin)?;
        fs::copy(agent()?, bin.join("holdfast"))?;
        fs::write(dir.path().join("holdfast.toml"), "")?;
        Ok(Self { path: format!("{}:{more}", bin.display()), dir })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    fn run(&self, commands: &str) -> Result<Output> {
        // What the tools fetch is kept between runs, and nothing of it comes from the checkout.
        let kept = root().join("target/authors");
        let mut shell = program("/bin/sh");
        shell.args(["-e", "-c", commands]).current_dir(self.dir.path().join("work"));
        shell.env("PATH", &self.path).env_remove("CARGO").env("HOLDFAST_CONFIG", self.dir.path().join("holdfast.toml"));
        shell.env("npm_config_cache", kept.join("npm")).env("PIP_CACHE_DIR", kept.join("pip"));
        shell.env("CARGO_TARGET_DIR", kept.join("cargo")).output().context("no shell")
    }

    /// Runs commands one after the other; each must go well. Gives what they printed.
    pub(crate) fn shell(&self, commands: &str) -> Result<String> {
        let ran = self.run(commands)?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(ran.status.success(), "{commands}: {said}{}", String::from_utf8_lossy(&ran.stderr));
        Ok(said)
    }

    /// The same in the plugin's folder.
    pub(crate) fn in_folder(&self, command: &str) -> Result<String> {
        self.shell(&format!("cd log-size\n{command}"))
    }

    /// Must not go well; gives everything that was printed.
    pub(crate) fn fails(&self, commands: &str) -> Result<String> {
        let ran = self.run(commands)?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        ensure!(!ran.status.success(), "{commands} went well: {said}");
        Ok(said)
    }
}

/// A host with a key that it trusts.
pub(crate) struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    pub(crate) fn new() -> Result<Self> {
        let host = Self { dir: tempfile::tempdir()? };
        fs::write(host.path("holdfast.toml"), "")?;
        let key = host.path("ours.key").display().to_string();
        host.says(&["plugin", "keygen", &key, "--no-password"], 0)?;
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Result<Command> {
        let mut command = program(agent()?);
        command.current_dir(self.dir.path()).env_remove("HOLDFAST_SOCKET");
        command.arg("--config").arg(self.path("holdfast.toml"));
        Ok(command)
    }

    pub(crate) fn start(&self) -> Result<Running> {
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

    /// Must end with `code`; gives standard output and error.
    pub(crate) fn says(&self, args: &[&str], code: i32) -> Result<String> {
        says(self.command()?.args(args), code)
    }

    /// Must end with `code`; gives the document.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Result<Value> {
        let text = self.says(&[args, &["--format", "json"]].concat(), code)?;
        serde_json::from_str(&text).with_context(|| format!("no document: {text}"))
    }

    /// Asks until the document is as it is wanted.
    pub(crate) fn until(&self, args: &[&str], code: i32, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
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
