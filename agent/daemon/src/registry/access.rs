//! How a registry is approached: who asks, and which authorities are believed beside the host's own.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::auth::header;
use crate::host::{read_secret_text, read_trusted};

/// One line.
const LOGIN_BYTES_MAX: u64 = 4 * 1024;
/// All authorities of a distribution take a quarter of it.
const AUTHORITIES_BYTES_MAX: u64 = 1 << 20;

/// See the module. By default nobody asks, and the host's own authorities are believed.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Who asks, where the registry wants to know that.
    pub login: Login,
    /// Believed beside those of the host.
    pub authorities: Option<Authorities>,
}

impl Access {
    /// With a name and a password that somebody has given.
    pub fn with(credentials: Credentials) -> Self {
        Self { login: Login::Given(credentials), ..Self::default() }
    }
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub enum Login {
    /// Nobody.
    #[default]
    Nobody,
    /// A name and a password that somebody has given for this.
    Given(Credentials),
    /// A name and a password out of Docker's login store.
    Stored {
        /// Them.
        credentials: Credentials,
        /// Where they stand.
        file: PathBuf,
    },
    /// There may be a login, which cannot be used; why, for when one is wanted.
    Unusable(String),
}

impl Login {
    /// `Authorization: Basic …`.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        match self {
            Self::Given(credentials) | Self::Stored { credentials, .. } => credentials.basic(),
            Self::Nobody | Self::Unusable(_) => None,
        }
    }

    /// A sentence with, where there is one, the reason why there is no login.
    pub(super) fn explained(&self, why: String) -> String {
        match self {
            Self::Unusable(reason) => format!("{why}; {reason}"),
            _ => why,
        }
    }
}

/// A name and a password. Never shown.
#[derive(Clone)]
pub struct Credentials(String);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

impl Credentials {
    /// From a file whose first line is `NAME:PASSWORD` and that only its owner, and at most a group, may read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = read_secret_text(path, LOGIN_BYTES_MAX)?;
        let login = text.lines().next().and_then(Self::parse);
        login.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its first line is not NAME:PASSWORD"))
    }

    /// From `NAME:PASSWORD`; `None`: it is not that.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split_once(':').is_some_and(|(name, _)| !name.is_empty()).then(|| Self(text.to_owned()))
    }

    fn basic(&self) -> Option<HeaderValue> {
        header(&format!("Basic {}", STANDARD.encode(&self.0)))
    }
}

/// Certificates of authorities, such as that of a company's own registry.
#[derive(Debug, Clone)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// From a file with certificates in PEM, which not everybody may write.
    pub fn read(path: &Path) -> io::Result<Self> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
        let pem = read_trusted(path, AUTHORITIES_BYTES_MAX)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let found = found.map_err(|_| wrong("a certificate in it is damaged"))?;
        let mut usable = rustls::RootCertStore::empty();
        let (added, ignored) = usable.add_parsable_certificates(found.iter().cloned());
        if added == 0 || ignored > 0 {
            return Err(wrong("it holds no certificate in PEM, or one that is none of an authority"));
        }
        Ok(Self(found))
    }

    pub(super) fn certificates(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        self.0.iter().cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn credentials_that_everybody_may_read_are_not_taken_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("login");
        let with = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            Credentials::read(&file)
        };
        let good = with("me:s:ecret\n", 0o640).unwrap();
        assert_eq!(good.basic().unwrap(), "Basic bWU6czplY3JldA==");
        assert!(!format!("{good:?} {:?}", good.basic()).contains("bWU6"));
        assert!(with("me:secret\n", 0o644).unwrap_err().to_string().contains("chmod o="));
        assert!(with("secret\n", 0o600).is_err() && with("", 0o600).is_err() && with(":x", 0o600).is_err());
    }

    #[test]
    fn authorities_are_certificates_in_a_file_that_not_everybody_may_write() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let with = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            Authorities::read(&file).map(|it| it.certificates().count()).map_err(|error| error.to_string())
        };
        let pem = || rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem();
        assert_eq!(with(&format!("{}{}", pem(), pem()), 0o644), Ok(2));
        assert!(with("", 0o644).unwrap_err().contains("no certificate in PEM"));
        let cut = pem().replacen("\nMII", "\n*II", 1);
        assert!(with(&cut, 0o644).is_err(), "{cut}");
        let nothing = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(with(nothing, 0o644).unwrap_err().contains("none of an authority"));
        assert!(with(&pem(), 0o666).unwrap_err().contains("chmod o-w"));
    }
}
