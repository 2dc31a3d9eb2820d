//! `plugin keygen`, `sign` and `verify`: keys and signatures that the minisign tool reads and writes too.

use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use holdfast_plugin_host::{COMPONENT_BYTES_MAX, manifest_of};
use minisign::{KeyPair, PublicKey, SecretKeyBox};
use serde::Serialize;

use super::super::args_plugin::Password;
use super::super::exit::{DONE, Failure, NO, Outcome};
use super::Session;
use crate::config::Overrides;
use crate::host::read_trusted_text;
use crate::plugins::{Standing, Trust, key_id, signature_file};
use crate::telemetry::Chain;

/// A key is two lines.
const KEY_BYTES_MAX: u64 = 4 * 1024;

#[derive(Serialize)]
struct Keys {
    secret: PathBuf,
    public: PathBuf,
    key_id: String,
    /// For `[plugins] trusted-keys`.
    trusted_key: String,
}

#[derive(Serialize)]
struct Signed {
    file: PathBuf,
    signature: PathBuf,
    key_id: String,
    plugin: String,
    version: String,
}

#[derive(Serialize)]
struct Verified {
    file: PathBuf,
    plugin: String,
    version: String,
    valid: bool,
    key_id: Option<String>,
    comment: Option<String>,
    why: Option<String>,
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {why}", path.display()))
}

/// The password, or none; a line end is not part of it.
fn secret(password: &Password) -> Result<Option<String>, Failure> {
    let Some(file) = &password.password_file else { return Ok(None) };
    let text = read_trusted_text(file, KEY_BYTES_MAX).map_err(|error| unusable(file, error))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
        _ => Err(unusable(file, "its first line is empty").hint("write the password there, or say --no-password")),
    }
}

/// Writes a file that must not be there.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    written
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| unusable(path, error))
}

pub(super) fn keygen(it: &Session, file: &Path, password: &Password) -> Outcome {
    let broken = |error: minisign::PError| Failure::new(NO, format!("cannot make keys: {error}"));
    let pair = match secret(password)? {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    }
    .map_err(broken)?;
    let id = key_id(pair.pk.keynum());
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    let secret_text = pair.sk.to_box(Some("holdfast plugin secret key")).map_err(broken)?.into_string();
    write_new(file, &format!("{}\n", secret_text.trim_end()), 0o600)?;
    let trusted_key = pair.pk.to_base64();
    write_new(&public, &format!("untrusted comment: minisign public key {id}\n{trusted_key}\n"), 0o644)?;
    let keys = Keys { secret: file.to_owned(), public, key_id: id, trusted_key };
    it.out.document(&keys, |_| {
        format!(
            "Key {} is in {} (keep it secret) and {}.\nHosts that are to trust it say, below [plugins]:\n\n  trusted-keys = [\"{}\"]\n",
            keys.key_id, keys.secret.display(), keys.public.display(), keys.trusted_key
        )
    })?;
    Ok(DONE)
}

fn component(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs::metadata(file).map_err(|error| unusable(file, error))?.len();
    if bytes > COMPONENT_BYTES_MAX as u64 {
        return Err(unusable(file, format!("it has {bytes} bytes, a component has at most {COMPONENT_BYTES_MAX}")));
    }
    fs::read(file).map_err(|error| unusable(file, error))
}

pub(super) fn sign(it: &Session, file: &Path, key: &Path, password: &Password) -> Outcome {
    let bytes = component(file)?;
    // Nothing is signed that no host would load.
    let manifest = manifest_of(&bytes).map_err(|error| unusable(file, Chain(&error)))?;
    let text = read_trusted_text(key, KEY_BYTES_MAX).map_err(|error| unusable(key, error))?;
    let boxed = SecretKeyBox::from_string(&text).map_err(|_| unusable(key, "that is no secret key of minisign"))?;
    let opened = match secret(password)? {
        Some(password) => boxed.into_secret_key(Some(password)),
        None => boxed.into_unencrypted_secret_key(),
    };
    let secret_key = opened.map_err(|error| {
        unusable(key, format!("the key cannot be opened: {error}"))
            .hint("is the password right? a key without one needs --no-password")
    })?;
    let public = PublicKey::from_secret_key(&secret_key).map_err(|error| unusable(key, error))?;
    let comment = format!("holdfast plugin {} {} at {}", manifest.id, manifest.version, it.out.now());
    let signature = minisign::sign(
        Some(&public),
        &secret_key,
        Cursor::new(&bytes),
        Some(&comment),
        Some("signature of a holdfast plugin"),
    )
    .map_err(|error| Failure::new(NO, format!("cannot sign: {error}")))?;
    let target = signature_file(file);
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(dir).map_err(|error| unusable(dir, error))?;
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    fresh
        .write_all(signature.into_string().as_bytes())
        .and_then(|()| fresh.as_file().set_permissions(mode))
        .map_err(|error| unusable(&target, error))?;
    fresh.persist(&target).map_err(|error| unusable(&target, error.error))?;
    let signed = Signed {
        file: file.to_owned(),
        signature: target,
        key_id: key_id(public.keynum()),
        plugin: manifest.id,
        version: manifest.version,
    };
    it.out.document(&signed, |_| {
        format!("{} {} is signed by {}: {}\n", signed.plugin, signed.version, signed.key_id, signed.signature.display())
    })?;
    Ok(DONE)
}

/// A key as it is, or the second line of a .pub file.
fn public_key(text: &str) -> Result<String, Failure> {
    let path = Path::new(text);
    if !path.is_file() {
        return Ok(text.to_owned());
    }
    let content = read_trusted_text(path, KEY_BYTES_MAX).map_err(|error| unusable(path, error))?;
    let line = content.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"));
    line.map(str::to_owned).ok_or_else(|| unusable(path, "there is no key in it"))
}

/// Whom the configuration trusts, with nothing let pass.
pub(super) fn trust(it: &Session, keys: &[String]) -> Result<Trust, Failure> {
    let keys = if keys.is_empty() {
        super::config::load(it.global.config.as_deref(), &Overrides::default())?.config.plugins.trusted_keys
    } else {
        keys.iter().map(|key| public_key(key)).collect::<Result<_, _>>()?
    };
    Trust::new(&keys, &[], false).map_err(Failure::usage)
}

pub(super) fn verify(it: &Session, file: &Path, keys: &[String]) -> Outcome {
    let trust = trust(it, keys)?;
    let bytes = component(file)?;
    let manifest = manifest_of(&bytes).map_err(|error| unusable(file, Chain(&error)))?;
    let verdict = trust.admit(file, &bytes);
    let mut verified = Verified {
        file: file.to_owned(),
        plugin: manifest.id,
        version: manifest.version,
        valid: false,
        key_id: None,
        comment: None,
        why: None,
    };
    match verdict {
        Ok(Standing::Signed { key, comment }) => {
            (verified.valid, verified.key_id, verified.comment) = (true, Some(key), Some(comment));
        }
        Ok(Standing::Shipped | Standing::Unsigned) => verified.why = Some("nobody vouches for it".to_owned()),
        Err(error) => verified.why = Some(error.to_string()),
    }
    it.out.document(&verified, |_| match (&verified.key_id, &verified.why) {
        (Some(key), _) => format!(
            "{} {} is signed by the trusted key {key}: {}\n",
            verified.plugin,
            verified.version,
            verified.comment.as_deref().unwrap_or_default()
        ),
        (None, why) => format!("{}: {}\n", verified.file.display(), why.as_deref().unwrap_or_default()),
    })?;
    Ok(if verified.valid { DONE } else { NO })
}
