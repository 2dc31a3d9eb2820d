//! Plugins out of a real OCI registry, Debian's `docker-registry` on this host: `cargo xtask registry [FILTER]`.
//!
//! Pushed and pulled by the real binary; what lies in the registry's storage is altered there, as whoever holds it could.

mod harness;

use std::fs;

use anyhow::{Context, Result, ensure};
use harness::{Authority, Registry, secret, signed};
use holdfast_tests::Host;

#[test]
fn what_was_pushed_is_installed_by_tag_and_by_digest() -> Result<()> {
    let (host, registry) = (Host::new()?, Registry::start(None)?);
    let file = signed(&host, "unit-medic", "ours")?;
    let tag = registry.at("plugins/unit-medic:0.1.0");
    let pushed = host.json(&["plugin", "push", &file, &tag], 0)?;
    ensure!(pushed["signed"] == true && pushed["known"] == false, "{pushed}");
    let pinned = pushed["pinned"].as_str().context("no digest")?.to_owned();
    // The same again is the same.
    let again = host.json(&["plugin", "push", &file, &tag], 0)?;
    ensure!(again["pinned"] == pinned.as_str() && again["known"] == true, "{again}");

    let done = host.json(&["plugin", "install", &tag, "--yes"], 0)?;
    ensure!(done["source"] == pinned.as_str() && done["digest"] == pushed["digest"], "{done}");
    ensure!(done["signer"].is_string() && done["notes"][0].to_string().contains("the tag 0.1.0 is sha256:"), "{done}");
    ensure!(fs::read(host.path("plugins/unit-medic.wasm"))? == fs::read(&file)?, "other bytes were placed");
    ensure!(host.path("plugins/unit-medic.wasm.minisig").is_file(), "no signature was placed");

    host.says(&["plugin", "remove", "unit-medic", "--yes"], 0)?;
    let done = host.json(&["plugin", "install", &pinned, "--yes"], 0)?;
    ensure!(done["notes"] == serde_json::json!([]) && done["changed"] == true, "{done}");
    Ok(())
}

#[test]
fn a_tag_that_moved_is_said_and_a_pinned_digest_is_what_is_taken() -> Result<()> {
    let (host, registry) = (Host::new()?, Registry::start(None)?);
    let tag = registry.at("plugins/one:stable");
    let pinned = host.json(&["plugin", "push", &signed(&host, "unit-medic", "ours")?, &tag], 0)?["pinned"].clone();
    let digest = pinned.as_str().and_then(|it| it.split('@').nth(1)).context("no digest")?.to_owned();
    host.json(&["plugin", "push", &signed(&host, "cert-expiry", "ours")?, &tag], 0)?;
    let done = host.json(&["plugin", "install", &format!("{tag}@{digest}"), "--yes"], 0)?;
    ensure!(done["plugin"] == "unit-medic", "{done}");
    ensure!(done["notes"][0].to_string().contains("the tag stable has moved"), "{done}");
    let wrong = format!("{}@sha256:{}", registry.at("plugins/one"), "0".repeat(64));
    let text = host.says(&["plugin", "install", &wrong, "--yes"], 1)?;
    ensure!(text.contains("says 404 to the manifest"), "{text}");
    let text = host.says(&["plugin", "install", &tag, "--yes", "--digest", &"0".repeat(64)], 5)?;
    ensure!(text.contains("was asked for") && !host.path("plugins/cert-expiry.wasm").exists(), "{text}");
    Ok(())
}

#[test]
fn what_is_altered_in_the_registry_is_never_placed() -> Result<()> {
    let (host, registry) = (Host::new()?, Registry::start(None)?);
    let tag = registry.at("unit-medic:1");
    let pushed = host.json(&["plugin", "push", &signed(&host, "unit-medic", "ours")?, &tag], 0)?;
    let component = registry.blob(pushed["digest"].as_str().context("no digest")?);
    let whole = fs::read(&component)?;
    for (bytes, wanted) in [
        ([&whole[..whole.len() - 1], &[whole[whole.len() - 1] ^ 1]].concat(), "damaged or exchanged"),
        (whole[..whole.len() / 2].to_vec(), "damaged or exchanged"),
        ([whole.as_slice(), &[0]].concat(), "are allowed"),
    ] {
        fs::write(&component, bytes)?;
        let ran = host.run(&["plugin", "install", &tag, "--yes"])?;
        let text = String::from_utf8_lossy(&ran.stderr).into_owned();
        ensure!(!ran.status.success() && text.contains(wanted), "{wanted}: {text}");
        ensure!(!host.path("plugins").exists(), "something was placed: {text}");
    }
    fs::write(&component, &whole)?;
    host.says(&["plugin", "install", &tag, "--yes", "--dry-run"], 0)?;
    // The manifest, with the signature taken out of it: the registry still names the old digest, or refuses itself.
    let manifest = pushed["pinned"].as_str().and_then(|it| it.split("sha256:").nth(1)).context("no digest")?;
    let manifest = registry.blob(manifest);
    let text = fs::read_to_string(&manifest)?;
    fs::write(&manifest, text.replace("holdfast.plugin.minisig", "holdfast.plugin.minisiG"))?;
    let ran = host.run(&["plugin", "install", &tag, "--yes"])?;
    ensure!(!ran.status.success() && !host.path("plugins").exists(), "{ran:?}");
    Ok(())
}

#[test]
fn whoever_signed_decides_and_not_where_it_lies() -> Result<()> {
    let (host, registry) = (Host::new()?, Registry::start(None)?);
    let tag = registry.at("x:1");
    let unsigned = signed(&host, "unit-medic", "ours")?;
    fs::remove_file(format!("{unsigned}.minisig"))?;
    host.says(&["plugin", "push", &unsigned, &tag], 0)?;
    let text = host.says(&["plugin", "install", &tag, "--yes"], 5)?;
    ensure!(text.contains("it is not signed") && text.contains("plugin push"), "{text}");
    host.says(&["plugin", "push", &signed(&host, "unit-medic", "theirs")?, &tag], 0)?;
    let text = host.says(&["plugin", "install", &tag, "--yes"], 5)?;
    ensure!(text.contains("not among `trusted-keys`") && !host.path("plugins").exists(), "{text}");
    let text = host.says(&["plugin", "install", &registry.at("x:2"), "--yes"], 1)?;
    ensure!(text.contains("MANIFEST_UNKNOWN") && text.contains("hint: is there such a name"), "{text}");
    Ok(())
}

#[test]
fn a_registry_that_asks_who_it_is_gets_a_name_and_a_password_from_a_file() -> Result<()> {
    let (host, registry) = (Host::new()?, Registry::start(Some(("plugins", "secret")))?);
    let (file, tag) = (signed(&host, "unit-medic", "ours")?, registry.at("unit-medic:1"));
    let text = host.says(&["plugin", "push", &file, &tag], 5)?;
    ensure!(text.contains("asks for a name and a password") && text.contains("hint: name a file"), "{text}");
    let (good, wrong) = (secret(&host, "good", "plugins:secret")?, secret(&host, "wrong", "plugins:guess")?);
    host.says(&["plugin", "push", &file, &tag, "--credentials", &wrong], 5)?;
    host.says(&["plugin", "push", &file, &tag, "--credentials", &good], 0)?;
    host.says(&["plugin", "install", &tag, "--yes"], 5)?;
    host.says(&["plugin", "install", &tag, "--yes", "--credentials", &good], 0)?;
    Ok(())
}

#[test]
fn a_registry_of_ones_own_authority_is_believed_where_that_is_named_and_nowhere_else() -> Result<()> {
    let (ours, other) = (Authority::new()?, Authority::new()?);
    let (host, registry) = (Host::new()?, Registry::secure(None, &ours)?);
    let (file, tag) = (signed(&host, "unit-medic", "ours")?, registry.at("plugins/unit-medic:1"));
    let (right, wrong) = (ours.file(&host, "ca.pem")?, other.file(&host, "other.pem")?);
    for args in [&[][..], &["--ca-file", &wrong]] {
        let text = host.says(&[&["plugin", "push", &file, &tag], args].concat(), 1)?;
        ensure!(text.contains("cannot be reached") && text.contains("invalid peer certificate"), "{text}");
        ensure!(text.contains("--ca-file, or as `registry-ca-file` of [plugins]"), "{text}");
    }
    host.says(&["plugin", "push", &file, &tag, "--ca-file", &right], 0)?;
    host.says(&["plugin", "install", &tag, "--yes"], 1)?;
    ensure!(!host.path("plugins").exists(), "something was placed");
    host.says(&["plugin", "install", &tag, "--yes", "--dry-run", "--ca-file", &right], 0)?;
    let config = fs::read_to_string(host.path("holdfast.toml"))?;
    let named = format!("[plugins]\nregistry-ca-file = {right:?}\n");
    fs::write(host.path("holdfast.toml"), config.replace("[plugins]\n", &named))?;
    let done = host.json(&["plugin", "install", &tag, "--yes"], 0)?;
    ensure!(done["plugin"] == "unit-medic" && host.path("plugins/unit-medic.wasm").is_file(), "{done}");
    // A file that is no certificate is a mistake, and no reason to believe anybody.
    let key = host.key("ours");
    let text = host.says(&["plugin", "install", &tag, "--yes", "--ca-file", &key], 2)?;
    ensure!(text.contains("it holds no certificate in PEM"), "{text}");
    Ok(())
}

#[test]
fn a_login_that_docker_has_kept_is_used_and_one_that_a_helper_keeps_says_what_to_do() -> Result<()> {
    let ours = Authority::new()?;
    let (host, registry) = (Host::new()?, Registry::secure(Some(("plugins", "secret")), &ours)?);
    let (file, tag, ca) =
        (signed(&host, "unit-medic", "ours")?, registry.at("unit-medic:1"), ours.file(&host, "ca.pem")?);
    let push = ["plugin", "push", file.as_str(), tag.as_str(), "--ca-file", ca.as_str()];
    let text = host.says(&push, 5)?;
    ensure!(text.contains("asks for a name and a password") && text.contains("`docker login`"), "{text}");
    fs::create_dir(host.path("docker"))?;
    let place = tag.trim_start_matches("oci://").split('/').next().context("no host")?.to_owned();
    let store = |text: String| -> Result<()> {
        let _ = fs::remove_file(host.path("docker/config.json"));
        secret(&host, "docker/config.json", &text).map(drop)
    };
    // As `docker login` writes it: `plugins:guess` and `plugins:secret` in base64.
    store(format!(r#"{{"auths": {{"{place}": {{"auth": "cGx1Z2luczpndWVzcw=="}}}}}}"#))?;
    host.says(&push, 5)?;
    store(format!(r#"{{"auths": {{"{place}": {{"auth": "cGx1Z2luczpzZWNyZXQ="}}}}}}"#))?;
    host.says(&push, 0)?;
    let done = host.json(&["plugin", "install", &tag, "--yes", "--ca-file", &ca], 0)?;
    ensure!(done["notes"].to_string().contains("got the login that"), "{done}");
    ensure!(!done.to_string().contains("secret"), "a password is told: {done}");
    store(format!(r#"{{"auths": {{"{place}": {{}}}}, "credsStore": "desktop"}}"#))?;
    let text = host.says(&push, 5)?;
    ensure!(text.contains("docker-credential-desktop keeps the login") && text.contains("--credentials"), "{text}");
    let good = secret(&host, "good", "plugins:secret")?;
    host.says(&[&push[..], &["--credentials", &good]].concat(), 0)?;
    Ok(())
}

#[test]
fn another_host_is_spoken_to_with_tls_only_and_one_that_is_gone_says_so() -> Result<()> {
    let (host, registry) = (Host::new()?, Registry::start(None)?);
    let tag = registry.at("unit-medic:1");
    host.says(&["plugin", "push", &signed(&host, "unit-medic", "ours")?, &tag], 0)?;
    // The same registry by an address that is not this host's own: it speaks no TLS, so nothing is asked of it.
    let port = tag.split(':').nth(2).and_then(|it| it.split('/').next()).context("no port")?;
    let text = host.says(&["plugin", "install", &format!("oci://0.0.0.0:{port}/unit-medic:1"), "--yes"], 1)?;
    ensure!(text.contains("cannot be reached"), "{text}");
    drop(registry);
    let text = host.says(&["plugin", "install", &tag, "--yes"], 1)?;
    ensure!(text.contains("cannot be reached") && text.contains("from a file"), "{text}");
    Ok(())
}
