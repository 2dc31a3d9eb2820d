//! Puts Holdfast into a machine as a package would: the binaries that cargo built, the plugins, and the files of `packaging/`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_tests::root;
use serde_json::Value;

use super::machine::{Machine, Ran};

const READY_MAX: Duration = Duration::from_secs(30);

/// What a command of ours answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    /// Standard output as JSON; null when it is none.
    pub(crate) json: Value,
    pub(crate) ran: Ran,
}

impl Machine {
    /// A booted machine with everything installed, nothing configured, nothing started.
    pub(crate) fn installed() -> Result<Self> {
        let machine = Self::boot()?;
        let built = root().join("target/debug");
        for name in ["holdfast", "holdfast-actuator"] {
            machine.copy_in(&built.join(name), &format!("/usr/bin/{name}"), 0o755)?;
        }
        let plugins = root().join("target/plugins");
        let entries = fs::read_dir(&plugins)
            .with_context(|| format!("no plugins in {}\nhint: cargo xtask guests", plugins.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "wasm") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                machine.copy_in(&path, &format!("/usr/lib/holdfast/plugins/{name}"), 0o644)?;
            }
        }
        for (from, to) in [
            ("systemd", "/usr/lib/systemd/system"),
            ("sysusers.d", "/usr/lib/sysusers.d"),
            ("tmpfiles.d", "/usr/lib/tmpfiles.d"),
        ] {
            for entry in fs::read_dir(root().join("packaging").join(from))? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                machine.copy_in(&path, &format!("{to}/{name}"), 0o644)?;
            }
        }
        machine.copy_in(&root().join("packaging/actuator.toml"), "/etc/holdfast/actuator.toml", 0o644)?;
        machine.run("systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload")?;
        Ok(machine)
    }

    fn copy_in(&self, from: &std::path::Path, to: &str, mode: u32) -> Result<()> {
        let content = fs::read(from)
            .with_context(|| format!("cannot read {}\nhint: cargo build --workspace --bins", from.display()))?;
        self.write_file(to, content, mode)
    }

    /// Starts socket and agent, and waits until the agent answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        let started = self.try_run("systemctl enable --now holdfast-actuator.socket holdfast.service")?;
        ensure!(started.code == 0, "the agent does not start: {}{}", started.stderr, self.journal("holdfast")?);
        self.until_ready()
    }

    /// Waits until the agent answers.
    pub(crate) fn until_ready(&mut self) -> Result<()> {
        self.wait_until("the agent answers", READY_MAX, |m| Ok((m.try_run("holdfast status")?.code == 0).then_some(())))
    }

    /// One of our commands, asked for JSON.
    pub(crate) fn holdfast(&self, args: &[&str]) -> Result<Said> {
        let mut argv = vec!["holdfast", "--format", "json"];
        argv.extend(args);
        let ran = self.exec(&argv)?;
        let json = serde_json::from_str(&ran.stdout).unwrap_or(Value::Null);
        Ok(Said { code: ran.code, json, ran })
    }

    /// The same; must answer 0.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<Value> {
        let said = self.holdfast(args)?;
        if said.code != 0 {
            bail!("`holdfast {}` answered {}: {}{}", args.join(" "), said.code, said.ran.stdout, said.ran.stderr);
        }
        Ok(said.json)
    }
}
