//! The range query as a person's tools ask it: of the running agent, over its Unix socket, JSON and all.

use std::path::Path;
use std::time::Instant;

use crate::http::Client;
use crate::ours::NEWEST_LEFT_OUT_S;
use crate::past::Past;
use crate::workload::{T0_S, class_of, name_of};
use crate::{Result, SERIES, TICKS_DAY, measure};

/// Queries; many, because the kernel tells a process' CPU time in steps of a hundredth of a second.
const QUERIES: usize = 400;

/// Medians, in microseconds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct OverSocket {
    pub(crate) wall_us: f64,
    /// Mean CPU time of the agent's process; what it does besides is in it.
    pub(crate) cpu_us: f64,
}

/// Starts the agent on a copy of the database, which lies in `dir`, and asks.
pub(crate) fn measure(dir: &Path) -> Result<OverSocket> {
    let own = tempfile::tempdir()?;
    let data = own.path().join("data");
    std::fs::create_dir(&data)?;
    // Its log too: the newest samples may lie there.
    for file in std::fs::read_dir(dir)?.filter_map(std::result::Result::ok) {
        std::fs::copy(file.path(), data.join(file.file_name()))?;
    }
    let past = Past::new(&data)?;
    let running = past.start(&[])?;
    let pid = running.0.first().ok_or("nothing was started")?.id();
    past.answers()?;
    let socket = past.socket();
    for turn in 0..SERIES {
        ask(&socket, turn)?;
    }
    let (mut wall, before) = (Vec::with_capacity(QUERIES), measure::cpu_of(pid)?);
    for turn in 0..QUERIES {
        let started = Instant::now();
        let answer = ask(&socket, turn)?;
        wall.push(started.elapsed());
        let document: serde_json::Value = serde_json::from_slice(&answer)?;
        let points = document.pointer("/series/0/points").and_then(|it| it.as_array()).map_or(0, Vec::len);
        if points != TICKS_DAY / 60 {
            return Err(format!("the agent answered with {points} points instead of {}", TICKS_DAY / 60).into());
        }
    }
    let cpu = measure::cpu_of(pid)?.saturating_sub(before);
    wall.sort();
    let middle = wall.get(QUERIES / 2).copied().ok_or("nothing was asked")?;
    Ok(OverSocket { wall_us: middle.as_secs_f64() * 1e6, cpu_us: cpu.as_secs_f64() * 1e6 / QUERIES as f64 })
}

/// One series, a day of seconds, a mean a minute; series of all classes in turn. A connection of the socket carries one request,
/// so making it is in the figure.
fn ask(socket: &Path, turn: usize) -> Result<Vec<u8>> {
    let series = (turn * 7) % SERIES;
    let moment = |s: i64| holdfast_core::model::Timestamp::from_secs(T0_S + NEWEST_LEFT_OUT_S + s).to_string();
    let path = format!(
        "/api/v1/metrics/query?metric={}&where=idx%3D{series}&since={}&until={}&step=1m&agg=avg",
        name_of(class_of(series)),
        moment(0),
        moment(TICKS_DAY as i64 - 1)
    );
    Client::unix(socket)?.ask("GET", &path, "", &[])
}
