//! Programs from outside that a verb needs. A missing one is named with the command that installs it; nothing is skipped.

use std::path::Path;

use anyhow::{Result, bail};

/// A program and the Debian package that holds it.
pub(crate) struct Part(pub(crate) &'static str, pub(crate) &'static str);

/// What `cargo xtask e2e` needs.
pub(crate) const E2E: [Part; 7] = [
    Part("mmdebstrap", "mmdebstrap"),
    Part("systemd-nspawn", "systemd-container"),
    Part("nsenter", "util-linux"),
    Part("ip", "iproute2"),
    Part("python3", "python3-venv"),
    Part("dpkg-deb", "dpkg"),
    Part("rpmbuild", "rpm"),
];

/// What `cargo xtask authors` needs, beside the Rust toolchain.
pub(crate) const AUTHORS: [Part; 3] = [Part("node", "nodejs"), Part("npm", "npm"), Part("python3", "python3-venv")];

/// What `cargo xtask registry` needs.
pub(crate) const REGISTRY: [Part; 2] = [Part("docker-registry", "docker-registry"), Part("htpasswd", "apache2-utils")];

/// What `cargo xtask faults` needs.
pub(crate) const FAULTS: [Part; 2] = [Part("strace", "strace"), Part("mount", "mount")];

/// What `cargo xtask peers` needs.
pub(crate) const PEERS: [Part; 5] = [
    Part("curl", "curl"),
    Part("minisign", "minisign"),
    Part("prometheus", "prometheus"),
    Part("promtool", "prometheus"),
    Part("python3", "python3-venv"),
];

/// What `cargo xtask bench telemetry` holds the store against.
pub(crate) const BENCH_TELEMETRY: [Part; 4] = [
    Part("prometheus", "prometheus"),
    Part("victoria-metrics", "victoria-metrics"),
    Part("netdata", "netdata-core"),
    Part("prometheus-node-exporter", "prometheus-node-exporter"),
];

/// Fails with the install command when one of them is not on the path.
pub(crate) fn require(parts: &[Part]) -> Result<()> {
    let missing: Vec<&Part> = parts.iter().filter(|part| !on_path(part.0)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|p| p.0).collect();
    let packages: Vec<&str> = missing.iter().map(|p| p.1).collect();
    bail!("not installed: {}\nhint: apt-get install -y {}", names.join(", "), packages.join(" "))
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| is_program(&dir.join(name)))
        || ["/usr/sbin", "/sbin"].iter().any(|dir| is_program(&Path::new(dir).join(name)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
