use std::path::{Path, PathBuf};

use holdfast_core::detect::DetectConfig;
use holdfast_core::model::{ByteSize, Interval, Mode};
use holdfast_core::redact::RedactConfig;

use super::load::{Source, resolve};
use super::user::Places;
use super::*;
use crate::host::systemd::Bus;

#[track_caller]
fn refused(text: &str) -> String {
    parse(text, "holdfast.toml").expect_err(text).to_string()
}

#[test]
fn an_empty_file_is_a_fresh_host() {
    let config = parse("", "holdfast.toml").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.agent.mode_ceiling, Mode::Advise);
    assert_eq!(config.store.size_max, ByteSize(2 << 30));
}

#[test]
fn an_unknown_key_is_pointed_at_and_the_nearest_one_named() {
    insta::assert_snapshot!(refused("[agent]\nmode-celing = \"auto\"\n"), @r#"
    holdfast.toml:2:1: unknown field `mode-celing`, expected one of `data-dir`, `cache-dir`, `socket`, `mode-ceiling`, `environment`
      |
    2 | mode-celing = "auto"
      | ^^^^^^^^^^^
    hint: did you mean `mode-ceiling`?
    "#);
}

#[test]
fn a_bare_number_is_refused_with_what_to_write() {
    insta::assert_snapshot!(refused("[watch]\nsweep = 300\n"), @r#"
    holdfast.toml:2:9: invalid type: integer `300`, expected a string
      |
    2 | sweep = 300
      |         ^^^
    hint: write it in quotes with its unit, such as "30s", "64MiB" or "80%"
    "#);
}

#[test]
fn an_unknown_mode_is_pointed_at() {
    insta::assert_snapshot!(refused("agent.mode-ceiling = \"advice\""), @r#"
    holdfast.toml:1:22: unknown variant `advice`, expected one of `observe`, `advise`, `approve`, `auto`
      |
    1 | agent.mode-ceiling = "advice"
      |                      ^^^^^^^^
    hint: did you mean `advise`?
    "#);
}

#[test]
fn broken_toml_is_pointed_at() {
    insta::assert_snapshot!(refused("[store\nretention = \"30d\"\n"), @r"
    holdfast.toml:1:7: unclosed table, expected `]`
      |
    1 | [store
      |       ^
    ");
}

#[test]
fn mistakes_that_types_cannot_see_are_pointed_at_all_at_once() {
    let text = "\
[agent]
data-dir = \"var/lib/holdfast\"
[collect]
off = [\"cpu\", \"memmory\"]
[watch]
files = [\"/etc/app/[a\", \"etc/hosts\"]
[[export.otlp]]
endpoint = \"https://otel.example:4317/v1\"
protocol = \"grpc\"
";
    insta::assert_snapshot!(refused(text), @r#"
    holdfast.toml:2:12: agent.data-dir: `var/lib/holdfast` is not an absolute path without `..`
      |
    2 | data-dir = "var/lib/holdfast"
      |            ^^^^^^^^^^^^^^^^^^
    hint: begin it with `/`: the agent has no directory of its own to start from

    holdfast.toml:4:15: collect.off[1]: there is no collector `memmory`
      |
    4 | off = ["cpu", "memmory"]
      |               ^^^^^^^^^
    hint: did you mean `memory`?

    holdfast.toml:6:10: watch.files[0]: `/etc/app/[a` is not a glob: unclosed character class; missing ']'
      |
    6 | files = ["/etc/app/[a", "etc/hosts"]
      |          ^^^^^^^^^^^^^
    hint: put a backslash before a `[`, `{`, `*` or `?` that is part of a name

    holdfast.toml:6:25: watch.files[1]: `etc/hosts` is not an absolute path or glob without `..`
      |
    6 | files = ["/etc/app/[a", "etc/hosts"]
      |                         ^^^^^^^^^^^
    hint: begin it with `/`, as in "/etc/myapp/**"

    holdfast.toml:8:12: export.otlp[0].endpoint: `https://otel.example:4317/v1` cannot be used: over gRPC there is no path: name scheme, host and port
      |
    8 | endpoint = "https://otel.example:4317/v1"
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    hint: write an address such as "http://127.0.0.1:4317"
    "#);
}

#[test]
fn every_section_refuses_what_it_cannot_use() {
    for (text, part) in [
        ("agent.socket = \"/run/../holdfast.sock\"", "without `..`"),
        ("agent.environment = \" \"", "the name is empty"),
        ("collect.every = \"0s\"", "write \"100ms\" or more"),
        ("collect.processes-every = \"10ms\"", "write \"1s\" or more"),
        ("store.size-max = \"1MiB\"", "write a size from \"4MiB\""),
        ("store.retention = \"1s\"", "too short"),
        ("watch.bytes-max = \"1GiB\"", "out of range"),
        ("watch.exclude = [\"*.log\"]", "watch.exclude[0]"),
        ("policy.dir = \"policy.d\"", "policy.dir"),
        ("plugins.dirs = [\"/a\", \"b\"]", "plugins.dirs[1]"),
        ("plugins.trusted-keys = [\"nonsense\"]", "plugins.trusted-keys[0]"),
        ("export.otlp = [{ endpoint = \"127.0.0.1:4318\" }]", "must begin with http:// or https://"),
        ("export.otlp = [{ endpoint = \"http://a\" }, { endpoint = \"http://a\" }]", "named twice"),
        ("export.otlp = [{ endpoint = \"http://a\", headers = { \"a b\" = \"x\" } }]", "HTTP does not allow"),
        ("detect.threshold = [{ name = \"x\", metric = \"y\" }]", "states neither `above` nor `below`"),
        ("detect.threshold = [{ name = \"x\", metric = \"y\", above = 1, below = 2 }]", "allows no value"),
        ("detect.disk.horizon = \"0s\"", "longer than nothing"),
        ("detect.disk.full-above = \"95\"", "a share from"),
        ("export.otlp = [{ interval = \"5s\" }]", "missing field `endpoint`"),
        ("access.admins = [\"%\"]", "is not a user or group"),
        ("log.level = \"louder=maybe=no\"", "is not a log level"),
        ("log.format = \"xml\"", "unknown variant `xml`"),
        ("telemetry.otlp = \"grpc://a\"", "telemetry.otlp"),
        ("units.bus = \"sytem\"", "did you mean `system`?"),
    ] {
        let error = refused(text);
        assert!(error.contains(part), "{text} -> {error}");
        assert!(error.starts_with("holdfast.toml:1:"), "{text} -> {error}");
    }
    let long = format!("agent.socket = \"/{}\"", "s".repeat(107));
    assert!(refused(&long).contains("at most 107 bytes, this one 108"));
}

fn sources(texts: &[(&str, &str)]) -> Vec<Source> {
    texts.iter().map(|(name, text)| Source { name: (*name).into(), text: (*text).into() }).collect()
}

#[test]
fn a_later_file_overrides_key_by_key_and_each_value_knows_its_origin() {
    let texts = [
        ("a.toml", "[store]\nretention = \"7d\"\nsize-max = \"64MiB\"\n[watch]\nfiles = [\"/a\", \"/b\"]\n"),
        (
            "b.toml",
            "[watch]\nfiles = [\"/c\"]\n\n[store]\nretention = \"8d\"\n[[export.otlp]]\nendpoint = \"http://x\"\n",
        ),
    ];
    let flags = Overrides { data_dir: Some("/data".into()), socket: None };
    let (config, origins) = resolve(&sources(&texts), Config::default(), &flags).unwrap();
    assert_eq!(config.store.retention, Interval::secs(8 * 86_400));
    assert_eq!(config.store.size_max, ByteSize(64 << 20));
    assert_eq!(config.watch.files, ["/c"]);
    assert_eq!((config.agent.data_dir, config.agent.cache_dir), ("/data".into(), "/data/cache".into()));
    for (key, origin) in [
        ("store.retention", "b.toml:5"),
        ("store.size-max", "a.toml:3"),
        ("watch.files", "b.toml:2"),
        ("watch.sweep", "default"),
        ("export.otlp[0].endpoint", "b.toml:7"),
        ("export.otlp[0].interval", "default"),
        ("agent.data-dir", "--data-dir"),
        ("agent.cache-dir", "--data-dir"),
        ("agent.socket", "default"),
    ] {
        assert_eq!(origins.get(key).map(String::as_str), Some(origin), "{key}");
    }
}

#[test]
fn a_mistake_in_an_overridden_list_is_not_a_mistake() {
    let texts = [("a.toml", "watch.files = [\"/ok\", \"bad\"]"), ("b.toml", "watch.files = [\"/ok\"]")];
    assert!(resolve(&sources(&texts), Config::default(), &Overrides::default()).is_ok());
}

#[test]
fn a_mistake_in_a_flag_names_the_flag() {
    let flags = Overrides { data_dir: None, socket: Some(PathBuf::from(format!("/{}", "s".repeat(120)))) };
    let error = resolve(&[], Config::default(), &flags).unwrap_err().to_string();
    assert!(error.starts_with("--socket: the path of a socket has at most 107 bytes"), "{error}");
}

#[test]
fn files_are_read_in_the_order_of_their_names_and_other_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("holdfast.toml");
    std::fs::create_dir(dir.path().join("holdfast.d")).unwrap();
    std::fs::write(&main, "store.retention = \"7d\"").unwrap();
    for (name, text) in [
        ("20-b.toml", "store.retention = \"9d\""),
        ("10-a.toml", "store.retention = \"8d\""),
        (".x.toml", "("),
        ("y", "("),
    ] {
        std::fs::write(dir.path().join("holdfast.d").join(name), text).unwrap();
    }
    let loaded = load(Some(&main), &Overrides::default()).unwrap();
    assert_eq!(loaded.config.store.retention, Interval::secs(9 * 86_400));
    let names: Vec<_> = loaded.files.iter().filter_map(|p| p.file_name()?.to_str()).collect();
    assert_eq!(names, ["holdfast.toml", "10-a.toml", "20-b.toml"]);
    let effective = loaded.effective();
    let (_, value, origin) = effective.iter().find(|(key, ..)| key == "store.retention").unwrap();
    assert_eq!(value, "\"9d\"");
    assert!(origin.ends_with("holdfast.d/20-b.toml:1"), "{origin}");
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let error = load(Some(Path::new("/nowhere/holdfast.toml")), &Overrides::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration `/nowhere/holdfast.toml`");
}

#[test]
fn secrets_are_used_and_never_shown() {
    let text = "[[export.otlp]]\nendpoint = \"http://x\"\nheaders = { authorization = \"Bearer 123\" }\n";
    let config = parse(text, "holdfast.toml").unwrap();
    assert_eq!(config.export.otlp[0].headers["authorization"].expose(), "Bearer 123");
    let shown = format!("{config:?} {}", toml::to_string(&config).unwrap());
    assert!(shown.contains("(hidden)") && !shown.contains("123"), "{shown}");
}

#[test]
fn an_ordinary_users_files_lie_where_xdg_says() {
    let home =
        Places { home: Some("/home/u".into()), exe: Some("/src/target/debug/holdfast".into()), ..Places::default() };
    let config = home.config();
    assert_eq!(config.agent.data_dir, Path::new("/home/u/.local/state/holdfast"));
    assert_eq!(config.agent.socket, Path::new("/home/u/.local/state/holdfast/holdfast.sock"));
    assert_eq!(config.agent.cache_dir, Path::new("/home/u/.cache/holdfast"));
    assert_eq!(config.policy.dir, Path::new("/home/u/.config/holdfast/policy.d"));
    assert_eq!(config.plugins.trusted_dirs, [Path::new("/src/target/debug/plugins"), Path::new("/src/target/plugins")]);
    assert_eq!((config.units.bus, config.watch.files.len()), (Bus::Session, 0));

    let xdg = Places { state: Some("/s".into()), runtime: Some("/run/user/7".into()), ..home };
    let config = xdg.config();
    assert_eq!(config.agent.data_dir, Path::new("/s/holdfast"));
    assert_eq!(config.agent.socket, Path::new("/run/user/7/holdfast/holdfast.sock"));
    assert_eq!(config.actuator.socket, Path::new("/run/user/7/holdfast/actuator.sock"));
}

#[test]
fn the_default_of_either_kind_passes_its_own_checks() {
    let user = Places { home: Some("/home/u".into()), ..Places::default() }.config();
    for base in [Config::default(), user] {
        let (resolved, _) = resolve(&[], base.clone(), &Overrides::default()).unwrap();
        assert_eq!(resolved, base);
    }
}

#[test]
fn the_names_of_collectors_are_those_that_there_are() {
    struct Ids;
    impl crate::collect::sink::Intern for Ids {
        fn intern(&self, _: &holdfast_core::model::SeriesKey) -> (holdfast_core::model::SeriesId, bool) {
            (holdfast_core::model::SeriesId(0), false)
        }
    }
    let mut all = crate::collect::Collectors::new(
        crate::host::FsRoot::real(),
        std::sync::Arc::new(Ids),
        crate::collect::CollectConfig::default(),
    );
    all.count_plugins(std::time::Duration::from_secs(1), std::sync::Arc::new(Vec::new));
    let mut names: Vec<String> = all.report().into_iter().map(|report| report.name).collect();
    let mut known = super::check::COLLECTORS.map(str::to_owned);
    names.sort();
    known.sort();
    assert_eq!(names, known);
}

/// The file that is shipped, with every comment sign before a key taken away, is the default in full.
#[test]
fn the_shipped_file_states_every_default() {
    let shipped = include_str!("../../../../packaging/holdfast.toml");
    assert_eq!(parse(shipped, "packaging/holdfast.toml").unwrap(), Config::default());
    let is_key = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
    };
    let uncommented: String = shipped
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_key(rest) || rest.starts_with('[')).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let config = match parse(&uncommented, "packaging/holdfast.toml") {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    };
    // What has no default has an example.
    let examples = Config {
        agent: AgentConfig { environment: config.agent.environment.clone(), ..AgentConfig::default() },
        export: config.export.clone(),
        access: config.access.clone(),
        telemetry: config.telemetry.clone(),
        data: config.data.clone(),
        redact: RedactConfig {
            patterns: config.redact.patterns.clone(),
            attributes: config.redact.attributes.clone(),
            hash_attributes: config.redact.hash_attributes.clone(),
            ..RedactConfig::default()
        },
        watch: WatchConfig { exclude: config.watch.exclude.clone(), ..WatchConfig::default() },
        detect: DetectConfig {
            threshold: config.detect.threshold.clone(),
            watch: config.detect.watch.clone(),
            series: config.detect.series.clone(),
            slo: config.detect.slo.clone(),
            exhaustion: config.detect.exhaustion.clone(),
            ..DetectConfig::default()
        },
        ingest: crate::ingest::IngestConfig { limits: crate::ingest::Limits::default(), ..config.ingest.clone() },
        ..Config::default()
    };
    assert_eq!(config, examples);
    let keys = toml::Table::try_from(&config).unwrap();
    for (section, values) in keys {
        for key in values.as_table().unwrap().keys() {
            let mentioned = uncommented
                .lines()
                .any(|line| line.starts_with(&format!("{key} =")) || line.contains(&format!("{section}.{key}]")));
            assert!(mentioned, "[{section}] {key} is not mentioned");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic_and_every_fault_has_a_place(text in "[a-z\\[\\]=\"0-9.\n é]{0,60}") {
        if let Err(ConfigError::Invalid(faults)) = parse(&text, "x") {
            for fault in faults {
                let _ = fault.to_string();
                let place = fault.place.unwrap();
                proptest::prop_assert!(place.line >= 1 && place.column >= 1 && place.width >= 1);
            }
        }
    }
}
