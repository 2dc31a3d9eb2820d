//! What wakes the loop by itself: collectors on a thread of their own, systemd, watched files, packages.
//!
//! Ticks and what comes again by itself never wait for a busy loop; single events wait, their sources keep what follows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::collect::{ClockTold, Collectors};
use crate::config::Config;
use crate::event_loop::{Event, Events, FileFound};
use crate::host::systemd::{Bus, Systemd, UnitChange};
use crate::host::{Clock, FsRoot, clock_is_synchronized};
use crate::ingest::files::{FileSeen, FileWatch};
use crate::ingest::inventory::Reader;
use crate::ingest::{self, Ingest, Told};
use crate::telemetry::Chain;

/// Readings that may wait between a source and the loop.
const QUEUE_MAX: usize = 512;
/// Time between two looks whether systemd is there.
const BUS_CHECK: Duration = Duration::from_secs(5);
/// Time between two questions whether the clock is in step: the bus starts a program for each.
const CLOCK_CHECK: Duration = Duration::from_mins(15);
/// Packages changed before the start are told from so far back.
const PACKAGES_BACK: Duration = Duration::from_hours(1);

/// What was started and can be spoken to.
pub(super) struct Feeds {
    pub(super) files: Option<Arc<FileWatch>>,
}

type ActiveStates = Arc<Mutex<HashMap<String, String>>>;

/// Starts everything; each source ends when `stopping` says so, or with the loop's queue.
pub(super) fn start(
    config: &Config,
    fs: &FsRoot,
    clock: &Arc<dyn Clock>,
    events: &Events,
    (collectors, intake): (Collectors, Ingest),
    systemd: Systemd,
    stopping: &watch::Receiver<bool>,
) -> std::io::Result<Feeds> {
    let states: ActiveStates = Arc::default();
    // The host's bus is asked only where the agent is the host's.
    if let Some(told) = collectors.clock_told().filter(|_| config.units.bus == Bus::System) {
        tokio::spawn(time_server(told, stopping.clone()));
    }
    collect(
        config.collect.every.0,
        (collectors, intake),
        Arc::clone(clock),
        events.clone(),
        Arc::clone(&states),
        stopping.clone(),
    )?;
    units(systemd, events.clone(), states, stopping.clone());
    packages(fs.clone(), clock, events.clone(), stopping.clone());
    inventory(config, fs.clone(), Arc::clone(clock), events.clone(), stopping.clone());
    let files = files(config, fs.clone(), Arc::clone(clock), events.clone(), stopping.clone());
    Ok(Feeds { files })
}

fn collect(
    every: Duration,
    (mut collectors, intake): (Collectors, Ingest),
    clock: Arc<dyn Clock>,
    events: Events,
    states: ActiveStates,
    stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let work = move || {
        let mut due = clock.monotonic();
        while !*stopping.borrow() {
            {
                let states = states.lock().unwrap_or_else(PoisonError::into_inner);
                collectors.count_units(states.values().map(String::as_str));
            }
            let mut batch = collectors.collect(clock.wall());
            intake.drain(&mut batch);
            events.offer(Event::Tick(Arc::new(batch), collectors.report()));
            let now = clock.monotonic();
            // Ticks that were missed (a suspended machine) are not made up for.
            due = (due + every).max(now);
            std::thread::sleep(due.saturating_sub(now).max(Duration::from_millis(1)));
        }
    };
    std::thread::Builder::new().name("collect".to_owned()).spawn(work).map(drop)
}

async fn time_server(told: Arc<ClockTold>, mut stopping: watch::Receiver<bool>) {
    loop {
        told.set(clock_is_synchronized().await);
        tokio::select! {
            () = tokio::time::sleep(CLOCK_CHECK) => {}
            () = stopped(&mut stopping) => break,
        }
    }
}

fn units(systemd: Systemd, events: Events, states: ActiveStates, mut stopping: watch::Receiver<bool>) {
    let (sender, mut receiver) = mpsc::channel::<UnitChange>(QUEUE_MAX);
    let watching = systemd.clone().watch(sender);
    tokio::spawn(async move {
        loop {
            let change = tokio::select! {
                change = receiver.recv() => change,
                () = tokio::time::sleep(BUS_CHECK) => {
                    let status = systemd.status();
                    if let Some(why) = status.why.filter(|_| !status.connected) {
                        events.offer(Event::NoUnits(why));
                    }
                    continue;
                }
                () = stopped(&mut stopping) => break,
            };
            let Some(UnitChange { now, at, .. }) = change else { break };
            {
                let mut states = states.lock().unwrap_or_else(PoisonError::into_inner);
                if now.load_state == "unloaded" {
                    states.remove(&now.name);
                } else {
                    states.insert(now.name.clone(), now.active_state.clone());
                }
            }
            events.send(Event::Unit(now, at)).await;
        }
        watching.abort();
    });
}

fn packages(fs: FsRoot, clock: &Arc<dyn Clock>, events: Events, stopping: watch::Receiver<bool>) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let now = clock.wall();
    let since = now.minus(PACKAGES_BACK);
    let dpkg = ingest::dpkg::tail(fs.clone(), now, since, sender.clone());
    let rpm = ingest::rpm::follow(fs, Arc::clone(clock), since, sender);
    tokio::spawn(async move {
        forward(receiver, Event::Change, events, stopping).await;
        dpkg.abort();
        rpm.abort();
    });
}

/// Where changes go that others tell of; a busy loop makes them wait, and their senders.
pub(super) fn told(events: Events, stopping: watch::Receiver<bool>) -> mpsc::Sender<Told> {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(forward(receiver, |Told { change, taken }| Event::Told { change, taken }, events, stopping));
    sender
}

/// Hands what comes to the loop until its source or the agent ends.
async fn forward<T>(
    mut from: mpsc::Receiver<T>,
    as_event: fn(T) -> Event,
    events: Events,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            it = from.recv() => match it {
                Some(it) => events.send(as_event(it)).await,
                None => break,
            },
            () = stopped(&mut stopping) => break,
        }
    }
}

fn files(
    config: &Config,
    fs: FsRoot,
    clock: Arc<dyn Clock>,
    events: Events,
    mut stopping: watch::Receiver<bool>,
) -> Option<Arc<FileWatch>> {
    let (sender, mut receiver) = mpsc::channel(QUEUE_MAX);
    let roots: [PathBuf; 0] = [];
    let watch = match FileWatch::start(&config.watch, &roots, fs, clock, sender) {
        Ok(watch) => Arc::new(watch),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "Files are not watched.");
            return None;
        }
    };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                seen = receiver.recv() => match seen {
                    // Who owns the file is looked up only when it matters.
                    Some(seen) => {
                        let FileSeen { state, content, at, first } = seen;
                        let found = FileFound { state, content, package: None, at, first };
                        events.send(Event::File(Box::new(found))).await;
                    }
                    None => break,
                },
                () = stopped(&mut stopping) => break,
            }
        }
    });
    Some(watch)
}

/// Looks at what the host is made of, again and again; a busy loop skips one.
fn inventory(config: &Config, fs: FsRoot, clock: Arc<dyn Clock>, events: Events, mut stopping: watch::Receiver<bool>) {
    if config.inventory.kinds.is_empty() {
        return;
    }
    let every = config.inventory.every.0;
    let mut reader = Reader::new(fs, &config.inventory);
    tokio::spawn(async move {
        loop {
            // Reading is short, and yet files are waited for.
            let looked = tokio::task::spawn_blocking(move || {
                let found = reader.look();
                (reader, found)
            });
            let Ok((again, found)) = looked.await else {
                tracing::error!(
                    "Packages, accounts, settings, modules and ports are not watched any more: reading them ended badly."
                );
                return;
            };
            reader = again;
            events.offer(Event::Inventory(Box::new(found), clock.wall()));
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stopped(&mut stopping) => return,
            }
        }
    });
}

/// Waits for the end of the agent.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
