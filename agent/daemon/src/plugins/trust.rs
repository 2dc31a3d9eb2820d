//! Whose components this host runs: those of the agent's own package, and those that a trusted key has signed.
//!
//! A signature is minisign's, detached, over the whole component; the manifest is a section of it, so one signature covers both.
//! A component in a trusted directory needs none: whoever can write there can replace the agent itself. `allow-unsigned` lets
//! components without a signature, or with a stranger's, in; a trusted key's signature that does not fit never goes through,
//! because then something was altered on its way.

use std::path::{Path, PathBuf};

use minisign_verify::{Error as VerifyError, PublicKey, Signature};

use super::Admission;
use crate::host::read_trusted_text;

/// A signature is four lines.
pub const SIGNATURE_BYTES_MAX: u64 = 4 * 1024;

/// Whom this host trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<Key>,
    dirs: Vec<PathBuf>,
    allow_unsigned: bool,
}

#[derive(Clone)]
struct Key {
    id: String,
    key: PublicKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.id)
    }
}

/// Why a component is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It lies in a trusted directory.
    Shipped,
    /// A trusted key has signed it.
    Signed {
        /// The key's id, as minisign prints it.
        key: String,
        /// What the signer wrote beside, covered by the signature.
        comment: String,
    },
    /// Nobody vouches for it, and the operator lets that pass.
    Unsigned,
}

/// Why a component is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// There is no signature.
    #[error(
        "it is not signed; put its signature beside it as {0}, or say `allow-unsigned = true` below [plugins] if nobody signs here"
    )]
    NoSignature(String),
    /// The signature cannot be read.
    #[error("its signature cannot be used: {0}")]
    Unreadable(String),
    /// Somebody else's signature.
    #[error(
        "it is signed by the key {0}, which is not among `trusted-keys` of [plugins]; add that key if you trust its owner"
    )]
    UnknownKey(String),
    /// A signature of another content.
    #[error(
        "the signature of the trusted key {0} does not fit: the component or its manifest was altered after signing; get both again"
    )]
    Altered(String),
    /// A key of the configuration.
    #[error("`{0}` is no public key of minisign; write the line that begins with `RW` of its .pub file")]
    Key(String),
}

impl Trust {
    /// Public keys in minisign's base64, directories that need no signature, and whether anybody may come without.
    pub fn new(keys: &[String], dirs: &[PathBuf], allow_unsigned: bool) -> Result<Self, TrustError> {
        let keys = keys.iter().map(|text| Key::parse(text)).collect::<Result<_, _>>()?;
        Ok(Self { keys, dirs: dirs.to_vec(), allow_unsigned })
    }

    /// Whether a directory needs no signatures.
    pub fn trusts_dir(&self, dir: &Path) -> bool {
        self.dirs.iter().any(|trusted| trusted == dir)
    }

    /// Whether the component that was read from `file` may be loaded; its signature is read from beside it.
    pub fn admit(&self, file: &Path, component: &[u8]) -> Result<Standing, TrustError> {
        if file.parent().is_some_and(|dir| self.trusts_dir(dir)) {
            return Ok(Standing::Shipped);
        }
        self.judge(component, signature_beside(file)?.as_deref(), &signature_file(file))
    }

    /// The same for a component and a signature at hand, wherever they lie; `wanted` is where a missing signature belongs.
    pub fn judge(&self, component: &[u8], signature: Option<&str>, wanted: &Path) -> Result<Standing, TrustError> {
        let verdict = match signature {
            None => Err(TrustError::NoSignature(wanted.display().to_string())),
            Some(text) => self.verify(component, text),
        };
        match verdict {
            Err(TrustError::NoSignature(_) | TrustError::UnknownKey(_)) if self.allow_unsigned => {
                Ok(Standing::Unsigned)
            }
            verdict => verdict,
        }
    }

    fn verify(&self, component: &[u8], text: &str) -> Result<Standing, TrustError> {
        let signature =
            Signature::decode(text).map_err(|_| TrustError::Unreadable("it is none of minisign".to_owned()))?;
        for key in &self.keys {
            match key.key.verify(component, &signature, false) {
                Ok(()) => {
                    let comment = signature.trusted_comment().to_owned();
                    return Ok(Standing::Signed { key: key.id.clone(), comment });
                }
                // Of another key; and one whose id was forged fails below, not here.
                Err(VerifyError::UnexpectedKeyId) => {}
                Err(VerifyError::UnsupportedLegacyMode) => {
                    let why = "it is of minisign's old kind, over the file and not its digest; sign again with a newer minisign";
                    return Err(TrustError::Unreadable(why.to_owned()));
                }
                Err(_) => return Err(TrustError::Altered(key.id.clone())),
            }
        }
        Err(TrustError::UnknownKey(signer(text)))
    }
}

impl Admission for Trust {
    fn admit(&self, file: &Path, component: &[u8]) -> Result<bool, String> {
        let standing = Self::admit(self, file, component).map_err(|error| error.to_string())?;
        Ok(standing != Standing::Unsigned)
    }
}

impl Key {
    fn parse(text: &str) -> Result<Self, TrustError> {
        let wrong = || TrustError::Key(text.chars().take(80).collect());
        let key = PublicKey::from_base64(text.trim()).map_err(|_| wrong())?;
        let id = minisign::PublicKey::from_base64(text.trim()).map(|key| key_id(key.keynum())).map_err(|_| wrong())?;
        Ok(Self { id, key })
    }
}

/// A key's id as minisign prints it.
pub fn key_id(number: &[u8]) -> String {
    number.iter().rev().fold(String::new(), |id, byte| format!("{id}{byte:02X}"))
}

/// Who claims to have signed.
fn signer(text: &str) -> String {
    minisign::SignatureBox::from_string(text).map_or_else(|_| "unknown".to_owned(), |it| key_id(it.keynum()))
}

/// Where a component's signature lies: `x.wasm.minisig`.
pub fn signature_file(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// The signature beside a component; `None`: there is none.
pub fn signature_beside(component: &Path) -> Result<Option<String>, TrustError> {
    match read_trusted_text(&signature_file(component), SIGNATURE_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrustError::Unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minisign::KeyPair;

    const COMPONENT: &[u8] = b"a component and its manifest";

    fn pair() -> (KeyPair, String) {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let public = pair.pk.to_base64();
        (pair, public)
    }

    fn sign(pair: &KeyPair, bytes: &[u8]) -> String {
        minisign::sign(Some(&pair.pk), &pair.sk, bytes, Some("it"), None).unwrap().into_string()
    }

    fn trust(keys: &[&str], allow_unsigned: bool) -> Trust {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        Trust::new(&keys, &["/usr/lib/holdfast/plugins".into()], allow_unsigned).unwrap()
    }

    #[track_caller]
    fn check(trust: &Trust, bytes: &[u8], signature: Option<&str>, wanted: Result<Standing, &str>) {
        match (trust.judge(bytes, signature, Path::new("x.minisig")), wanted) {
            (Ok(standing), Ok(wanted)) => assert_eq!(standing, wanted),
            (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
            (other, wanted) => panic!("{other:?}, not {wanted:?}"),
        }
    }

    #[test]
    fn a_trusted_keys_signature_is_let_in_and_names_its_key() {
        let ((a, public), (_, other)) = (pair(), pair());
        let signed = Standing::Signed { key: key_id(a.pk.keynum()), comment: "it".into() };
        check(&trust(&[&other, &public], false), COMPONENT, Some(&sign(&a, COMPONENT)), Ok(signed));
    }

    #[test]
    fn unsigned_and_strangers_are_refused_unless_the_operator_lets_them_pass() {
        let ((_, public), (stranger, _)) = (pair(), pair());
        let signature = sign(&stranger, COMPONENT);
        check(&trust(&[&public], false), COMPONENT, None, Err("it is not signed"));
        check(&trust(&[&public], false), COMPONENT, Some(&signature), Err("not among `trusted-keys`"));
        check(&trust(&[&public], true), COMPONENT, None, Ok(Standing::Unsigned));
        check(&trust(&[&public], true), COMPONENT, Some(&signature), Ok(Standing::Unsigned));
    }

    #[test]
    fn what_was_altered_after_signing_is_refused_whatever_the_operator_says() {
        let (a, public) = pair();
        let signature = sign(&a, COMPONENT);
        for lenient in [false, true] {
            check(&trust(&[&public], lenient), b"a component and its manifesto", Some(&signature), Err("was altered"));
            let comment = signature.replace("trusted comment: it", "trusted comment: IT");
            check(&trust(&[&public], lenient), COMPONENT, Some(&comment), Err("was altered"));
            check(&trust(&[&public], lenient), COMPONENT, Some("nonsense"), Err("cannot be used"));
        }
    }

    #[test]
    fn a_stranger_who_takes_a_trusted_keys_id_is_found_out() {
        let ((a, public), (stranger, _)) = (pair(), pair());
        let (mut real, forged) = (sign(&a, COMPONENT), sign(&stranger, b"other"));
        // The stranger's signature under a trusted id: the comment's signature fits neither.
        real = real.lines().take(2).chain(forged.lines().skip(2)).collect::<Vec<_>>().join("\n");
        check(&trust(&[&public], true), b"other", Some(&real), Err("was altered"));
    }

    #[test]
    fn only_the_directory_itself_is_trusted() {
        let trust = trust(&[], false);
        assert_eq!(trust.admit(Path::new("/usr/lib/holdfast/plugins/x.wasm"), b""), Ok(Standing::Shipped));
        assert!(trust.admit(Path::new("/usr/lib/holdfast/plugins/deep/x.wasm"), b"").is_err());
        assert!(trust.admit(Path::new("/usr/lib/holdfast/plugins/../x.wasm"), b"").is_err());
    }

    #[test]
    fn a_key_that_is_none_says_what_to_write() {
        let error = Trust::new(&["nonsense".to_owned()], &[], false).unwrap_err().to_string();
        assert!(error.contains("begins with `RW`"), "{error}");
    }
}
