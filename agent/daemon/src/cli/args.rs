//! The command line: every command, flag and default in one place, from which help, completions and man pages are made.

use std::ffi::OsString;
use std::path::PathBuf;

use super::args_plugin::Plugin;
use super::args_tune::Tune;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use holdfast_core::model::{DecisionId, DeploymentId, FindingId, IncidentId, Interval, RemediationId, Timestamp};

/// A host agent that keeps machines as they should be.
///
/// Plugins propose, policy disposes, the agent acts, verifies, undoes and remembers.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 yes, done; 1 the honest answer is no; 2 usage or configuration is wrong; 3 inconclusive; \
4 the agent cannot be reached; 5 denied by policy, permission or pause; 6 approval pending or expired; 7 the action failed and was undone; \
8 the action failed and was not undone.";

/// How text is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs: one document, or one line a record with --follow.
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Args)]
pub(super) struct Global {
    /// Configuration file [default: /etc/holdfast/holdfast.toml, or the user's own]
    #[arg(long, global = true, value_name = "PATH", env = "HOLDFAST_CONFIG", help_heading = "Global options")]
    pub(super) config: Option<PathBuf>,
    /// Socket of the agent [default: /run/holdfast/holdfast.sock, or the user's own]
    #[arg(long, global = true, value_name = "PATH", env = "HOLDFAST_SOCKET", help_heading = "Global options")]
    pub(super) socket: Option<PathBuf>,
    /// Text for people or JSON for programs
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, help_heading = "Global options")]
    pub(super) format: Format,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, help_heading = "Global options")]
    pub(super) color: Color,
    /// Say more
    #[arg(short, long, global = true, conflicts_with = "quiet", help_heading = "Global options")]
    pub(super) verbose: bool,
    /// Say only what was asked for
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(super) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent in the foreground, until it is told to stop
    Run(Run),
    /// How the agent stands, what it costs, and what waits for a person
    Status,
    /// Look into the local store of metrics
    #[command(subcommand)]
    Metrics(Metrics),
    /// What was altered around the machine: deployments, packages, files, units
    Changes(Changes),
    /// Stated problems, each with its evidence
    Findings(Findings),
    /// Findings with one presumed cause, and the changes suspected of it
    Incidents(Incidents),
    /// Attempts to cure a finding by a plan
    Remediations(Remediations),
    /// Settings of the detectors, proposed from labels with proof, applied by people only
    #[command(subcommand)]
    Tune(Tune),
    /// What a remediation would change, exactly; writes nothing
    Simulate(OneRemediation),
    /// Say yes to a remediation's plan
    Approve(Approve),
    /// Say no to a remediation's plan
    Reject(Noted),
    /// Take back what a remediation did
    Undo(UndoArgs),
    /// Check, test, explain and replay policy
    #[command(subcommand)]
    Policy(Policy),
    /// Stop all actions until `resume`; survives a restart
    Pause(Reason),
    /// End a pause
    Resume(Reason),
    /// Accepted content of watched files
    #[command(subcommand)]
    Baseline(Baseline),
    /// Tell the agent about deployments
    #[command(subcommand)]
    Deploy(Deploy),
    /// Ask whether a deployment may go on: 0 pass, 1 fail, 3 inconclusive
    Gate(Gate),
    /// Run a build step: pass its exit code through, and keep what it cost
    Exec(Exec),
    /// Plugins of the agent, and components in files
    #[command(subcommand)]
    Plugin(Plugin),
    /// Compile the component on the standard input, as a child of the agent
    #[command(hide = true)]
    CompilePlugin(CompilePlugin),
    /// Keep how the agent ended, from systemd's $SERVICE_RESULT, $EXIT_CODE and $EXIT_STATUS
    #[command(hide = true)]
    RecordEnd,
    /// How good the stored data are, and where a finding comes from
    #[command(subcommand)]
    Data(Data),
    /// The hash-chained record of every decision and action
    #[command(subcommand)]
    Audit(Audit),
    /// Check the configuration, and show what is in force
    #[command(subcommand)]
    Config(Config),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write manual pages into a directory
    Man {
        /// Where to; made when it is not there
        dir: PathBuf,
    },
}

/// A moment or a span before now; checked when it is given, resolved when it is used.
pub(super) fn moment(text: &str) -> Result<String, String> {
    crate::api::moment(text, Timestamp::from_ns(0)).map(|_| text.to_owned())
}

/// `name=value`
fn attribute(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("write NAME=VALUE, for example device=sda".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Metrics {
    /// List series
    List {
        /// Only this metric; `*` at the end stands for any rest
        metric: Option<String>,
        /// Only series with this attribute; may be repeated
        #[arg(long = "where", value_name = "NAME=VALUE", value_parser = attribute)]
        where_: Vec<String>,
    },
    /// Read the samples of a metric
    Query(Box<MetricsQuery>),
}

#[derive(Debug, Args)]
pub(super) struct MetricsQuery {
    /// The metric, for example system.memory.utilization
    pub(super) metric: String,
    /// Only series with this attribute; may be repeated
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(super) where_: Vec<String>,
    /// From when on: a time, or a span before now
    #[arg(long, value_name = "WHEN", default_value = "1h", value_parser = moment)]
    pub(super) since: String,
    /// Until when: a time, or a span before now [default: now]
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(super) until: Option<String>,
    /// Length of a step; without it and without --agg, every sample is printed
    #[arg(long, value_name = "SPAN")]
    pub(super) step: Option<Interval>,
    /// What stands for the samples of a step: avg, min, max, sum, count, last, rate, p50, p95, p99
    #[arg(long, value_name = "AGG")]
    pub(super) agg: Option<String>,
    /// Join the series into one, step by step: sum, avg, min, max, count
    #[arg(long, value_name = "AGG")]
    pub(super) across: Option<String>,
    /// With --across: one joined series for each value of this attribute; may be repeated
    #[arg(long, value_name = "NAME", requires = "across")]
    pub(super) by: Vec<String>,
    /// What stands for a step without samples: none, null, previous, linear [default: none]
    #[arg(long, value_name = "FILL")]
    pub(super) fill: Option<String>,
    /// Where steps begin: epoch, at round times; since, at --since [default: epoch]
    #[arg(long, value_name = "ALIGN")]
    pub(super) align: Option<String>,
    /// Points of each series at most, the latest
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// Draw it
    #[arg(long)]
    pub(super) plot: bool,
}

#[derive(Debug, Args)]
pub(super) struct Changes {
    /// From when on: a time, or a span before now
    #[arg(long, value_name = "WHEN", default_value = "1d", value_parser = moment)]
    pub(super) since: String,
    /// Only this kind; `file.*` and the like stand for all that match
    #[arg(long)]
    pub(super) kind: Option<String>,
    /// Only about this, for example unit:web.service
    #[arg(long)]
    pub(super) target: Option<String>,
    /// At most so many, the latest
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// Go on printing new ones until interrupted
    #[arg(long, short)]
    pub(super) follow: bool,
}

/// What all lists take.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Listing {
    /// Only those that are open
    #[arg(long)]
    pub(super) open: bool,
    /// Only newer ones: a time, or a span before now
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(super) since: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Findings {
    #[command(subcommand)]
    pub(super) command: Option<FindingsCommand>,
    #[command(flatten)]
    pub(super) list: FindingsList,
}

#[derive(Debug, Default, Args)]
pub(super) struct FindingsList {
    #[command(flatten)]
    pub(super) listing: Listing,
    /// Only this kind, for example unit.failed
    #[arg(long)]
    pub(super) kind: Option<String>,
    /// Only those that a label suppresses at the moment
    #[arg(long, conflicts_with = "open")]
    pub(super) suppressed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Label {
    /// It was a problem.
    TruePositive,
    /// It was none.
    FalsePositive,
}

#[derive(Debug, Subcommand)]
pub(super) enum FindingsCommand {
    /// List findings, newest first
    List(FindingsList),
    /// Show one with its evidence
    Show {
        /// fnd_…
        id: FindingId,
    },
    /// Say whether it was a problem: the next one like a false positive is suppressed, a true positive never is
    Label {
        /// fnd_…
        id: FindingId,
        /// Which
        label: Label,
        /// Why
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Take a label back, and what it suppressed with it
    Unlabel {
        /// fnd_…
        id: FindingId,
        /// Why
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List labels, and what each of them suppresses
    Labels,
    /// List the samples that are kept of labelled findings, or write them to a file that detectors can be held to
    Episodes {
        /// Only these; fnd_…
        ids: Vec<FindingId>,
        /// Write them here, one JSON object a line
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Incidents {
    #[command(subcommand)]
    pub(super) command: Option<IncidentsCommand>,
    #[command(flatten)]
    pub(super) list: Listing,
}

#[derive(Debug, Subcommand)]
pub(super) enum IncidentsCommand {
    /// List incidents, newest first
    List(Listing),
    /// Show one: timeline, findings, ranked suspects, remediations
    Show {
        /// inc_…
        id: IncidentId,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Remediations {
    #[command(subcommand)]
    pub(super) command: Option<RemediationsCommand>,
    #[command(flatten)]
    pub(super) list: RemediationsList,
}

#[derive(Debug, Default, Args)]
pub(super) struct RemediationsList {
    #[command(flatten)]
    pub(super) listing: Listing,
    /// Only those in this state, for example awaiting-approval
    #[arg(long)]
    pub(super) state: Option<String>,
    /// Only those that are to cure this finding
    #[arg(long, value_name = "ID")]
    pub(super) finding: Option<FindingId>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RemediationsCommand {
    /// List remediations, newest first
    List(RemediationsList),
    /// Show one: steps, effects, reasons, risk
    Show(OneRemediation),
    /// What it would change, exactly; writes nothing
    Simulate(OneRemediation),
    /// Say yes to its plan
    Approve(Approve),
    /// Say no to its plan
    Reject(Noted),
    /// Take back what it did
    Undo(UndoArgs),
}

#[derive(Debug, Args)]
pub(super) struct OneRemediation {
    /// rem_…
    pub(super) id: RemediationId,
}

#[derive(Debug, Args)]
pub(super) struct Noted {
    /// rem_…
    pub(super) id: RemediationId,
    /// Why
    #[arg(long, alias = "reason", default_value = "")]
    pub(super) note: String,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    #[command(flatten)]
    pub(super) noted: Noted,
    /// Digest of the plan that you saw, or at least its first 12 figures; a yes to any other plan is refused
    #[arg(long, value_name = "SHA256")]
    pub(super) digest: Option<String>,
    /// Wait so long for the end of it: 0 succeeded, 7 failed and undone, 8 failed and not undone, 6 not at its end yet
    #[arg(long, value_name = "SPAN", num_args = 0..=1, default_missing_value = "5m")]
    pub(super) wait: Option<Interval>,
}

#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    #[command(flatten)]
    pub(super) noted: Noted,
    /// Wait so long for the end of it: 0 undone, 8 not undone, 6 not at its end yet
    #[arg(long, value_name = "SPAN", num_args = 0..=1, default_missing_value = "5m")]
    pub(super) wait: Option<Interval>,
}

#[derive(Debug, Args)]
pub(super) struct Reason {
    /// Why; goes into the audit chain
    #[arg(long, alias = "note", default_value = "")]
    pub(super) reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Check policy files, or directories of them [default: the configured directory]
    Check {
        /// Files and directories
        paths: Vec<PathBuf>,
    },
    /// Run the *.test.toml cases in directories or files [default: the configured directory]
    Test {
        /// Files and directories
        paths: Vec<PathBuf>,
    },
    /// Show which rule and which guardrail decided, and why
    Explain {
        /// A decision (dec_…), a remediation (rem_…) or a finding (fnd_…)
        id: Explained,
    },
    /// Decide stored history again by another policy, and print what would differ: 0 nothing, 1 something
    Replay {
        /// From when on: a time, or a span before now
        #[arg(long, value_name = "WHEN", default_value = "7d", value_parser = moment)]
        since: String,
        /// The other policy: a directory, or files
        #[arg(long = "policy", value_name = "DIR", required = true)]
        policy: Vec<PathBuf>,
    },
}

/// Whatever can be explained.
#[derive(Debug, Clone)]
pub(super) enum Explained {
    Decision(DecisionId),
    Remediation(RemediationId),
    Finding(FindingId),
}

impl std::str::FromStr for Explained {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self::Decision)
            .or_else(|_| text.parse().map(Self::Remediation))
            .or_else(|_| text.parse().map(Self::Finding))
            .map_err(|_| {
                format!("`{text}` is not the id of a decision (dec_…), a remediation (rem_…) or a finding (fnd_…)")
            })
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Baseline {
    /// Record watched files as they are now, where nothing is accepted yet
    Capture {
        /// Only these; otherwise all that the configuration watches
        paths: Vec<PathBuf>,
    },
    /// Print what differs from what was accepted, or between two versions of that: 0 nothing, 1 something
    Diff {
        /// Only these: files, or items as `user:alice`, `package:nginx`, `listener:tcp 0.0.0.0:80`
        paths: Vec<PathBuf>,
        /// What was accepted at this version; 0: before the first
        #[arg(long, value_name = "N", conflicts_with = "paths")]
        from: Option<u64>,
        /// And at this one [default: now]
        #[arg(long, value_name = "N", conflicts_with = "paths")]
        to: Option<u64>,
    },
    /// List versions of what is accepted, newest first: who accepted what, when and why
    List {
        /// At most so many, the newest
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Accept again what was accepted at an earlier version; files are left as they are
    Restore {
        /// Which version
        version: u64,
        /// Why; goes into the audit chain
        #[arg(long)]
        reason: String,
    },
    /// Accept files, or items of the host such as `user:alice`, as they are now
    Accept {
        /// Which
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Why; goes into the audit chain
        #[arg(long)]
        reason: String,
    },
    /// Say for each accepted file whether it is as accepted: 0 all are, 1 one is not, 3 one cannot be read
    Verify {
        /// Only these
        paths: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Deploy {
    /// A deployment begins
    Start(DeployStart),
    /// A deployment ends
    Finish {
        /// Its id
        id: DeploymentId,
        /// How it went
        #[arg(long, value_enum, default_value_t = DeployStatus::Succeeded)]
        status: DeployStatus,
        /// The same as --status failed
        #[arg(long, conflicts_with = "status")]
        failed: bool,
    },
    /// List deployments, newest first
    List {
        #[command(flatten)]
        listing: Listing,
        /// Only of this service
        #[arg(long)]
        service: Option<String>,
    },
    /// Show one with its changes and the incidents that suspect it
    Show {
        /// Its id
        id: DeploymentId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DeployStatus {
    /// As it should.
    Succeeded,
    /// Not.
    Failed,
}

#[derive(Debug, Args)]
pub(super) struct DeployStart {
    /// The pipeline's own id [default: made by the agent]
    #[arg(long)]
    pub(super) id: Option<DeploymentId>,
    /// Name of the service
    #[arg(long)]
    pub(super) service: String,
    /// Version that is deployed
    #[arg(long)]
    pub(super) version: String,
    /// Environment [default: the agent's own, else production]
    #[arg(long)]
    pub(super) environment: Option<String>,
    /// Digest of the artifact, for example sha256:…
    #[arg(long)]
    pub(super) artifact: Option<String>,
    /// Revision in version control
    #[arg(long)]
    pub(super) revision: Option<String>,
    /// Directory of the release; its files are recorded at the finish
    #[arg(long, value_name = "DIR")]
    pub(super) release_dir: Option<PathBuf>,
    /// Unit that runs the service; may be repeated
    #[arg(long = "unit", value_name = "UNIT")]
    pub(super) units: Vec<String>,
    /// Path that the deployment may alter; may be repeated
    #[arg(long = "path", value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Gate {
    /// Which deployment
    #[arg(long, value_name = "ID")]
    pub(super) deployment: DeploymentId,
    /// A unit that the deployment leaves alone, to compare its units with; of an instance of a template, another is taken without asking
    #[arg(long, value_name = "UNIT")]
    pub(super) sibling: Option<String>,
    /// Wait so long for a verdict that more waiting would not change
    #[arg(long, value_name = "SPAN", num_args = 0..=1, default_missing_value = "10m")]
    pub(super) wait: Option<Interval>,
    /// Write the checks as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write the checks as Markdown; appended, as CI systems want it
    #[arg(long, value_name = "FILE")]
    pub(super) summary: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Exec {
    /// Name of the step: its history is kept under it
    #[arg(long, value_name = "NAME")]
    pub(super) step: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct CompilePlugin {
    /// CPU time that it may take
    #[arg(long, value_name = "SECONDS")]
    pub(super) cpu_seconds: u64,
    /// Address space that it may take
    #[arg(long, value_name = "BYTES")]
    pub(super) memory_bytes: u64,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Where the agent keeps what it knows [default: as configured]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

/// Whom or what data are about.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Subject {
    /// Series and changes with this attribute; may be repeated, all have to fit
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(super) where_: Vec<String>,
    /// Changes about this target
    #[arg(long, value_name = "KIND:NAME")]
    pub(super) target: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Data {
    /// Gaps, stale and stuck series, clock jumps, series by metric, missing attributes: 0 nothing to say, 1 something
    Quality {
        /// Only newer samples: a time, or a span before now of at most 24h
        #[arg(long, value_name = "WHEN", default_value = "1h", value_parser = moment)]
        since: String,
        /// Only this metric; `*` at the end stands for any rest
        #[arg(long)]
        metric: Option<String>,
        /// Good series too
        #[arg(long)]
        all: bool,
    },
    /// Show how far each tier of samples and each class of records reaches, and what goes next: by age, and for room
    Retention,
    /// Print all samples and changes about a subject, a line of JSON each
    Export {
        #[command(flatten)]
        subject: Subject,
        /// Only newer ones: a time, or a span before now
        #[arg(long, value_name = "WHEN", default_value = "30d", value_parser = moment)]
        since: String,
    },
    /// Forget all samples and changes about a subject, for good. Findings, decisions and the audit chain stay
    Purge {
        #[command(flatten)]
        subject: Subject,
        /// Why; it goes into the audit chain
        #[arg(long)]
        reason: String,
        /// Really do it; without this, only say what would be forgotten
        #[arg(long)]
        yes: bool,
    },
    /// Show the rows, method, rules and attempts behind a finding
    Lineage {
        /// The finding
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List entries, oldest first; without --after the latest
    List {
        /// Only about this id
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
        /// Only after this number
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
        /// Only newer ones: a time, or a span before now
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Check the whole chain: 0 intact, 1 broken or cut off
    Verify {
        /// Read this directory instead of asking the agent
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Write every entry, one JSON object a line
    Export {
        /// Where to [default: stdout]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Check the configuration: mistakes are named with file, line and column
    Check,
    /// Show what is in force, and where each value comes from
    Show,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn check(line: &str, good: bool) {
        let parsed = Cli::try_parse_from(line.split(' '));
        assert_eq!(parsed.is_ok(), good, "{line}: {:?}", parsed.err());
    }

    #[test]
    fn commands_are_written_as_the_interfaces_say() {
        let id = "0".repeat(32);
        for line in [
            "holdfast status --format json",
            "holdfast --socket /tmp/s status",
            "holdfast metrics query system.memory.utilization --where state=used --since 1h --step 1m --agg avg --plot",
            "holdfast metrics query system.disk.io --agg rate --across sum --by device --by direction",
            "holdfast metrics query x --since 1h --step 1m --fill linear --align since",
            "holdfast changes --since 2h --kind file.* --follow",
            "holdfast findings --since 2m",
            "holdfast findings list --open",
            &format!("holdfast findings label fnd_{id} false-positive --note x"),
            &format!("holdfast approve rem_{id} --wait"),
            &format!("holdfast approve rem_{id} --wait 30s --note ok"),
            &format!("holdfast remediations undo rem_{id}"),
            &format!("holdfast policy explain dec_{id}"),
            "holdfast policy replay --since 7d --policy /etc/holdfast/policy.d",
            "holdfast deploy start --id web-1 --service web --version 1.2 --unit web.service --path /etc/web",
            "holdfast deploy finish web-1 --failed",
            "holdfast gate --deployment web-1 --wait 10m --junit j.xml --summary s.md",
            "holdfast gate --deployment web-1 --sibling web-green.service",
            "holdfast exec --step build -- make -j2",
            "holdfast pause --reason night",
            "holdfast audit verify --data-dir /var/lib/holdfast",
            "holdfast completions bash",
        ] {
            check(line, true);
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for line in [
            "holdfast",
            "holdfast findings show inc_1",
            "holdfast metrics query x --since yesterday",
            "holdfast metrics query x --where device",
            "holdfast metrics query x --by device",
            "holdfast changes --since 5",
            "holdfast exec --step build",
            "holdfast baseline accept /etc/x",
            "holdfast status -q -v",
        ] {
            check(line, false);
        }
    }
}
