//! `holdfast tune`: its commands and flags.

use std::path::PathBuf;

use clap::Subcommand;
use holdfast_core::model::Interval;

use super::args::moment;

#[derive(Debug, Subcommand)]
pub(super) enum Tune {
    /// Replay stored samples and kept episodes with other settings, and print what would differ; alters nothing
    Propose {
        /// Samples from when on: a time, or a span before now
        #[arg(long, value_name = "WHEN", default_value = "7d", value_parser = moment)]
        since: String,
        /// Stop replaying after so long, and say so
        #[arg(long, value_name = "SPAN", default_value = "5m")]
        within: Interval,
        /// Write the proposal here, for `tune apply`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Put a proposal in force; refused when a kept incident would be lost
    Apply {
        /// What `tune propose --out` wrote
        file: PathBuf,
        /// Why; goes into the audit chain
        #[arg(long)]
        reason: String,
    },
    /// Put single settings in force, as TOML: 'sustained = "2m"', 'threshold.cpu-busy = "20m"'
    Set {
        /// sensitivity, sustained, disk-horizon, threshold.NAME, [[series]]
        #[arg(required = true)]
        settings: Vec<String>,
        /// Why; goes into the audit chain
        #[arg(long)]
        reason: String,
    },
    /// What is in force over the configuration, who put it there and why
    Show {
        /// Earlier ones, too
        #[arg(long)]
        all: bool,
    },
    /// Put the settings before those of now in force again
    Revert {
        /// Those of this version; 0: the configuration alone
        #[arg(long, value_name = "N")]
        to: Option<u64>,
        /// Why; goes into the audit chain
        #[arg(long)]
        reason: String,
    },
}
