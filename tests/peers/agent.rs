//! The agent in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_tests::{agent, now, program};
use serde_json::Value;

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running agent; its end is this value's.
pub(crate) struct Agent {
    dir: tempfile::TempDir,
    child: Child,
}

impl Agent {
    /// Starts it with this in its configuration and waits until it answers.
    pub(crate) fn start(config: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        configure(dir.path(), config)?;
        let child = spawn(dir.path())?;
        let mut it = Self { dir, child };
        it.answers()?;
        Ok(it)
    }

    fn answers(&mut self) -> Result<()> {
        let answers = self.until("the agent answers", STARTS_WITHIN, |it| Ok(it.ask(&["status"]).ok()));
        answers.map_err(|why| why.context(self.log()))?;
        Ok(())
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after its end, over the same directory.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.child = spawn(self.dir.path())?;
        self.answers()
    }

    /// Another configuration, as `systemctl reload` brings it.
    pub(crate) fn reload(&self, config: &str) -> Result<()> {
        configure(self.dir.path(), config)?;
        signal(&self.child, rustix::process::Signal::HUP);
        Ok(())
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Where it listens for people.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// What the command line answers, as JSON.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<Value> {
        let output =
            program(agent()?).arg("--socket").arg(self.socket()).args(["--format", "json"]).args(args).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "holdfast {}: {}: {said}", args.join(" "), output.status);
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Waits until `look` gives something.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        look: impl Fn(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let started = now();
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended ({status}) before {what}\n{}", self.log());
            }
            ensure!(started.elapsed() < within, "not within {} s: {what}", within.as_secs());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The newest value of each series of a metric with these attributes (`name=value`), by the value of `by`.
    pub(crate) fn newest(&self, metric: &str, attributes: &[&str], by: &str) -> Result<Vec<(String, f64)>> {
        let mut args = vec!["metrics", "query", metric, "--since", "2m"];
        for attribute in attributes {
            args.extend(["--where", attribute]);
        }
        let answer = match self.ask(&args) {
            // It is not known yet.
            Err(why) if why.to_string().contains("there is no metric") || why.to_string().contains("no series of") => {
                return Ok(Vec::new());
            }
            answer => answer?,
        };
        let series = answer["series"].as_array().context("an answer has series")?;
        let value = |it: &Value| {
            let name = it["attributes"][by].as_str().unwrap_or_default().to_owned();
            let newest = it["points"].as_array()?.iter().rev().find_map(|point| point[1].as_f64())?;
            Some((name, newest))
        };
        Ok(series.iter().filter_map(value).collect())
    }

    /// How one receiver stands.
    pub(crate) fn receiver(&self, name: &str) -> Result<Value> {
        let status = self.ask(&["status"])?;
        let all = status["receivers"].as_array().context("status names the receivers")?;
        all.iter().find(|it| it["name"] == name).cloned().with_context(|| format!("no receiver {name}: {all:?}"))
    }

    /// A line of `/proc/PID/status`, in KiB: `VmRSS`, `VmHWM`.
    pub(crate) fn memory_kib(&self, line: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let found = text.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(':'));
        Ok(found.context("no such line")?.trim().trim_end_matches(" kB").parse()?)
    }
}

fn spawn(dir: &Path) -> Result<Child> {
    let place = |name: &str| dir.join(name).display().to_string();
    let log = fs::File::create(place("log"))?;
    let child = program(agent()?)
        .args(["--config", &place("holdfast.toml"), "--socket", &place("socket")])
        .args(["run", "--data-dir", &place("data")])
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(child)
}

/// Writes the configuration: this, beside what keeps the agent to its own directory.
fn configure(dir: &Path, config: &str) -> Result<()> {
    let none = dir.join("none").display().to_string();
    let text = format!(
        "[agent]\nenvironment = \"staging\"\n[policy]\ndir = \"{none}\"\n[plugins]\ndirs = [\"{none}\"]\ngrants = \"{none}\"\n{config}"
    );
    Ok(fs::write(dir.join("holdfast.toml"), text)?)
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    use rustix::process::{Pid, kill_process};
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        signal(&self.child, rustix::process::Signal::TERM);
        let started = now();
        while started.elapsed() < STOPS_WITHIN && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
