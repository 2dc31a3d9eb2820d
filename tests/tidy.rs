//! What a reviewer would say every time: too long, left over, not linked, not there.

use anyhow::{Context, Result, ensure};
use holdfast_tests::root;
use holdfast_tests::source::{Source, sources};

const CODE: [&str; 6] = ["agent", "plugin-sdk", "plugins", "tests", "packaging", "wit"];
/// More production lines than this in one file are a second idea.
const LINES_MAX: usize = 400;
/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[
    ("agent/core/src/policy/condition.rs", "a condition from its text to its answer"),
    ("agent/daemon/src/cli/args.rs", "every command, flag and default in one place"),
    ("agent/daemon/src/engine/mod.rs", "the machine's state and its one entrance"),
    ("agent/daemon/src/ingest/files/worker.rs", "one watcher's life"),
    ("agent/daemon/src/request.rs", "every request, who may ask it, and how it is refused"),
    ("agent/daemon/src/store/state/reader.rs", "one query a function, all alike"),
];

#[test]
fn a_file_holds_one_idea() -> Result<()> {
    let mut long = Vec::new();
    for dir in CODE {
        for source in sources(dir, &["rs"])? {
            let lines = source.code().lines().count();
            if lines > LINES_MAX && !source.is_test() && !LONG.iter().any(|(path, _)| *path == source.path) {
                long.push(format!("{} has {lines} lines", source.path));
            }
        }
    }
    ensure!(
        long.is_empty(),
        "more than {LINES_MAX} lines without tests; part them, or name them in LONG:\n{}",
        long.join("\n")
    );
    for (path, _) in LONG {
        let lines = Source::read(path)?.code().lines().count();
        ensure!(lines > LINES_MAX, "{path} has {lines} lines now: take it out of LONG");
    }
    Ok(())
}

#[test]
fn nothing_is_left_for_later_in_the_code() -> Result<()> {
    // Put together here, so that this file does not find itself.
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X:"].concat(), ["HA", "CK:"].concat()];
    let mut found = Vec::new();
    for dir in CODE {
        for source in sources(dir, &["rs", "toml", "wit", "service", "socket", "md"])? {
            for (number, line) in source.text.lines().enumerate() {
                if words.iter().any(|word| line.contains(word.as_str())) {
                    found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
                }
            }
        }
    }
    ensure!(found.is_empty(), "do it or file it:\n{}", found.join("\n"));
    Ok(())
}

#[test]
fn no_test_is_switched_off() -> Result<()> {
    let mark = ["#[", "ignore"].concat();
    for dir in CODE {
        for source in sources(dir, &["rs"])? {
            ensure!(!source.text.contains(&mark), "{} switches a test off", source.path);
        }
    }
    Ok(())
}

#[test]
fn every_lint_that_is_silenced_says_why() -> Result<()> {
    let mark = ["#[", "allow("].concat();
    for dir in ["agent", "packaging", "tests"] {
        for source in sources(dir, &["rs"])? {
            ensure!(!source.text.contains(&mark), "{}: use #[expect(.., reason = \"..\")]", source.path);
        }
    }
    Ok(())
}

#[test]
fn links_between_documents_lead_somewhere() -> Result<()> {
    let mut broken = Vec::new();
    let mut documents = Vec::new();
    for dir in ["docs", "plugin-sdk", "plugins", "packaging"] {
        documents.extend(sources(dir, &["md"])?);
    }
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        documents.push(Source::read(name)?);
    }
    for document in &documents {
        let folder = root().join(&document.path).parent().context("a document lies in a folder")?.to_path_buf();
        for link in document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                broken.push(format!("{}: {link}", document.path));
            }
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

#[test]
fn the_usual_documents_are_there() -> Result<()> {
    for (name, must_hold) in [
        ("README.md", "cargo xtask run"),
        ("README.md", "cargo xtask test"),
        ("ARCHITECTURE.md", "**"),
        ("CONTRIBUTING.md", "cargo xtask check"),
        ("CHANGELOG.md", "## [Unreleased]"),
        ("LICENSE", "Apache License"),
        ("deny.toml", "[licenses]"),
    ] {
        ensure!(Source::read(name)?.text.contains(must_hold), "{name} does not hold `{must_hold}`");
    }
    Ok(())
}

#[test]
fn a_decision_record_says_what_was_decided_and_what_was_rejected() -> Result<()> {
    let records = sources("docs/adr", &["md"])?;
    ensure!(!records.is_empty(), "no decision is recorded");
    for record in records {
        let text = record.text.to_lowercase();
        for part in [["status:"; 2], ["decision"; 2], ["rejected", "why not"]] {
            ensure!(part.iter().any(|p| text.contains(p)), "{} says nothing of `{}`", record.path, part[0]);
        }
    }
    Ok(())
}

/// Each name that the SDK offers stands in a runnable example of its own file, or is a type whose own documentation has one.
#[test]
fn authors_see_each_public_item_of_the_sdk_in_use() -> Result<()> {
    let mut absent = Vec::new();
    for file in sources("plugin-sdk/src", &["rs"])? {
        if ["bindings.rs", "export.rs"].iter().any(|generated| file.path.ends_with(generated)) {
            continue;
        }
        let text = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        let (mut shown, mut inside) = (String::new(), false);
        for line in text.lines() {
            match line.trim_start().strip_prefix("///").or_else(|| line.trim_start().strip_prefix("//!")) {
                Some(doc) if doc.trim_start().starts_with("```") => inside = !inside,
                Some(doc) if inside => shown.extend([doc, "\n"]),
                Some(_) => {}
                None => inside = false,
            }
        }
        let words: std::collections::BTreeSet<&str> = shown.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let (mut hidden, mut own) = (false, false);
        for line in text.lines().map(str::trim) {
            match offered(line) {
                Some((is_type, name)) => {
                    let shown = words.contains(name) || (is_type && own);
                    if !(hidden || shown) {
                        absent.push(format!("{}: {name}", file.path));
                    }
                    (hidden, own) = (false, false);
                }
                None if line.starts_with("#[doc(hidden)]") => hidden = true,
                None if line.starts_with("/// ```") => own = true,
                None if line.starts_with('#') || line.starts_with("///") => {}
                None => (hidden, own) = (false, false),
            }
        }
    }
    ensure!(absent.is_empty(), "no example shows: {}", absent.join(", "));
    Ok(())
}

/// What a line of code offers to others: whether it is a type, and its name.
fn offered(line: &str) -> Option<(bool, &str)> {
    let mut parts = line.strip_prefix("pub ")?.split(' ').peekable();
    let mut kind = parts.next()?;
    if kind == "const" {
        kind = parts.next_if(|it| *it == "fn").unwrap_or(kind);
    }
    let name = parts.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    ["fn", "const", "struct", "enum", "trait"].contains(&kind).then_some((!["fn", "const"].contains(&kind), name))
}

#[test]
fn unit_files_parse() -> Result<()> {
    for unit in sources("packaging/systemd", &["service", "socket"])? {
        let mut section = "";
        for (number, line) in unit.text.lines().enumerate() {
            let place = || format!("{}:{}: {line}", unit.path, number + 1);
            if line.starts_with('[') {
                ensure!(["[Unit]", "[Service]", "[Socket]", "[Install]"].contains(&line), "{}", place());
                section = line;
            } else if !line.is_empty() && !line.starts_with('#') {
                let key = line.split_once('=').with_context(place)?.0;
                ensure!(!section.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()), "{}", place());
            }
        }
        ensure!(unit.text.contains("Description="), "{} describes nothing", unit.path);
    }
    Ok(())
}

#[test]
fn workflow_words_of_the_shell_are_strict() -> Result<()> {
    let run = Source::read(".ci/run")?.text;
    ensure!(run.contains("set -euo pipefail"), ".ci/run goes on after a failure");
    ensure!(run.contains("cargo xtask ci"), ".ci/run does not call `cargo xtask ci`");
    Ok(())
}
