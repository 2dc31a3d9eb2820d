//! What the types can't say: addresses that can be used, paths that are absolute, names that exist. Pure.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use holdfast_core::detect::DetectConfig;
use holdfast_core::model::{ByteSize, Globs, Interval};
use holdfast_core::redact::Redactor;

use super::types::Config;

/// Collectors by name, as `collect.off` may name them.
pub(super) const COLLECTORS: [&str; 19] = [
    "cpu",
    "memory",
    "vmstat",
    "pressure",
    "disk",
    "filesystem",
    "network",
    "sockets",
    "connections",
    "limits",
    "clock",
    "temperature",
    "hardware",
    "load",
    "plugins",
    "self",
    "uptime",
    "cgroup",
    "processes",
];
/// Series of this many units or containers are a hundred times what an ordinary host has.
const GROUPS_MAX: usize = 1_000;
/// `sun_path` holds 108 bytes, the last of which is zero.
const SOCKET_BYTES_MAX: usize = 107;

/// One mistake and the key that holds it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) key: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, key: impl Into<String>, message: impl Into<String>, hint: impl Into<Option<String>>) {
        self.0.push(Problem { key: key.into(), message: message.into(), hint: hint.into() });
    }

    pub(super) fn directory(&mut self, key: impl Into<String>, path: &Path) {
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            let message = format!("`{}` is not an absolute path without `..`", path.display());
            self.add(key, message, "begin it with `/`: the agent has no directory of its own to start from".to_owned());
        }
    }

    fn socket(&mut self, key: &str, path: &Path) {
        self.directory(key, path);
        let bytes = path.as_os_str().len();
        if bytes > SOCKET_BYTES_MAX {
            let message = format!("the path of a socket has at most {SOCKET_BYTES_MAX} bytes, this one {bytes}");
            self.add(key, message, "choose a shorter directory".to_owned());
        }
    }

    pub(super) fn at_least(&mut self, key: impl Into<String>, is: Interval, least: Interval) {
        if is < least {
            self.add(key, format!("`{is}` is too short"), format!("write \"{least}\" or more"));
        }
    }

    pub(super) fn within(&mut self, key: &str, is: ByteSize, least: ByteSize, most: ByteSize) {
        if is < least || is > most {
            self.add(key, format!("`{is}` is out of range"), format!("write a size from \"{least}\" to \"{most}\""));
        }
    }

    fn glob(&mut self, key: String, glob: &str) {
        if !glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
            let hint = "begin it with `/`, as in \"/etc/myapp/**\"".to_owned();
            self.add(key, format!("`{glob}` is not an absolute path or glob without `..`"), hint);
        } else if let Err(error) = Globs::Paths.read(glob) {
            let hint = "put a backslash before a `[`, `{`, `*` or `?` that is part of a name".to_owned();
            self.add(key, format!("`{glob}` is not a glob: {}", error.kind()), hint);
        }
    }

    pub(super) fn endpoint(&mut self, key: String, endpoint: &str) {
        if endpoint.starts_with("https://") {
            let hint =
                "send to an OpenTelemetry Collector on this host, such as \"http://127.0.0.1:4318\", and let it \
                        speak TLS to the rest"
                    .to_owned();
            return self.add(key, format!("`{endpoint}` needs TLS, which is not spoken here"), hint);
        }
        let usable = endpoint.parse::<hyper::Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("http") && uri.host().is_some_and(|h| !h.is_empty()) && uri.query().is_none()
        });
        if !usable {
            let hint = "write an address such as \"http://127.0.0.1:4318\"".to_owned();
            self.add(key, format!("`{endpoint}` is not an http:// address"), hint);
        }
    }
}

/// Everything that is wrong, in the order of the sections.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut found = Problems::default();
    let agent = &config.agent;
    found.directory("agent.data-dir", &agent.data_dir);
    found.directory("agent.cache-dir", &agent.cache_dir);
    found.socket("agent.socket", &agent.socket);
    if agent.environment.as_deref().is_some_and(|name| name.trim().is_empty()) {
        found.add("agent.environment", "the name is empty", "leave the key out when there is no name".to_owned());
    }
    let shortest = Interval(Duration::from_millis(100));
    found.at_least("collect.every", config.collect.every, shortest);
    found.at_least("collect.filesystems-every", config.collect.filesystems_every, shortest);
    found.at_least("collect.processes-every", config.collect.processes_every, Interval::secs(1));
    found.at_least("collect.slow-every", config.collect.slow_every, Interval::secs(1));
    found.at_least("collect.cgroups-every", config.collect.cgroups_every, Interval::secs(1));
    for (key, is) in [("units-max", config.collect.units_max), ("containers-max", config.collect.containers_max)] {
        if is > GROUPS_MAX {
            let hint = format!("write {GROUPS_MAX} or less");
            found.add(format!("collect.{key}"), format!("{is} is too many"), hint);
        }
    }
    for (index, name) in config.collect.off.iter().enumerate() {
        if !COLLECTORS.contains(&name.as_str()) {
            let hint = nearest(name, &COLLECTORS)
                .map_or_else(|| format!("one of {}", COLLECTORS.join(", ")), |near| format!("did you mean `{near}`?"));
            found.add(format!("collect.off[{index}]"), format!("there is no collector `{name}`"), hint);
        }
    }
    if let Err(error) = Redactor::new(&config.redact, [0; 32]) {
        let lists = [
            ("patterns", &config.redact.patterns),
            ("attributes", &config.redact.attributes),
            ("hash-attributes", &config.redact.hash_attributes),
        ];
        let list = lists.into_iter().find(|(key, _)| *key == error.key);
        let index = list.and_then(|(_, rules)| rules.iter().position(|rule| *rule == error.rule));
        let index = index.map_or_else(String::new, |index| format!("[{index}]"));
        found.add(format!("redact.{}{index}", error.key), error.to_string(), None);
    }
    for (index, rule) in config.data.required.iter().enumerate() {
        if let Err(error) = globset::Glob::new(&rule.metric) {
            let hint = "write a name, or a pattern such as \"app.*\"".to_owned();
            found.add(
                format!("data.required[{index}].metric"),
                format!("`{}` is no pattern: {error}", rule.metric),
                hint,
            );
        }
    }
    found.at_least("store.retention", config.store.retention, Interval::secs(60));
    found.at_least("store.retention-changes", config.store.retention_changes, Interval::secs(60));
    found.at_least("store.retention-records", config.store.retention_records, Interval::secs(30 * 86_400));
    found.within("store.contents-max", config.store.contents_max, ByteSize(1 << 20), ByteSize(1 << 50));
    found.within("store.size-max", config.store.size_max, ByteSize(4 << 20), ByteSize(1 << 50));
    detect(&mut found, &config.detect);
    super::ingest::check(&mut found, &config.ingest);
    for (index, glob) in config.watch.files.iter().enumerate() {
        found.glob(format!("watch.files[{index}]"), glob);
    }
    for (index, glob) in config.watch.exclude.iter().enumerate() {
        found.glob(format!("watch.exclude[{index}]"), glob);
    }
    found.within("watch.bytes-max", config.watch.bytes_max, ByteSize(1), ByteSize(64 << 20));
    found.at_least("watch.sweep", config.watch.sweep, Interval::secs(1));
    found.at_least("inventory.every", config.inventory.every, Interval::secs(1));
    found.directory("policy.dir", &config.policy.dir);
    for (index, dir) in config.plugins.dirs.iter().enumerate() {
        found.directory(format!("plugins.dirs[{index}]"), dir);
    }
    for (index, dir) in config.plugins.trusted_dirs.iter().enumerate() {
        found.directory(format!("plugins.trusted-dirs[{index}]"), dir);
    }
    for (index, key) in config.plugins.trusted_keys.iter().enumerate() {
        if let Err(error) = crate::plugins::Trust::new(std::slice::from_ref(key), &[], false) {
            let hint = "`holdfast plugin keygen` and `minisign -G` print it".to_owned();
            found.add(format!("plugins.trusted-keys[{index}]"), error.to_string(), hint);
        }
    }
    found.directory("plugins.grants", &config.plugins.grants);
    found.socket("actuator.socket", &config.actuator.socket);
    super::export::check(&mut found, &config.export.otlp);
    access(&mut found, config);
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.level) {
        let hint =
            "write error, warn, info, debug, trace, or a list such as \"info,holdfast::ingest=debug\"".to_owned();
        found.add("log.level", format!("`{}` is not a log level: {error}", config.log.level), hint);
    }
    if let Some(endpoint) = &config.telemetry.otlp {
        found.endpoint("telemetry.otlp".to_owned(), endpoint);
    }
    found.0
}

/// Each entry is judged alone, so that a problem has its place.
fn detect(found: &mut Problems, config: &DetectConfig) {
    let apart = DetectConfig { threshold: Vec::new(), ..config.clone() };
    for (index, threshold) in config.threshold.iter().enumerate() {
        let alone = DetectConfig { threshold: vec![threshold.clone()], ..DetectConfig::default() };
        for problem in alone.problems() {
            found.add(format!("detect.threshold[{index}]"), problem, None);
        }
        if config.threshold[..index].iter().any(|other| other.name == threshold.name) {
            let message = format!("two thresholds are named `{}`", threshold.name);
            found.add(format!("detect.threshold[{index}].name"), message, None);
        }
    }
    for problem in apart.problems() {
        let key = if problem.starts_with("disk.horizon") { "detect.disk.horizon" } else { "detect" };
        found.add(key, problem, None);
    }
}

fn access(found: &mut Problems, config: &Config) {
    let access = &config.access;
    let roles = [
        ("admins", &access.admins),
        ("approvers", &access.approvers),
        ("operators", &access.operators),
        ("viewers", &access.viewers),
    ];
    for (role, names) in roles {
        for (index, name) in names.iter().enumerate() {
            let bare = name.strip_prefix('%').unwrap_or(name);
            if bare.is_empty() || bare.chars().any(|c| c.is_whitespace() || c == ':' || c == '%') {
                let hint = "write \"name\", \"%group\" or a numeric user id such as \"1000\"".to_owned();
                found.add(format!("access.{role}[{index}]"), format!("`{name}` is not a user or group"), hint);
            }
        }
    }
}

/// A path from a flag, which may be relative to where the command was started.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// What to write instead, from the parser's own message.
pub(super) fn hint_for(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let wrong = quoted.next()?;
        let known: Vec<&str> = quoted.collect();
        return nearest(wrong, &known).map(|near| format!("did you mean `{near}`?"));
    }
    if message.starts_with("invalid type: integer") || message.starts_with("invalid type: floating point") {
        return message
            .ends_with("expected a string")
            .then(|| "write it in quotes with its unit, such as \"30s\", \"64MiB\" or \"80%\"".to_owned());
    }
    if message.starts_with("invalid type: string") && message.ends_with("a sequence") {
        return Some("write a list: [\"…\"]".to_owned());
    }
    None
}

/// The known word that is at most a third of its letters away.
fn nearest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|word| (distance(wrong, word), *word))
        .filter(|(distance, word)| *distance <= (word.len().max(wrong.len()) / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
