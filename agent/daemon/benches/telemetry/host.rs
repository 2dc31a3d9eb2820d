//! The whole of each on this host: measured once a second, stored, and watched for anomalies where the peer does that too.
//!
//! The host is made busy first ([`Crowd`]), so that everybody has more to measure than fixed costs. Ours is the agent as it is
//! shipped, with every core and every cgroup each second; the peers are Netdata as Debian ships it, and
//! node_exporter scraped once a second by Prometheus. One after the other, each for a minute after it has settled. CPU is user
//! and system time of the process and of all its descendants; a sample is a value stored. Ours is measured twice more: with
//! ten plugins, for its memory, and on the host as it was.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::figures::{Figure, Goal};
use crate::http::Client;
use crate::peer::{free_address, start};
use crate::{Result, measure, plugins};

/// Time that each is given before it is measured.
const SETTLE: Duration = Duration::from_secs(20);
/// Time that each is measured.
const WATCH: Duration = Duration::from_mins(1);
/// From so many samples a second on, the goal counts: fixed costs dominate below.
const BUSY: f64 = 500.0;

/// What one of them came to.
#[derive(Debug, Clone, Copy)]
struct Cost {
    samples_a_second: f64,
    us_a_sample: f64,
    core_percent: f64,
    resident_mib: f64,
}

/// Programs that end with this.
pub(crate) struct Running(pub(crate) Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Netdata ends its own plugins when it is asked to; an agent that is asked writes what it holds.
            if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(10) && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// CPU time of processes and all that descend from them.
fn cpu(of: &Running) -> Result<Duration> {
    Ok(family(of)?.into_iter().filter_map(|pid| measure::cpu_of(pid).ok()).sum())
}

fn resident_mib(of: &Running) -> Result<f64> {
    Ok(family(of)?.into_iter().filter_map(|pid| measure::resident_mib(&pid.to_string()).ok()).sum())
}

fn family(of: &Running) -> Result<Vec<u32>> {
    let mut parents: HashMap<u32, u32> = HashMap::new();
    for entry in fs::read_dir("/proc")?.filter_map(std::result::Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = text.rsplit_once(')').and_then(|(_, after)| after.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let roots: Vec<u32> = of.0.iter().map(Child::id).collect();
    let descends = |mut pid: u32| {
        // Bounded: a process table has no deeper trees.
        (0..64).any(|_| {
            let found = roots.contains(&pid);
            pid = parents.get(&pid).copied().unwrap_or(0);
            found
        })
    };
    Ok(parents.keys().copied().filter(|pid| descends(*pid)).collect())
}

fn watch(of: &Running, samples: impl Fn() -> Result<f64>) -> Result<Cost> {
    std::thread::sleep(SETTLE);
    let (started, before, first) = (Instant::now(), cpu(of)?, samples()?);
    std::thread::sleep(WATCH);
    let (spent, stored, over) = (cpu(of)?.saturating_sub(before), samples()? - first, started.elapsed());
    if stored <= 0.0 {
        return Err("nothing was stored while it was watched".into());
    }
    Ok(Cost {
        samples_a_second: stored / over.as_secs_f64(),
        us_a_sample: spent.as_secs_f64() * 1e6 / stored,
        core_percent: spent.as_secs_f64() / over.as_secs_f64() * 100.0,
        resident_mib: resident_mib(of)?,
    })
}

fn ours(with_plugins: bool) -> Result<Cost> {
    let dir = tempfile::tempdir()?;
    let (config, socket) = (dir.path().join("holdfast.toml"), dir.path().join("holdfast.sock"));
    let nowhere = dir.path().join("none");
    let (components, grants) =
        if with_plugins { plugins::lay(dir.path())? } else { (nowhere.clone(), nowhere.clone()) };
    fs::write(
        &config,
        format!(
            "[collect]\nper-core = true\ncgroups-every = \"1s\"\n[policy]\ndir = \"{}\"\n[plugins]\ndirs = [\"{}\"]\ngrants = \"{}\"\nallow-unsigned = true\n",
            nowhere.display(),
            components.display(),
            grants.display()
        ),
    )?;
    let args =
        ["--config", &config.display().to_string(), "--socket", &socket.display().to_string(), "run", "--data-dir"]
            .map(str::to_owned);
    let data = dir.path().join("data").display().to_string();
    // As the unit starts it: its environment, then the program, which takes the place of `env`.
    let mut words = environment()?;
    words.push(env!("CARGO_BIN_EXE_holdfast").to_owned());
    words.extend(args.into_iter().chain([data]));
    let child = start("env", "coreutils", &dir.path().join("log"), &words)?;
    let running = Running(vec![child]);
    if with_plugins {
        let ready = status(&socket)?;
        if ready != plugins::PLUGINS {
            return Err(format!("{ready} plugins are ready instead of {}", plugins::PLUGINS).into());
        }
    }
    watch(&running, || stored(&socket))
}

/// `NAME=value` of each variable that the agent's unit sets.
fn environment() -> Result<Vec<String>> {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd/holdfast.service");
    let text = fs::read_to_string(unit)?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("Environment="));
    Ok(lines.flat_map(str::split_whitespace).map(str::to_owned).collect())
}

/// Plugins that are ready, as the agent says; waits until it answers.
fn status(socket: &Path) -> Result<usize> {
    let began = Instant::now();
    let mut client = loop {
        match Client::unix(socket) {
            // A connection carries one request.
            Ok(client) => break client,
            Err(why) if began.elapsed() > SETTLE => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    let answer: serde_json::Value = serde_json::from_slice(&client.ask("GET", "/api/v1/plugins", "", &[])?)?;
    let all = answer.get("plugins").and_then(|it| it.as_array()).ok_or("the agent does not list its plugins")?;
    Ok(all.iter().filter(|it| it.get("state").is_some_and(|state| state == "ready")).count())
}

/// Samples that the agent has stored so far, as it says.
fn stored(socket: &Path) -> Result<f64> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let value = text.lines().find_map(|line| line.strip_prefix("holdfast_store_samples_written_total "));
    Ok(value.ok_or("the agent does not say how many samples it has stored")?.trim().parse()?)
}

/// Lines of an exposition that hold a sample.
fn exposed(address: SocketAddr, path: &str) -> Result<f64> {
    let text = Client::connect(address)?.ask("GET", path, "", &[])?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count() as f64)
}

/// Every one of a peer's samples is stored once a second: their number times the seconds.
fn each_second(address: SocketAddr, path: &'static str) -> impl Fn() -> Result<f64> {
    let started = Instant::now();
    move || Ok(exposed(address, path)? * started.elapsed().as_secs_f64())
}

fn netdata() -> Result<Cost> {
    let (dir, address) = (tempfile::tempdir()?, free_address()?);
    // It gives root's rights away and writes as its own user.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
    let mut text = "[directories]\n".to_owned();
    for name in ["cache", "lib", "log"] {
        let path = dir.path().join(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        writeln!(text, "{name} = {}", path.display())?;
    }
    write!(text, "[web]\nbind to = 127.0.0.1\ndefault port = {}\n[registry]\nenabled = no\n", address.port())?;
    let config = dir.path().join("netdata.conf");
    fs::write(&config, text)?;
    let args = ["-D", "-c", &config.display().to_string(), "-P", &dir.path().join("pid").display().to_string()];
    let args: Vec<String> = args.map(str::to_owned).into_iter().collect();
    let running = Running(vec![start("netdata", "netdata-core", &dir.path().join("log-of-it"), &args)?]);
    watch(&running, each_second(address, "/api/v1/allmetrics?format=prometheus&source=as-collected"))
}

fn prometheus() -> Result<Cost> {
    let (dir, address, exporter) = (tempfile::tempdir()?, free_address()?, free_address()?);
    let config = dir.path().join("prometheus.yml");
    let targets = format!(
        "scrape_configs:\n- job_name: node\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{exporter}']\n"
    );
    fs::write(&config, targets)?;
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", dir.path().join("data").display()),
        format!("--web.listen-address={address}"),
    ];
    let node = [format!("--web.listen-address={exporter}")];
    let mut running = Running(Vec::new());
    running.0.push(start("prometheus-node-exporter", "prometheus-node-exporter", &dir.path().join("log-node"), &node)?);
    running.0.push(start("prometheus", "prometheus", &dir.path().join("log"), &args)?);
    watch(&running, each_second(exporter, "/metrics"))
}

/// Figures of the whole, ours beside each peer's.
pub(crate) fn figures(with_peers: bool) -> Result<Vec<Figure>> {
    let quiet = ours(false)?;
    let crowd = Crowd::make();
    let (own, with_plugins) = (ours(false)?, ours(true)?);
    let goal = |most: f64| if own.samples_a_second >= BUSY { Goal::AtMost(most) } else { Goal::None };
    let mut figures = vec![
        Figure::new("host_samples_per_second", own.samples_a_second, "1/s", Goal::None),
        Figure::new("host_cpu_us_per_sample", own.us_a_sample, "us", goal(4.0)),
        Figure::new("host_core_percent", own.core_percent, "%", Goal::AtMost(0.5)),
        Figure::new("host_resident", own.resident_mib, "MiB", Goal::AtMost(40.0)),
        Figure::new("host_resident_ten_plugins", with_plugins.resident_mib, "MiB", Goal::AtMost(40.0)),
        Figure::new("quiet_host_samples_per_second", quiet.samples_a_second, "1/s", Goal::None),
        Figure::new("quiet_host_cpu_us_per_sample", quiet.us_a_sample, "us", Goal::None),
        Figure::new("quiet_host_core_percent", quiet.core_percent, "%", Goal::AtMost(0.5)),
    ];
    if !with_peers {
        return Ok(figures);
    }
    for (name, cost) in [("netdata", netdata()?), ("node_exporter_prometheus", prometheus()?)] {
        let theirs = [cost.samples_a_second, cost.us_a_sample, cost.core_percent, cost.resident_mib];
        let beside: Vec<Figure> =
            figures.iter().take(4).zip(theirs).map(|(figure, it)| figure.beside(name, it)).collect();
        // How many samples each takes is its own choice.
        figures.extend(beside.into_iter().enumerate().map(|(n, it)| if n == 0 { it.only_shown() } else { it }));
    }
    drop(crowd);
    Ok(figures)
}
