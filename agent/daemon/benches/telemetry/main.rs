//! What telemetry costs to keep and to ask for, beside Prometheus and VictoriaMetrics: `cargo xtask bench telemetry [--json]`.
//! `--only-ours` leaves the peers out.
//!
//! The work is "host-300" ([`workload`]): 300 series, a sample a second, 6 hours. Everybody is given one batch a tick, and
//! each batch is acknowledged before the next: we through the store's own door, the peers by remote write on loopback. Then
//! the store and Prometheus are filled up to 24 hours, for the range query, and the store's days are copied until it holds 30,
//! for opening it and for the whole start of the agent ([`ready`]). Last the whole agent runs on this host beside Netdata, and beside node_exporter with Prometheus ([`host`]).
//! `--idle-host` records this host for a quarter of an hour instead ([`idle`]). CPU is user and system time of the store's threads, or of the peer's process; bytes written are what `write`
//! was given (`wchar`), so neither side gains by what the page cache puts together.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measuring tool prints, reads clocks and starts its peers"
)]

mod crowd;
#[path = "../../../benches/figures.rs"]
mod figures;
mod host;
mod http;
mod idle;
mod measure;
mod ours;
mod past;
mod peer;
mod plugins;
mod ready;
mod remote_write;
mod socket;
mod workload;

use figures::{Figure, Goal};
use peer::Peer;

/// Before each figure's name.
const GROUP: &str = "telemetry";
/// Series of the workload.
const SERIES: usize = 300;
/// Ticks that are stored while everything is measured: 6 hours.
const TICKS: usize = 6 * 3_600;
/// Ticks that the range query is asked over.
const TICKS_DAY: usize = 24 * 3_600;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> std::process::ExitCode {
    let json = std::env::args().any(|arg| arg == "--json");
    let only_ours = std::env::args().any(|arg| arg == "--only-ours");
    let recorded = std::env::args().any(|arg| arg == "--idle-host");
    // Said as soon as they are known: what fails later takes nothing of them away.
    let say = |figures: Vec<Figure>| {
        for figure in figures {
            println!("{}", if json { figure.json() } else { figure.text() });
        }
    };
    match if recorded { idle::figures().map(say) } else { run(only_ours, say) } {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(only_ours: bool, say: impl Fn(Vec<Figure>)) -> Result<()> {
    let peers = if only_ours { Vec::new() } else { vec![Peer::prometheus()?, Peer::victoria_metrics()?] };
    let ours = ours::measure()?;
    let mut figures = vec![
        Figure::new("disk_bytes_per_sample", ours.disk_bytes_per_sample, "B", Goal::AtMost(1.12)),
        Figure::new("disk_bytes_per_sample_running", ours.running_bytes_per_sample, "B", Goal::None),
        Figure::new("written_bytes_per_sample", ours.written_bytes_per_sample, "B", Goal::AtMost(12.0)),
        Figure::new("cpu_us_per_sample", ours.cpu_us_per_sample, "us", Goal::AtMost(0.2)),
        Figure::new("range_query_24h_cpu", ours.query_cpu_us, "us", Goal::AtMost(1_000.0)),
        Figure::new("range_query_24h_wall", ours.query_wall_us, "us", Goal::AtMost(1_000.0)),
        Figure::new("range_query_24h_socket_cpu", ours.over_socket.cpu_us, "us", Goal::None),
        Figure::new("range_query_24h_socket", ours.over_socket.wall_us, "us", Goal::AtMost(1_000.0)),
        Figure::new("store_open_30d_cpu", ours.start_cpu_ms, "ms", Goal::None),
        Figure::new("store_open_30d_wall", ours.start_wall_ms, "ms", Goal::None),
        Figure::new("ready_30d", ours.ready_ms, "ms", Goal::AtMost(300.0)),
        Figure::new("resident_after_6h", ours.resident_mib, "MiB", Goal::None),
    ];
    for peer in peers {
        let name = peer.name;
        let theirs = peer.measure()?;
        let beside = |figure: &Figure, value: f64| figure.beside(name, value);
        for (of, value) in [
            ("disk_bytes_per_sample", Some(theirs.disk_bytes_per_sample)),
            ("written_bytes_per_sample", Some(theirs.written_bytes_per_sample)),
            ("cpu_us_per_sample", Some(theirs.cpu_us_per_sample)),
            ("range_query_24h_cpu", theirs.query_cpu_us),
            ("range_query_24h_wall", theirs.query_wall_us),
            ("range_query_24h_socket", theirs.query_wall_us),
            ("resident_after_6h", Some(theirs.resident_mib)),
        ] {
            let figure = figures.iter().find(|f| f.name == of && f.peer.is_none());
            if let (Some(figure), Some(value)) = (figure, value) {
                let figure = beside(figure, value);
                // VictoriaMetrics acknowledges what it holds in memory alone: six hours in seconds are hardly written at all.
                let durable = name != "victoria_metrics" || of != "written_bytes_per_sample";
                figures.push(if durable { figure } else { figure.only_shown() });
            }
        }
    }
    say(figures);
    say(host::figures(!only_ours)?);
    Ok(())
}
