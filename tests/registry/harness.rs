//! A registry in a directory of its own, and what is pushed to it.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_tests::{Host, Running, free_address, program, root};

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

/// A plugin of this repository in a file of the host, signed by a key.
pub(crate) fn signed(host: &Host, plugin: &str, key: &str) -> Result<String> {
    let built = root().join(format!("target/plugins/{plugin}.wasm"));
    let file = host.path(&format!("{plugin}.wasm"));
    fs::copy(&built, &file).with_context(|| format!("{}\nhint: cargo xtask guests", built.display()))?;
    let file = file.to_string_lossy().into_owned();
    host.sign(&file, key)?;
    Ok(file)
}

/// A file that nobody else may read.
pub(crate) fn secret(host: &Host, name: &str, text: &str) -> Result<String> {
    let path = host.path(name);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{text}")?;
    Ok(path.to_string_lossy().into_owned())
}
