//! Test: each metric and attribute that a collector names is in `docs/metrics.md`, and nothing else is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PREFIXES: [&str; 12] = [
    "system.",
    "process.",
    "holdfast.",
    "hw.",
    "container.",
    "k8s.",
    "cpu.",
    "disk.",
    "network.",
    "error.",
    "service.",
    "host.",
];

fn is_name(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
        && !text.ends_with('.')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_'))
}

/// What stands between two of `quote`, of lines that aren't comments.
fn names(text: &str, quote: char) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split(quote).skip(1).step_by(2)).filter(|name| is_name(name)).map(str::to_owned).collect()
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if !path.ends_with("tests.rs") && !path.ends_with("documented.rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_metric_and_attribute_is_documented_and_nothing_else() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&manifest.join("src/collect"), &mut files);
    let mut used = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        used.extend(names(code, '"'));
    }
    assert!(used.contains("system.cpu.time") && used.contains("hw.id"), "{used:?}");
    // Names of files, not of series.
    used.retain(|name| !["cpu.stat", "cpu.pressure"].contains(&name.as_str()));
    let text = std::fs::read_to_string(manifest.join("../../docs/metrics.md")).unwrap();
    let told = names(&text, '`');
    assert_eq!(used.difference(&told).collect::<Vec<_>>(), Vec::<&String>::new(), "not in docs/metrics.md");
    assert_eq!(told.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "only in docs/metrics.md");
}
