//! What keeps plugins going: their schedules, and a look whether their files have changed.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{IdSource, RunId, Timestamp};
use tokio::sync::watch;
use tokio::time::Interval;

use crate::event_loop::{Event, Events};
use crate::host::{Clock, OsRandom, beats};
use crate::ingest::Ingest;
use crate::plugins::{PluginProblem, Plugins, Schedule};
use crate::telemetry::Chain;

/// How exactly a schedule is kept: about a second, in beats.
const TICK: u32 = 2;
/// Beats between two looks at the files, about two seconds; what is new must stay the same for one more, so that a copy under way is not
/// taken for damaged.
const LOOK: u32 = 4;

/// A plugin that was not called for so long, or twice as long at most, is let go from memory.
const REST: Duration = Duration::from_secs(30);

/// Says what is wrong with plugins and grants.
pub(super) fn complain(problems: &[PluginProblem]) {
    for problem in problems {
        tracing::warn!(file = %problem.file.display(), error = problem.message, "Plugin problem.");
    }
}

/// Starts both, as one task: what is due at the same beat is done by one thread. They end with the agent.
pub(super) fn start(
    plugins: &Arc<Plugins>,
    clock: &Arc<dyn Clock>,
    (events, ingest): (Events, Ingest),
    stopping: &watch::Receiver<bool>,
) {
    let checks = checks(Arc::clone(plugins), Arc::clone(clock), (events, ingest), stopping.clone());
    let changes = changes(Arc::clone(plugins), stopping.clone());
    tokio::spawn(async { tokio::join!(checks, changes) });
}

/// Checks, detectors and collectors when they are due; a busy loop skips one.
async fn checks(
    plugins: Arc<Plugins>,
    clock: Arc<dyn Clock>,
    (events, ingest): (Events, Ingest),
    mut stopping: watch::Receiver<bool>,
) {
    let (mut schedule, mut collecting) = (Schedule::default(), Schedule::default());
    let (mut random, mut ids) = (OsRandom::default(), OsRandom::default());
    let mut share = move || {
        let [a, b, ..] = random.random();
        f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX)
    };
    let mut looked = clock.monotonic();
    let mut tick = beats(TICK);
    while !ends(&mut tick, &mut stopping).await {
        let now = clock.monotonic();
        if now.saturating_sub(looked) >= REST {
            looked = now;
            plugins.rest();
        }
        for plugin in schedule.due(now, &plugins.scheduled(), &mut share) {
            events.offer(Event::CheckDue(plugin));
        }
        for plugin in collecting.due(now, &plugins.collectors(), &mut share) {
            let run = RunId::new(clock.wall(), &mut ids);
            tokio::spawn(collect(Arc::clone(&plugins), ingest.clone(), plugin, (run, clock.wall())));
        }
    }
}

/// Hands what a plugin measured to where applications hand theirs. A plugin that fails is benched by its books, as every other.
async fn collect(plugins: Arc<Plugins>, ingest: Ingest, plugin: String, (run, at): (RunId, Timestamp)) {
    match plugins.collect(&plugin, run, at).await {
        Ok(samples) => ingest.collected(&plugin, samples),
        Err(error) => tracing::debug!(plugin, error = %Chain(&error), "A plugin measured nothing."),
    }
}

/// Takes up components and grants that were added, replaced or removed.
async fn changes(plugins: Arc<Plugins>, mut stopping: watch::Receiver<bool>) {
    // A directory may lie on a disk that has stopped: its wait is another thread's.
    let list = || {
        let plugins = Arc::clone(&plugins);
        async move { tokio::task::spawn_blocking(move || plugins.files()).await.ok() }
    };
    let (mut taken, mut seen) = (list().await, None);
    let mut look = beats(LOOK);
    loop {
        // Who places files whole says so, and has not to wait until they have stayed the same for a while.
        let hurried = tokio::select! {
            ends = ends(&mut look, &mut stopping) => {
                if ends {
                    return;
                }
                false
            }
            () = plugins.hurried() => true,
        };
        let now = list().await;
        if now == taken {
            seen = None;
        } else if hurried || seen.as_ref() == Some(&now) {
            let looking = Arc::clone(&plugins);
            let looked = tokio::task::spawn_blocking(move || looking.look()).await;
            if let Ok(problems) = &looked {
                complain(problems);
            }
            if looked.is_err() {
                tracing::error!("Looking for changed plugins panicked.");
            }
            (taken, seen) = (now, None);
        } else {
            seen = Some(now);
        }
    }
}

async fn ends(tick: &mut Interval, stopping: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        _ = tick.tick() => false,
        _ = stopping.wait_for(|stop| *stop) => true,
    }
}
