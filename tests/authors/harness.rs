//! An author with an empty folder and the program alone.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use holdfast_tests::{agent, program, root};

/// What whoever follows the SDK's README does, in order.
pub(crate) enum Step {
    /// Types these lines.
    Shell(String),
    /// Puts this text into a file of the plugin's folder.
    File { path: String, text: String },
}

/// Every list of commands in the SDK's README, and every text that it says to put into a file.
pub(crate) fn steps() -> Result<Vec<Step>> {
    let readme = fs::read_to_string(root().join("plugin-sdk/README.md"))?;
    let (mut steps, mut before) = (Vec::new(), "");
    for (number, part) in readme.split("```").enumerate() {
        // Every other part stands between fences, its language first.
        if number % 2 == 1 {
            let (language, text) = part.split_once('\n').unwrap_or((part, ""));
            let path = before.rsplit_once("Put this into `").and_then(|(_, rest)| rest.trim_end().strip_suffix("`:"));
            match path {
                _ if language == "sh" => steps.push(Step::Shell(text.to_owned())),
                Some(path) => steps.push(Step::File { path: path.to_owned(), text: text.to_owned() }),
                None => {}
            }
        }
        before = part;
    }
    Ok(steps)
}

/// Every list of commands in the SDK's README, in order.
pub(crate) fn blocks() -> Result<Vec<String>> {
    let commands = |step| if let Step::Shell(text) = step { Some(text) } else { None };
    Ok(steps()?.into_iter().filter_map(commands).collect())
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
    /// What earlier runs have compiled is used.
    has_built: bool,
}

impl Author {
    pub(crate) fn new() -> Result<Self> {
        Self::with(&std::env::var("PATH").unwrap_or_default())
    }

    /// Whoever has never built a plugin: every crate is compiled. What cargo has downloaded for others of the machine is there.
    pub(crate) fn newcomer() -> Result<Self> {
        Ok(Self { has_built: false, ..Self::new()? })
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
        // By another process: while this one has a program open for writing, a child of another test inherits that, and nobody can start it.
        let copied = program("cp").arg(agent()?).arg(bin.join("holdfast")).status()?;
        ensure!(copied.success(), "cp: {copied}");
        fs::write(dir.path().join("holdfast.toml"), "")?;
        Ok(Self { path: format!("{}:{more}", bin.display()), dir, has_built: true })
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
        if self.has_built {
            shell.env("CARGO_TARGET_DIR", kept.join("cargo"));
        }
        shell.output().context("no shell")
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
