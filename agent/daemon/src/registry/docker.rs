//! Docker's login store, `config.json`: where `docker login`, `podman login --compat-auth-file` and others leave names and passwords.
//!
//! Read only, and asked only for the host in question. A login that a helper program keeps is not fetched: programs out of `$PATH` are
//! not started with the rights of whoever installs plugins. That is said when a registry wants a login, and not before.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::access::{Credentials, Login};
use crate::host::read_secret_text;

const STORE_BYTES_MAX: u64 = 1 << 20;
const INSTEAD: &str = "name a file with --credentials instead";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Store {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    helper: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    #[serde(rename = "identitytoken")]
    token: String,
}

/// Docker's folder: `$DOCKER_CONFIG`, or else `.docker` of the home directory.
pub fn folder() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    named("DOCKER_CONFIG").or_else(|| named("HOME").map(|home| home.join(".docker")))
}

/// What the store in this folder has for a registry.
pub fn stored(folder: &Path, host: &str) -> Login {
    let file = folder.join("config.json");
    match read_secret_text(&file, STORE_BYTES_MAX) {
        Ok(text) => match find(&text, host) {
            Ok(None) => Login::Nobody,
            Ok(Some(credentials)) => Login::Stored { credentials, file },
            Err(why) => Login::Unusable(format!("{}: {why}", file.display())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Login::Nobody,
        Err(error) => Login::Unusable(format!("{}: {error}", file.display())),
    }
}

/// Pure. Errors: there is a login for this host, or there may be, that cannot be used.
fn find(text: &str, host: &str) -> Result<Option<Credentials>, String> {
    // Serde's words may hold a piece of the text, and the text holds passwords.
    let store: Store = serde_json::from_str(text)
        .map_err(|error| format!("it cannot be read at line {}, column {}", error.line(), error.column()))?;
    let kept = |helper: &str| {
        Err(format!(
            "docker-credential-{} keeps the login for {host}, and is not asked; {INSTEAD}",
            helper.escape_debug()
        ))
    };
    if let Some((_, helper)) = store.helpers.iter().find(|(key, _)| is_of(key, host)) {
        return kept(helper);
    }
    let exact = store.auths.get_key_value(host);
    let Some((_, entry)) = exact.or_else(|| store.auths.iter().find(|(key, _)| is_of(key, host))) else {
        return Ok(None);
    };
    if !entry.auth.is_empty() {
        // Docker pads a password with NUL.
        let plain = STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let login = plain.as_deref().map(|text| text.trim_end_matches('\0')).and_then(Credentials::parse);
        return login.map(Some).ok_or_else(|| format!("`auth` of {host} is not NAME:PASSWORD in base64; {INSTEAD}"));
    }
    if !entry.username.is_empty() {
        return Ok(Credentials::parse(&format!("{}:{}", entry.username, entry.password)));
    }
    if !entry.token.is_empty() {
        return Err(format!(
            "the login for {host} is a token of an identity provider, which is not understood; {INSTEAD}"
        ));
    }
    if store.helper.is_empty() { Ok(None) } else { kept(&store.helper) }
}

/// Whether a key of the store is for this host: `host`, `https://host`, `https://host/v1/`.
fn is_of(key: &str, host: &str) -> bool {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let name = rest.split('/').next().unwrap_or_default();
    let hub = name == "index.docker.io" && matches!(host, "docker.io" | "registry-1.docker.io");
    name.eq_ignore_ascii_case(host) || hub
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// `me:secret`, as a header; nobody; or why not.
    #[track_caller]
    fn check(store: &str, host: &str, wanted: Result<Option<&str>, &str>) {
        let found =
            find(store, host).map(|it| it.map(|it| Login::Given(it).basic().unwrap().to_str().unwrap().to_owned()));
        match (&found, wanted) {
            (Ok(found), Ok(wanted)) => assert_eq!(found.as_deref(), wanted, "{store} {host}"),
            (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{found}"),
            _ => panic!("{store} {host}: {found:?}"),
        }
    }

    const LOGIN: Result<Option<&str>, &str> = Ok(Some("Basic bWU6c2VjcmV0"));

    #[test]
    fn a_login_is_found_by_the_host_as_docker_and_others_write_it() {
        for key in
            ["r.example:5000", "https://r.example:5000", "https://r.example:5000/v1/", "http://R.example:5000/v2/"]
        {
            check(&format!(r#"{{"auths":{{"{key}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#), "r.example:5000", LOGIN);
        }
        let store = r#"{"auths":{"r.example":{"auth":"bWU6c2VjcmV0"}},"HttpHeaders":{"a":"b"}}"#;
        check(store, "r.example:5000", Ok(None));
        check(store, "xr.example", Ok(None));
        check("{}", "r.example", Ok(None));
        check(r#"{"auths":{"r.example":{"username":"me","password":"secret"}}}"#, "r.example", LOGIN);
        check(r#"{"auths":{"r.example":{"auth":"bWU6c2VjcmV0AAA="}}}"#, "r.example", LOGIN);
        let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"}}}"#;
        check(hub, "registry-1.docker.io", LOGIN);
        check(hub, "r.example", Ok(None));
        // The one that is written as the host is written counts before others.
        let two = r#"{"auths":{"https://r.example":{"auth":"eDp5"},"r.example":{"auth":"bWU6c2VjcmV0"}}}"#;
        check(two, "r.example", LOGIN);
    }

    #[test]
    fn what_cannot_be_used_says_what_to_do_and_nothing_of_the_secret() {
        let kept = Err(
            "docker-credential-desktop keeps the login for r.example, and is not asked; name a file with --credentials",
        );
        check(r#"{"auths":{"r.example":{}},"credsStore":"desktop"}"#, "r.example", kept);
        check(r#"{"credHelpers":{"r.example":"desktop"}}"#, "r.example", kept);
        check(r#"{"auths":{},"credsStore":"desktop"}"#, "r.example", Ok(None));
        check(r#"{"auths":{"r.example":{"auth":"!"}}}"#, "r.example", Err("not NAME:PASSWORD in base64"));
        check(r#"{"auths":{"r.example":{"auth":"c2VjcmV0"}}}"#, "r.example", Err("not NAME:PASSWORD in base64"));
        check(r#"{"auths":{"r.example":{"identitytoken":"x"}}}"#, "r.example", Err("identity provider"));
        let broken = find(r#"{"auths":{"r.example":"bWU6c2VjcmV0"}}"#, "r.example").unwrap_err();
        assert!(broken.contains("line 1") && !broken.contains("bWU6"), "{broken}");
    }

    #[test]
    fn a_store_that_others_may_read_is_no_secret_and_none_is_nobody() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(stored(dir.path(), "r.example"), Login::Nobody));
        let file = dir.path().join("config.json");
        std::fs::write(&file, r#"{"auths":{"r.example":{"auth":"bWU6c2VjcmV0"}}}"#).unwrap();
        let with = |mode| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            stored(dir.path(), "r.example")
        };
        assert!(matches!(with(0o600), Login::Stored { file: from, .. } if from == file));
        let Login::Unusable(why) = with(0o644) else { panic!("everybody may read it") };
        assert!(why.contains("chmod o="), "{why}");
    }
}
