//! The README's word: every command that it shows is one that the binary knows.

use anyhow::{Result, ensure};
use holdfast_tests::source::Source;

use crate::harness::{Machine, on};

#[test]
fn every_command_of_the_readme_exists_with_its_flags() -> Result<()> {
    let mut commands: Vec<String> = Vec::new();
    for document in ["README.md", "CONTRIBUTING.md"] {
        let text = Source::read(document)?.text;
        for line in text.lines().filter(|l| l.starts_with("holdfast ") || l.contains("/holdfast ")) {
            let words = line.split("holdfast ").nth(1).unwrap_or_default();
            commands.push(words.split('#').next().unwrap_or_default().trim().to_owned());
        }
    }
    ensure!(commands.len() >= 5, "the README shows few commands: {commands:?}");
    on("readme", Machine::installed()?, |machine| {
        for command in &commands {
            let words: Vec<&str> =
                command.split_whitespace().take_while(|w| *w != "--" && !w.contains(['$', '\''])).collect();
            let mut names = words
                .iter()
                .take_while(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
                .copied()
                .collect::<Vec<_>>();
            names.truncate(2);
            let help = loop {
                let said = machine.try_run(&format!("holdfast {} --help", names.join(" ")))?;
                if said.code == 0 {
                    break said.stdout;
                }
                names.pop();
                ensure!(!names.is_empty(), "the README shows `holdfast {command}`, which does not exist");
            };
            for flag in words.iter().filter(|w| w.starts_with("--")) {
                ensure!(help.contains(flag), "`holdfast {}` has no {flag}", names.join(" "));
            }
        }
        Ok(())
    })
}
