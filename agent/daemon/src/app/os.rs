//! What runs this host, for the resource of everything that is exported: asked once, by `sysinfo`.

use sysinfo::System;

/// `os.*` and `host.arch`, in OpenTelemetry's words; what this host doesn't tell is left out.
pub(super) fn attributes() -> Vec<(String, String)> {
    let told = [
        ("os.type", Some("linux".to_owned())),
        ("os.name", System::name().ok()),
        ("os.version", System::os_version().ok()),
        ("host.arch", Some(arch(&System::cpu_arch()).to_owned())),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.filter(|it| !it.is_empty())?))).collect()
}

/// Pure: the conventions' name of what the kernel calls a machine; others stay as they are.
fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv6l" | "armv7l" | "armv8l" => "arm32",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "ppc" => "ppc32",
        "ppc64le" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_called_as_the_conventions_do() {
        assert_eq!(["x86_64", "aarch64", "armv7l", "riscv64"].map(arch), ["amd64", "arm64", "arm32", "riscv64"]);
    }

    #[test]
    fn this_host_says_what_it_is() {
        let all = attributes();
        let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        for (name, value) in &all {
            assert!(
                !value.is_empty() && (name == "os.type" || name == "host.arch" || os.contains(value.as_str())),
                "{all:?}"
            );
        }
        assert_eq!((all[0].1.as_str(), all.last().map(|it| it.0.as_str())), ("linux", Some("host.arch")));
    }
}
