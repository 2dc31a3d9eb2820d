//! What `cargo xtask run` writes below `target/run` before it starts anything. A file that is there already is left alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Path below `target/run` and text; `@RUN@` stands for the directory,
/// `@UID@` for the present user, `@TARGET@` for cargo's target directory.
const FILES: [(&str, &str); 15] = [
    ("holdfast.toml", include_str!("holdfast.toml")),
    ("holdfast.d/checkout.toml", include_str!("checkout.toml")),
    ("actuator.toml", include_str!("actuator.toml")),
    ("policy.d/restart-crashed.toml", include_str!("../../../policy.d/restart-crashed.toml")),
    ("policy.d/restore-tampered-release.toml", include_str!("../../../policy.d/restore-tampered-release.toml")),
    ("policy.d/reclaim-full-runner.toml", include_str!("../../../policy.d/reclaim-full-runner.toml")),
    ("plugins.d/cert-expiry.toml", include_str!("cert-expiry.toml")),
    ("plugins.d/listener-watch.toml", include_str!("listener-watch.toml")),
    ("plugins.d/memory-leak-medic.toml", include_str!("memory-leak-medic.toml")),
    ("plugins.d/package-verify.toml", include_str!("package-verify.toml")),
    ("plugins.d/release-verify.toml", include_str!("release-verify.toml")),
    ("plugins.d/runner-reclaim.toml", include_str!("runner-reclaim.toml")),
    ("plugins.d/ssh-hardening.toml", include_str!("ssh-hardening.toml")),
    ("plugins.d/unit-medic.toml", include_str!("unit-medic.toml")),
    ("playground/etc/app.conf", "port = 8080\nworkers = 4\n"),
];

pub(super) fn write(root: &Path, dir: &Path) -> Result<()> {
    let (run, target) = (dir.to_string_lossy(), root.join("target").to_string_lossy().into_owned());
    let uid = rustix::process::geteuid().as_raw().to_string();
    for (name, text) in FILES {
        let path = dir.join(name);
        if !path.exists() {
            let parent = path.parent().unwrap_or(dir);
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
            fs::write(&path, text.replace("@RUN@", &run).replace("@TARGET@", &target).replace("@UID@", &uid))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    for name in ["data", "playground/srv", "playground/work"] {
        fs::create_dir_all(dir.join(name)).with_context(|| format!("cannot create {name}"))?;
    }
    Ok(())
}

/// Where to look, and what to try.
pub(super) fn welcome(root: &Path, dir: &Path) -> String {
    let short = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let (run, socket) = (short(dir), short(&dir.join("holdfast.sock")));
    format!(
        "
Holdfast runs. Its files lie in {run}; Ctrl-C stops it.

In another terminal:

  export HOLDFAST_SOCKET=$PWD/{socket}
  target/debug/holdfast status
  target/debug/holdfast metrics query system.cpu.utilization --since 1m --step 1s --plot

A hand edit of a watched file is drift; the same edit inside a deployment is explained:

  target/debug/holdfast baseline capture
  echo 'workers = 64' >> {run}/playground/etc/app.conf
  target/debug/holdfast findings list
"
    )
}
