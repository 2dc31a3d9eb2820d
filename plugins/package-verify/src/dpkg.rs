//! dpkg's own records, parsed. Pure: texts in, lists out.

use std::collections::{BTreeMap, BTreeSet};

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// As in `/var/lib/dpkg/info`: `bash`, `libc6:amd64`.
    pub name: String,
    /// `5.2.15-2+b8`
    pub version: String,
    /// Absolute paths that the administrator may edit.
    pub conffiles: BTreeSet<String>,
}

/// Installed packages by name; those that are half installed or being unpacked are left out.
pub fn packages(status: &str) -> Vec<Package> {
    let mut found: Vec<Package> = status.split("\n\n").filter_map(package).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    found
}

fn package(paragraph: &str) -> Option<Package> {
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut conffiles, mut in_conffiles) = (BTreeSet::new(), false);
    for line in paragraph.lines() {
        if line.starts_with(' ') {
            if in_conffiles && let Some(path) = line.trim_start().split(' ').next() {
                conffiles.insert(path.to_owned());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            in_conffiles = key == "Conffiles";
            fields.insert(key, value.trim());
        }
    }
    if fields.get("Status")?.split(' ').nth(2) != Some("installed") {
        return None;
    }
    let name = *fields.get("Package")?;
    let name = match (fields.get("Multi-Arch"), fields.get("Architecture")) {
        (Some(&"same"), Some(arch)) => format!("{name}:{arch}"),
        _ => name.to_owned(),
    };
    Some(Package { name, version: (*fields.get("Version")?).to_owned(), conffiles })
}

/// Where files were diverted to, and the package that may keep the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diversions(BTreeMap<String, (String, String)>);

impl Diversions {
    /// Three lines each: the name, what it became, and the package (`:` for the administrator) whose file may have the name.
    pub fn parse(text: &str, merged_usr: bool) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let entries =
            lines.chunks_exact(3).map(|it| (merged(it[0], merged_usr), (merged(it[1], merged_usr), it[2].to_owned())));
        Self(entries.collect())
    }

    /// Where this package's file lies.
    fn of(&self, package: &str, path: String) -> String {
        match self.0.get(&path) {
            Some((to, by)) if package.split(':').next() != Some(by) => to.clone(),
            _ => path,
        }
    }
}

/// `/bin/sh` as it is called below `/usr`.
fn merged(path: &str, merged_usr: bool) -> String {
    const LINKS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
    let first = path.split('/').nth(1).unwrap_or_default();
    if merged_usr && LINKS.contains(&first) { format!("/usr{path}") } else { path.to_owned() }
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it lies.
    pub path: String,
    /// What dpkg says of its content: 32 hexadecimal digits.
    pub md5: String,
}

/// Files of a package that are looked at, as its `md5sums` names them; the error says which line is odd.
pub fn listed(
    md5sums: &str,
    package: &Package,
    diversions: &Diversions,
    merged_usr: bool,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Listed>, String> {
    let mut files = Vec::new();
    for (at, line) in md5sums.lines().enumerate() {
        let odd = || format!("line {} is no digest and path", at + 1);
        let (md5, path) = line.split_once("  ").ok_or_else(odd)?;
        if md5.len() != 32 || !md5.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(odd());
        }
        let path = format!("/{}", path.trim_start_matches("./").trim_start_matches('/'));
        if package.conffiles.contains(&path) {
            continue;
        }
        let path = diversions.of(&package.name, merged(&path, merged_usr));
        if wanted(&path) {
            files.push(Listed { path, md5: md5.to_ascii_lowercase() });
        }
    }
    Ok(files)
}
