//! The whole start, as systemd sees it: from the program to its `READY=1`, with 30 days of samples in its directory.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::past::Past;

const STARTS: usize = 7;
/// Longest wait for READY.
const PATIENCE: Duration = Duration::from_secs(30);
/// The agent works for so long before it is stopped and started anew: its own state is there then, too.
const WORKS: Duration = Duration::from_secs(5);

/// Median in milliseconds.
pub(crate) fn measure(data: &Path) -> Result<f64> {
    let past = Past::new(data)?;
    {
        let _running = past.start(&[])?;
        past.answers()?;
        std::thread::sleep(WORKS);
    }
    let notified = past.beside("notify");
    let socket = UnixDatagram::bind(&notified)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let environment = [format!("NOTIFY_SOCKET={}", notified.display())];
    let mut took = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let started = Instant::now();
        let running = past.start(&environment)?;
        let mut said = [0; 4096];
        loop {
            let length =
                socket.recv(&mut said).map_err(|why| format!("the agent does not say that it is ready: {why}"))?;
            let said = String::from_utf8_lossy(said.get(..length).unwrap_or_default()).into_owned();
            if said.lines().any(|line| line == "READY=1") {
                break;
            }
        }
        took.push(started.elapsed());
        drop(running);
        // What it said at its end belongs to this start.
        socket.set_nonblocking(true)?;
        while socket.recv(&mut said).is_ok() {}
        socket.set_nonblocking(false)?;
    }
    took.sort();
    Ok(took.get(STARTS / 2).ok_or("nothing was started")?.as_secs_f64() * 1e3)
}
