//! `cargo xtask test`: the plugins, because tests load the real ones, then every fast test of the workspace.

use std::path::Path;

use anyhow::Result;

use crate::{guests, process};

/// All targets of all crates, as clippy builds them too: other features would build the dependencies a second time.
pub(crate) const WORKSPACE: [&str; 2] = ["--workspace", "--locked"];

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    guests::build(root)?;
    let mut results = Vec::new();
    let outcome = process::must_reading(
        process::cargo(root).arg("test").args(WORKSPACE).arg("--no-fail-fast").arg("--").args(filter),
        |line| {
            if line.starts_with("test result:") {
                results.push(line.to_owned());
            }
        },
    );
    process::say(&summary(&results));
    outcome
}

/// Adds up the `test result:` lines.
pub(crate) fn summary(results: &[String]) -> String {
    let sum = |word: &str| -> u64 {
        results
            .iter()
            .filter_map(|line| {
                line.split(&[';', '.'][..]).find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
            })
            .sum()
    };
    format!(
        "\n{} test targets: {} passed, {} failed, {} ignored",
        results.len(),
        sum("passed"),
        sum("failed"),
        sum("ignored")
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn summary_lines_of_all_targets_are_added_up() {
        let lines = [
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.01s".to_owned(),
            "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.00s"
                .to_owned(),
        ];
        assert_eq!(super::summary(&lines), "\n2 test targets: 15 passed, 2 failed, 1 ignored");
    }
}
