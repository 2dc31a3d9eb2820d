//! A registry and a host without an agent, each in a directory of its own.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_tests::{Running, agent, free_address, program, root, says};
use serde_json::Value;

const REGISTRY: &str = "docker-registry";
const READY_STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(100);

/// A running `docker-registry` on loopback; ends with this value.
pub(crate) struct Registry {
    dir: tempfile::TempDir,
    host: String,
    _running: Running,
}

impl Registry {
    /// `login`: whom it lets in; everybody otherwise.
    pub(crate) fn start(login: Option<(&str, &str)>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let host = free_address()?;
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\"}}\n",
            dir.path().join("storage").display()
        );
        if let Some((name, password)) = login {
            let made = program("htpasswd").args(["-Bbn", name, password]).output();
            let made = made.context("htpasswd is not installed\nhint: apt-get install -y apache2-utils")?;
            let file = dir.path().join("htpasswd");
            fs::write(&file, made.stdout)?;
            writeln!(config, "auth: {{htpasswd: {{realm: plugins, path: {}}}}}", file.display())?;
        }
        let file = dir.path().join("config.yml");
        fs::write(&file, config)?;
        let log = fs::File::create(dir.path().join("log"))?;
        let child = program(REGISTRY)
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("docker-registry cannot be started\nhint: apt-get install -y docker-registry")?;
        let registry = Self { dir, host, _running: Running(child) };
        for _ in 0..READY_STEPS {
            if registry.answers().unwrap_or(false) {
                return Ok(registry);
            }
            std::thread::sleep(STEP);
        }
        bail!("docker-registry does not answer: {}", fs::read_to_string(registry.dir.path().join("log"))?)
    }

    fn answers(&self) -> Result<bool> {
        let mut stream = TcpStream::connect(&self.host)?;
        write!(stream, "GET /v2/ HTTP/1.0\r\nhost: {}\r\n\r\n", self.host)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1."))
    }

    /// A place in it.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.host)
    }

    /// The file that holds a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.dir.path().join(format!("storage/docker/registry/v2/blobs/sha256/{}/{digest}/data", &digest[..2]))
    }
}

/// Where plugins are installed; no agent runs.
pub(crate) struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    pub(crate) fn new() -> Result<Self> {
        let host = Self { dir: tempfile::tempdir()? };
        fs::write(host.path("holdfast.toml"), "")?;
        for key in ["ours", "theirs"] {
            let file = host.path(&format!("{key}.key"));
            host.says(&["plugin", "keygen", &file.to_string_lossy(), "--no-password"], 0)?;
        }
        let public = fs::read_to_string(host.path("ours.key.pub"))?;
        let key = public.lines().nth(1).context("no key")?;
        let at = |name: &str| host.path(name).display().to_string();
        let text = format!(
            "[agent]\nsocket = \"{}\"\n[plugins]\ndirs = [\"{}\"]\ngrants = \"{}\"\ntrusted-keys = [\"{key}\"]\n",
            at("s"),
            at("plugins"),
            at("plugins.d")
        );
        fs::write(host.path("holdfast.toml"), text)?;
        Ok(host)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A plugin of this repository in a file, signed by a key.
    pub(crate) fn signed(&self, plugin: &str, key: &str) -> Result<String> {
        let built = root().join(format!("target/plugins/{plugin}.wasm"));
        let file = self.path(&format!("{plugin}.wasm"));
        fs::copy(&built, &file).with_context(|| format!("{}\nhint: cargo xtask guests", built.display()))?;
        let file = file.to_string_lossy().into_owned();
        let key = self.path(&format!("{key}.key"));
        self.says(&["plugin", "sign", &file, "-k", &key.to_string_lossy(), "--no-password"], 0)?;
        Ok(file)
    }

    /// A file that nobody else may read.
    pub(crate) fn secret(&self, name: &str, text: &str) -> Result<String> {
        let path = self.path(name);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        writeln!(file, "{text}")?;
        Ok(path.to_string_lossy().into_owned())
    }

    fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = program(agent()?);
        command.current_dir(self.dir.path()).env_remove("HOLDFAST_SOCKET");
        command.arg("--config").arg(self.path("holdfast.toml")).args(args);
        Ok(command)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Result<Output> {
        self.command(args)?.output().context("the agent's program cannot be started")
    }

    /// Must end with `code`; gives standard output and error.
    pub(crate) fn says(&self, args: &[&str], code: i32) -> Result<String> {
        says(&mut self.command(args)?, code)
    }

    /// Must end with `code`; gives the document.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Result<Value> {
        let text = self.says(&[args, &["--format", "json"]].concat(), code)?;
        serde_json::from_str(&text).with_context(|| format!("no document: {text}"))
    }
}
