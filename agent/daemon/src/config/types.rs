//! The sections of the configuration, each key with its unit and default.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use holdfast_core::detect::DetectConfig;
use holdfast_core::model::{ByteSize, Interval, Mode};
use holdfast_core::redact::RedactConfig;
use serde::{Deserialize, Serialize, Serializer};

use super::export::ExportSection;
use crate::collect::CollectConfig;
use crate::data::Required;
use crate::host::systemd::Bus;
use crate::ingest::IngestConfig;
use crate::ingest::inventory::InventoryConfig;
use crate::telemetry::Format;

/// Everything that can be configured. The default is what a fresh host gets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The agent itself.
    pub agent: AgentConfig,
    /// What is measured, and how often.
    pub collect: CollectConfig,
    /// How much is remembered.
    pub store: StoreConfig,
    /// When a measurement is a finding.
    pub detect: DetectConfig,
    /// What series have to say about themselves.
    pub data: DataConfig,
    /// What is taken out of texts before anything is stored or sent.
    pub redact: RedactConfig,
    /// What applications and pipelines say.
    pub ingest: IngestConfig,
    /// Files whose content matters.
    pub watch: WatchConfig,
    /// What the host is made of besides files.
    pub inventory: InventoryConfig,
    /// systemd units.
    pub units: UnitsConfig,
    /// Policy files.
    pub policy: PolicyConfig,
    /// Plugins and what they are granted.
    pub plugins: PluginsConfig,
    /// Who acts.
    pub actuator: ActuatorConfig,
    /// Where telemetry is sent.
    pub export: ExportSection,
    /// Who may do what over the socket.
    pub access: AccessConfig,
    /// The agent's log.
    pub log: LogConfig,
    /// Telemetry about the agent itself.
    pub telemetry: OwnTelemetry,
}

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgentConfig {
    /// Databases, audit chain, copies of baselined files. Default: "/var/lib/holdfast".
    pub data_dir: PathBuf,
    /// Compiled plugins; safe to delete. Default: "/var/cache/holdfast".
    pub cache_dir: PathBuf,
    /// Local API. Default: "/run/holdfast/holdfast.sock".
    pub socket: PathBuf,
    /// The most that any rule may do on this host: "observe", "advise", "approve" or "auto". Default: "advise".
    pub mode_ceiling: Mode,
    /// `deployment.environment.name`: "production", "staging", … Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/holdfast".into(),
            cache_dir: "/var/cache/holdfast".into(),
            socket: "/run/holdfast/holdfast.sock".into(),
            mode_ceiling: Mode::Advise,
            environment: None,
        }
    }
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreConfig {
    /// Every sample is kept for this long; older ones become minutes. Default: "30d".
    pub retention: Interval,
    /// Minutes (count, smallest, largest, sum, last; the rise of a counter) are kept until this age, then become hours.
    /// No longer than `retention`: there are no minutes. Default: "90d".
    pub retention_minutes: Interval,
    /// Hours are kept until this age. No longer than the finer ones: there are no hours. Default: "730d".
    pub retention_hours: Interval,
    /// Changes, and the ledger of what was lost, are kept until this age. Default: "90d".
    pub retention_changes: Interval,
    /// Closed findings, incidents, decisions, remediations, deployments, versions of what was accepted and measured build steps are kept
    /// until this age, in `state.db`. Not deleted: what something open refers to, what a destination has yet to be sent, each service's
    /// last deployment, and the audit chain. At least "30d". Default: "400d".
    pub retention_records: Interval,
    /// Accepted contents of files, kept so that they can be shown and restored, stay below this together. Contents of the oldest
    /// versions make room; what does not fit is watched by its digest alone. At least "1MiB". Default: "1GiB".
    pub contents_max: ByteSize,
    /// The telemetry database stays below this; the oldest data make room. At least "4MiB". Default: "2GiB".
    pub size_max: ByteSize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let days = |days: u64| Interval::secs(days * 86_400);
        Self {
            retention: days(30),
            retention_minutes: days(90),
            retention_hours: days(730),
            retention_changes: days(90),
            retention_records: days(400),
            contents_max: ByteSize(1 << 30),
            size_max: ByteSize(2 << 30),
        }
    }
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataConfig {
    /// Attributes that series of some metrics have to have; `data quality` lists those that lack them. Default: none.
    pub required: Vec<Required>,
}

/// `[watch]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WatchConfig {
    /// Absolute paths or globs of files: `*` stays within one component, `**` does not.
    /// Default: hosts, fstab, sudoers, sshd_config, what cron runs, and drop-ins of units.
    pub files: Vec<String>,
    /// Globs that are never watched or read, whatever `files` says. Default: none.
    pub exclude: Vec<String>,
    /// Of a longer file the digest is kept and not the content, so it is never shown or restored. Default: "4MiB".
    pub bytes_max: ByteSize,
    /// Time between two looks at all watched files, in case a notice was lost. At least "1s". Default: "5m".
    pub sweep: Interval,
    /// Directories watched by notice; what exceeds it is seen at the next sweep. Default: 4096.
    pub directories_max: usize,
    /// Files watched; what exceeds it is counted and not watched. Default: 100000.
    pub files_max: usize,
}

impl Default for WatchConfig {
    fn default() -> Self {
        let files = [
            "/etc/hosts",
            "/etc/fstab",
            "/etc/sudoers",
            "/etc/ssh/sshd_config",
            "/etc/crontab",
            "/etc/anacrontab",
            "/etc/cron.d/*",
            "/etc/cron.hourly/*",
            "/etc/cron.daily/*",
            "/etc/cron.weekly/*",
            "/etc/cron.monthly/*",
            "/var/spool/cron/crontabs/*",
            "/etc/systemd/system/*.d/*.conf",
        ];
        Self {
            files: files.map(str::to_owned).into(),
            exclude: Vec::new(),
            bytes_max: ByteSize(4 << 20),
            sweep: Interval::secs(300),
            directories_max: 4_096,
            files_max: 100_000,
        }
    }
}

/// `[units]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UnitsConfig {
    /// Whose systemd is looked at: "system" or "session". Default: "system"; "session" for an ordinary user.
    pub bus: Bus,
    /// Units kept in view; what exceeds it is counted and left out. Default: 4096.
    pub units_max: usize,
}

impl Default for UnitsConfig {
    fn default() -> Self {
        Self { bus: Bus::System, units_max: 4_096 }
    }
}

/// `[policy]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PolicyConfig {
    /// Where `*.toml` and `*.test.toml` lie; a missing directory holds no rule. Default: "/etc/holdfast/policy.d".
    pub dir: PathBuf,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self { dir: "/etc/holdfast/policy.d".into() }
    }
}

/// `[plugins]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginsConfig {
    /// Where `*.wasm` lie; earlier directories win, missing ones are skipped.
    /// Default: "/usr/lib/holdfast/plugins", "/var/lib/holdfast/plugins".
    pub dirs: Vec<PathBuf>,
    /// One NAME.toml for each plugin: what it is granted here. Default: "/etc/holdfast/plugins.d".
    pub grants: PathBuf,
    /// Public keys of minisign (the line that begins with `RW`): a component that one of them has signed is let in.
    pub trusted_keys: Vec<String>,
    /// Directories whose components need no signature, because whoever can write there can replace the agent itself.
    /// Default: "/usr/lib/holdfast/plugins", where the agent's own package puts them.
    pub trusted_dirs: Vec<PathBuf>,
    /// Let components in that nobody whom this host trusts has signed. Default: false.
    pub allow_unsigned: bool,
    /// Certificates in PEM of authorities that registries may have theirs from, beside those that this host believes; for
    /// `plugin install` and `push`. Default: none.
    pub registry_ca_file: Option<PathBuf>,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            dirs: vec!["/usr/lib/holdfast/plugins".into(), "/var/lib/holdfast/plugins".into()],
            grants: "/etc/holdfast/plugins.d".into(),
            trusted_keys: Vec::new(),
            trusted_dirs: vec!["/usr/lib/holdfast/plugins".into()],
            allow_unsigned: false,
            registry_ca_file: None,
        }
    }
}

/// `[actuator]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ActuatorConfig {
    /// Where typed actions are asked for. Default: "/run/holdfast-actuator/actuator.sock".
    pub socket: PathBuf,
}

impl Default for ActuatorConfig {
    fn default() -> Self {
        Self { socket: "/run/holdfast-actuator/actuator.sock".into() }
    }
}

/// A value that is used and never shown: it prints and serializes as `(hidden)`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

/// `[access]`: who has which role, as `"name"`, `"%group"` or a numeric user id in quotes. Root is always admin, and so is the
/// user that the agent runs as when that is an ordinary one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessConfig {
    /// May do everything. Default: root only.
    pub admins: Vec<String>,
    /// May approve and reject plans. Default: none.
    pub approvers: Vec<String>,
    /// May label, pause and record deployments. Default: none.
    pub operators: Vec<String>,
    /// May read. Default: none.
    pub viewers: Vec<String>,
    /// One person can't approve a plan that they asked for themselves. Default: false.
    pub four_eyes: bool,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogConfig {
    /// "error", "warn", "info", "debug", "trace", or a list such as "info,holdfast::ingest=debug". Default: "info".
    pub level: String,
    /// "text" or "json". Default: "text".
    pub format: Format,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

/// `[telemetry]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OwnTelemetry {
    /// Where the agent's own traces and counters go over OTLP/HTTP: `http://host:4318`. Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<String>,
    /// Where Prometheus may scrape `/metrics`, how the agent itself is doing: "127.0.0.1:9464". Whoever reaches it may read it; nothing else is
    /// there. Default: only over the API's socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<SocketAddr>,
}
