//! The peers: Debian's packages, started on loopback with a directory of their own, and ended by their process id.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::Client;
use crate::workload::{T0_S, Workload, class_of, name_of};
use crate::{Result, SERIES, TICKS, TICKS_DAY, measure, remote_write};

/// Longest wait for a peer to answer or to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// Ticks in one request while a peer is only filled.
const TICKS_AT_ONCE: usize = 60;
const QUERIES: usize = 60;
const HEADERS: &str =
    "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prometheus,
    VictoriaMetrics,
}

/// A peer that runs until it is dropped.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    kind: Kind,
    child: Child,
    dir: tempfile::TempDir,
    address: SocketAddr,
}

#[derive(Debug)]
pub(crate) struct Theirs {
    pub(crate) disk_bytes_per_sample: f64,
    pub(crate) written_bytes_per_sample: f64,
    pub(crate) cpu_us_per_sample: f64,
    pub(crate) resident_mib: f64,
    pub(crate) query_cpu_us: Option<f64>,
    pub(crate) query_wall_us: Option<f64>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

pub(crate) fn start(program: &str, package: &str, log: &Path, args: &[String]) -> Result<Child> {
    let log = std::fs::File::create(log)?;
    let started = Command::new(program).args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    started.map_err(|why| format!("cannot start `{program}`: {why}\nhint: apt-get install -y {package}").into())
}

impl Peer {
    pub(crate) fn prometheus() -> Result<Self> {
        let (dir, address) = (tempfile::tempdir()?, free_address()?);
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "scrape_configs: []\n")?;
        let args = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            "--storage.tsdb.retention.time=100y".to_owned(),
            "--web.enable-remote-write-receiver".to_owned(),
            "--web.enable-admin-api".to_owned(),
            format!("--web.listen-address={address}"),
        ];
        let child = start("prometheus", "prometheus", &dir.path().join("log"), &args)?;
        Self { name: "prometheus", kind: Kind::Prometheus, child, dir, address }.ready("/-/ready")
    }

    pub(crate) fn victoria_metrics() -> Result<Self> {
        let (dir, address) = (tempfile::tempdir()?, free_address()?);
        let args = [
            format!("-storageDataPath={}", dir.path().join("data").display()),
            "-retentionPeriod=100y".to_owned(),
            "-search.disableCache".to_owned(),
            format!("-httpListenAddr={address}"),
        ];
        let child = start("victoria-metrics", "victoria-metrics", &dir.path().join("log"), &args)?;
        Self { name: "victoria_metrics", kind: Kind::VictoriaMetrics, child, dir, address }.ready("/health")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn ready(mut self, path: &str) -> Result<Self> {
        let started = Instant::now();
        loop {
            let answer = Client::connect(self.address).and_then(|mut client| client.ask("GET", path, "", &[]));
            let Err(why) = answer else { return Ok(self) };
            if started.elapsed() > PATIENCE || self.child.try_wait()?.is_some() {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                return Err(format!("{} does not get ready: {why}\n{log}", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives it ticks `from..to`, so many in a request, each request acknowledged before the next.
    fn feed(&self, workload: &mut Workload, from: usize, to: usize, at_once: usize) -> Result<()> {
        let mut client = Client::connect(self.address)?;
        let labels: Vec<Vec<u8>> = (0..SERIES).map(|n| remote_write::labels(name_of(class_of(n)), n)).collect();
        let mut tick = from;
        while tick < to {
            let count = at_once.min(to - tick);
            let values: Vec<Vec<f64>> = (0..count).map(|_| workload.tick()).collect();
            let mut message = Vec::new();
            for (index, labels) in labels.iter().enumerate() {
                let samples = values.iter().enumerate().filter_map(|(offset, values)| {
                    values.get(index).map(|value| ((T0_S + (tick + offset) as i64) * 1_000, *value))
                });
                remote_write::series(&mut message, labels, samples);
            }
            client.ask("POST", "/api/v1/write", HEADERS, &remote_write::snappy(&message))?;
            tick += count;
        }
        Ok(())
    }

    pub(crate) fn measure(self) -> Result<Theirs> {
        let samples = (SERIES * TICKS) as f64;
        let (pid, process) = (self.child.id(), self.child.id().to_string());
        let mut workload = Workload::new(SERIES);
        let (cpu, written) = (measure::cpu_of(pid)?, measure::written(&process)?);
        self.feed(&mut workload, 0, TICKS, 1)?;
        if self.kind == Kind::VictoriaMetrics {
            // What it holds in memory for some seconds is put on disk, as ours is.
            Client::connect(self.address)?.ask("GET", "/internal/force_flush", "", &[])?;
        }
        let spent = measure::cpu_of(pid)?.saturating_sub(cpu);
        let mut found = Theirs {
            disk_bytes_per_sample: 0.0,
            written_bytes_per_sample: (measure::written(&process)? - written) as f64 / samples,
            cpu_us_per_sample: spent.as_secs_f64() * 1e6 / samples,
            resident_mib: measure::resident_mib(&process)?,
            query_cpu_us: None,
            query_wall_us: None,
        };
        found.disk_bytes_per_sample = self.sealed_bytes()? as f64 / samples;
        self.feed(&mut workload, TICKS, TICKS_DAY, TICKS_AT_ONCE)?;
        let (wall, cpu) = self.query()?;
        (found.query_wall_us, found.query_cpu_us) = (Some(wall), Some(cpu));
        Ok(found)
    }

    /// What the samples come to when the peer has put them into its final form, without its log of the newest.
    fn sealed_bytes(&self) -> Result<u64> {
        let mut client = Client::connect(self.address)?;
        match self.kind {
            Kind::Prometheus => {
                client.ask("POST", "/api/v1/admin/tsdb/snapshot", "", &[])?;
                let snapshots = self.data().join("snapshots");
                let bytes = measure::bytes_below(&snapshots);
                std::fs::remove_dir_all(snapshots)?;
                Ok(bytes)
            }
            Kind::VictoriaMetrics => {
                client.ask("GET", "/internal/force_merge", "", &[])?;
                let (started, mut before) = (Instant::now(), 0);
                // Old parts are deleted a while after the merge.
                loop {
                    std::thread::sleep(Duration::from_secs(2));
                    let now = measure::bytes_below(&self.data());
                    if now == before || started.elapsed() > PATIENCE {
                        return Ok(now);
                    }
                    before = now;
                }
            }
        }
    }

    /// Medians of wall and CPU time, in microseconds, of the query that ours is asked.
    fn query(&self) -> Result<(f64, f64)> {
        let mut client = Client::connect(self.address)?;
        let pid = self.child.id();
        let (mut turn, mut wall) = (0, Vec::new());
        let before = measure::cpu_of(pid)?;
        while turn < QUERIES {
            let series = (turn * 7) % SERIES;
            turn += 1;
            let path = format!(
                "/api/v1/query_range?query=avg_over_time({}%7Bidx%3D%22{series}%22%7D%5B1m%5D)&start={}&end={}&step=60",
                name_of(class_of(series)),
                T0_S + 60,
                T0_S + TICKS_DAY as i64
            );
            let started = Instant::now();
            let answer = client.ask("GET", &path, "", &[])?;
            wall.push(started.elapsed());
            let points = answer.windows(2).filter(|pair| pair == b"[1").count();
            // VictoriaMetrics answers from what it has made searchable, some seconds behind.
            if points < TICKS_DAY / 60 - 60 {
                return Err(format!("{} answered with {points} points", self.name).into());
            }
        }
        // Its clock has steps of a hundredth of a second, so the mean stands for the median.
        let cpu = measure::cpu_of(pid)?.saturating_sub(before).as_secs_f64() * 1e6 / QUERIES as f64;
        wall.sort();
        Ok((wall.get(QUERIES / 2).map_or(0.0, |it| it.as_secs_f64() * 1e6), cpu))
    }
}
