//! The `holdfast` command: what people and pipelines type.
//!
//! `args` says what can be typed, `cmd` does it, `view` turns documents into text, `exit` says how it ends. Everything that
//! concerns a running agent goes over its API: this room opens no database of a running agent and calls no effector.

mod args;
mod args_plugin;
mod args_tune;
mod cmd;
mod exit;
mod ink;
mod out;
mod plot;
mod table;
mod view;
mod when;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command that the arguments name. Wrong arguments end with exit code 2.
pub fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let out = out::Out::new(cli.global.format, cli.global.color, cli.global.quiet);
    match cmd::run(cli, out) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            out::report(&failure);
            ExitCode::from(failure.code)
        }
    }
}

/// The command line's own description, from which man pages and completions are made.
pub fn command() -> clap::Command {
    <args::Cli as clap::CommandFactory>::command()
}
