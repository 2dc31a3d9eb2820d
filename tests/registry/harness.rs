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
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const REGISTRY: &str = "docker-registry";
const READY_STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(100);

/// An authority that no host knows.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its certificate in a file of the host.
    pub(crate) fn file(&self, host: &Host, name: &str) -> Result<String> {
        let path = host.path(name);
        fs::write(&path, self.0.pem())?;
        Ok(path.to_string_lossy().into_owned())
    }
}

/// An address of this machine that is none of loopback's: TLS is spoken with it.
const FAR: &str = "0.0.0.0";

/// A running `docker-registry`; ends with this value.
pub(crate) struct Registry {
    dir: tempfile::TempDir,
    host: String,
    _running: Running,
}

impl Registry {
    /// On loopback, without TLS. `login`: whom it lets in; everybody otherwise.
    pub(crate) fn start(login: Option<(&str, &str)>) -> Result<Self> {
        Self::begin(login, None)
    }

    /// Seen as another host's, with a certificate that the authority has signed.
    pub(crate) fn secure(login: Option<(&str, &str)>, authority: &Authority) -> Result<Self> {
        Self::begin(login, Some(authority))
    }

    fn begin(login: Option<(&str, &str)>, authority: Option<&Authority>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut host = free_address()?;
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\"}}\n",
            dir.path().join("storage").display()
        );
        if let Some(Authority(issuer)) = authority {
            let key = KeyPair::generate()?;
            let (cert_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
            fs::write(&cert_file, CertificateParams::new(vec![FAR.to_owned()])?.signed_by(&key, issuer)?.pem())?;
            fs::write(&key_file, key.serialize_pem())?;
            let tls = format!("tls: {{certificate: {}, key: {}}}", cert_file.display(), key_file.display());
            config = config.replace(&format!("addr: \"{host}\""), &format!("addr: \"{host}\", {tls}"));
            host = host.replace("127.0.0.1", FAR);
        }
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
