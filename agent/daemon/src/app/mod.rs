//! The wiring: the only file that knows every room.
//!
//! Opens the stores, reads policy and plugins, starts what feeds the loop (collectors, systemd, watched files, packages), what
//! serves people (API) and what sends (exporters); then waits for the end. What cannot be had at the start (a bus, a plugin, a
//! receiver) is a value that `status` shows; only unusable configuration, policy or state is an error.

mod contents;
mod credential;
mod error;
mod exports;
mod feeds;
mod hands;
mod ingest;
mod os;
mod plugins;
mod policy;
mod reload;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::policy::Policy;
use holdfast_core::redact::Redactor;
use tokio::sync::watch;

use crate::act::ActuatorClient;
use crate::api::{self, Access, ApiContext};
use crate::collect::Collectors;
use crate::config::{Config, Loaded, Overrides};
use crate::engine::{Engine, EngineConfig, Moment, Parts};
use crate::event_loop::{self, Event};
use crate::export;
use crate::host::systemd::Systemd;
use crate::host::{Clock, FsRoot, OsRandom, SystemClock};
use crate::ingest::Ingest;
use crate::plugins::{Plugins, Sources, SystemdUnits, UnitSource};
use crate::request::Door;
use crate::service::{self, Notify, Signal};
use crate::store::{Blobs, StateDb, TelemetryDb, TelemetryOptions, load_or_create_audit_key};
use crate::telemetry::{self, Chain};

pub use error::AppError;
use exports::Exports;

/// Longest wait for the loop to write what waits and end.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// Worker threads; the loop, the collectors and the store's writer have their own.
const WORKERS: usize = 2;
/// Descriptors that are asked for.
const DESCRIPTORS: u64 = 16_384;
/// The socket may be opened by the agent's group; who may do what is said in `[access]`.
const SOCKET_MODE: u32 = 0o660;

/// Runs the agent until it is told to stop. `path` and `overrides` are what `loaded` was made from: a reload reads them again.
pub fn run(loaded: Loaded, path: Option<PathBuf>, overrides: Overrides) -> Result<(), AppError> {
    // Whatever the agent writes is its own user's; the socket gets its permissions by name.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    more_descriptors();
    crate::host::begin_beat();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("holdfast")
        .enable_all()
        .build()
        .map_err(AppError::Runtime)?;
    let result = runtime.block_on(serve(loaded, (path, overrides)));
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}

/// The soft limit of descriptors is for programs that use `select`; this one holds the kernel's files open.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|now| now < current) {
        // Refused, the agent runs with fewer: files are opened anew more often.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    }
}

async fn serve(loaded: Loaded, source: (Option<PathBuf>, Overrides)) -> Result<(), AppError> {
    let config = loaded.config.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let fs = FsRoot::real();
    let host = host_name(&fs);
    let data_dir = config.agent.data_dir.clone();
    make_dir(&data_dir)?;
    let instance = instance_id(&data_dir)?;
    let mut resource = export::resource_attributes(&host, &instance, config.agent.environment.as_deref());
    resource.extend(os::attributes());
    let guard = telemetry::init(&config.log.level, config.log.format, config.telemetry.otlp.as_deref(), &resource)
        .map_err(AppError::Telemetry)?;
    let mut signals = service::signals().map_err(AppError::Runtime)?;

    let (policy, policy_files) = policy::load(&config.policy.dir)?;
    let key = load_or_create_audit_key(&data_dir)?;
    let redactor =
        Redactor::new(&config.redact, key.derive("redact")).map_err(|error| AppError::Redact(error.to_string()))?;
    let redactor = Arc::new(redactor);
    let state = StateDb::open(&data_dir, key.clone())?;
    let telemetry_db = TelemetryDb::open(
        &data_dir,
        TelemetryOptions {
            opened_at: clock.wall(),
            retention: config.store.retention.0,
            minutes: config.store.retention_minutes.0,
            hours: config.store.retention_hours.0,
            changes: config.store.retention_changes.0,
            size_max_bytes: config.store.size_max.0,
            redactor: Arc::clone(&redactor),
            ..TelemetryOptions::default()
        },
    )?;
    let blobs = Blobs::open(&data_dir, config.store.contents_max.0)?;
    let systemd = Systemd::new(config.units.bus, config.units.units_max, Arc::clone(&clock));
    let units: Arc<dyn UnitSource> = Arc::new(SystemdUnits::new(systemd.clone(), tokio::runtime::Handle::current()));
    let sources = Sources {
        state: state.reader(),
        telemetry: telemetry_db.reader(),
        fs: fs.clone(),
        clock: Arc::clone(&clock),
        units: Arc::clone(&units),
        host_id: instance.clone(),
    };
    let plugins = view::load_plugins(&config, &key, sources).await?;

    let (stop, stopping) = watch::channel(false);
    let parts =
        exports::Parts { telemetry: telemetry_db.clone(), state: state.reader(), resource, clock: Arc::clone(&clock) };
    let exports = Arc::new(Exports::start(&config.export, parts)?);
    let (events, queue) = event_loop::queue();
    let (door, calls) = Door::new();
    let reader = state.reader();
    let now = Moment { wall: clock.wall(), mono: clock.monotonic() };
    let numbers = Arc::new(ingest::Numbers(telemetry_db.registry()));
    let intake = Ingest::new(
        &config.ingest,
        numbers,
        (telemetry_db.kept(), config.collect.every.0),
        Arc::clone(&clock),
        Arc::clone(&redactor),
    );
    let engine = engine(
        &config,
        now,
        EngineParts {
            host: &host,
            redactor: &redactor,
            state,
            telemetry: &telemetry_db,
            blobs: &blobs,
            plugins: &plugins,
            policy,
            policy_files,
            exports: &exports,
            ingest: intake.clone(),
        },
    )?;

    let listener = api::bind(&config.agent.socket, SOCKET_MODE).map_err(AppError::Api)?;
    let (access_sender, access) = watch::channel(access_of(&config));
    let intake_door = door.clone();
    let context = ApiContext {
        door,
        state: reader.clone(),
        telemetry: telemetry_db.reader(),
        access,
        clock: Arc::clone(&clock),
        units,
        required: Arc::new(config.data.required.clone()),
        redactor: Arc::clone(&redactor),
        fs: fs.clone(),
        look: view::look(&fs, &config.inventory),
        blobs: blobs.clone(),
        retention_records: config.store.retention_records.0,
        pasts: Arc::default(),
        read_file: crate::ingest::files::read_state,
        detect: Arc::new(config.detect.clone()),
        data_dir: data_dir.clone(),
        audit_key: key,
    };
    if let Some(address) = config.telemetry.prometheus {
        tokio::spawn(api::serve_metrics(context.clone(), address, stopping.clone()));
    }
    let api = tokio::spawn(api::serve(context, listener, stopping.clone()));

    let mut collectors =
        Collectors::with_clock(fs.clone(), telemetry_db.registry(), config.collect.clone(), Arc::clone(&clock));
    if !config.collect.off.iter().any(|name| name == "plugins") {
        let books = Arc::clone(&plugins);
        collectors.count_plugins(config.collect.slow_every.0, Arc::new(move || books.list()));
    }
    let told = (feeds::told(events.clone(), stopping.clone()), intake_door);
    intake.start(&config.ingest, ingest::token(&config.ingest).as_deref(), told, stopping.clone());
    let reach = reload::Reach {
        source,
        started: config.clone(),
        access: access_sender,
        plugins: Arc::clone(&plugins),
        exports: Arc::clone(&exports),
        ingest: intake.clone(),
    };
    let measured = intake.clone();
    let feeds = feeds::start(&config, &fs, &clock, &events, (collectors, intake), systemd, &stopping)
        .map_err(AppError::Runtime)?;
    plugins::start(&plugins, &clock, (events.clone(), measured), &stopping);
    tokio::spawn(contents::sweep(blobs.clone(), reader.clone(), Arc::clone(&clock), stopping.clone()));
    let mut hands = hands::RealHands {
        runtime: tokio::runtime::Handle::current(),
        events: events.clone(),
        actuator: ActuatorClient::new(config.actuator.socket.clone()),
        plugins: Arc::clone(&plugins),
        blobs,
        fs,
        clock: Arc::clone(&clock),
        files: feeds.files.clone(),
        content_bytes_max: config.watch.bytes_max.0,
        reload: reload::reloader(reach),
        telemetry: telemetry_db.clone(),
        state: reader.clone(),
    };
    let (alive_sender, alive) = watch::channel(0_u64);
    let handle = tokio::runtime::Handle::current();
    let loop_clock = Arc::clone(&clock);
    let event_loop = std::thread::Builder::new()
        .name("event-loop".to_owned())
        .spawn(move || {
            handle.block_on(event_loop::run(engine, queue, calls, &mut hands, loop_clock, &alive_sender));
        })
        .map_err(AppError::Runtime)?;

    let notify = Notify;
    notify.ready();
    notify.status(&format!("watching {host}, rules go up to {}", config.agent.mode_ceiling));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), host, socket = %config.agent.socket.display(), data_dir = %data_dir.display(),
        ceiling = %config.agent.mode_ceiling, "Holdfast is ready."
    );
    let dog = tokio::spawn(watchdog(notify, alive, stopping.clone()));
    while let Signal::Reload = signals.next().await {
        notify.reloading();
        events.send(Event::ReloadAsked).await;
        // The loop answers on its own time; systemd only wants to know that the signal arrived.
        notify.ready();
    }
    notify.stopping();
    plugins.ending();
    tracing::info!("Stopping.");
    let _ = stop.send(true);
    events.send(Event::Shutdown).await;
    let ended = tokio::task::spawn_blocking(move || event_loop.join().is_ok());
    if !matches!(tokio::time::timeout(STOP_DEADLINE, ended).await, Ok(Ok(true))) {
        tracing::error!("The event loop did not end cleanly.");
    }
    exports.stop().await;
    let _ = api.await;
    let _ = dog.await;
    let closed = tokio::task::spawn_blocking(move || telemetry_db.close()).await;
    if let Ok(Err(error)) = closed {
        tracing::error!(error = %Chain(&error), "Telemetry not written to its end.");
    }
    let _ = tokio::task::spawn_blocking(move || guard.stop()).await;
    Ok(())
}

/// Who may do what, as configured.
fn access_of(config: &Config) -> Access {
    let it = &config.access;
    Access::new(&it.admins, &it.approvers, &it.operators, &it.viewers, rustix::process::geteuid().as_raw())
}

struct EngineParts<'a> {
    host: &'a str,
    redactor: &'a Arc<Redactor>,
    state: StateDb,
    telemetry: &'a TelemetryDb,
    blobs: &'a Blobs,
    plugins: &'a Arc<Plugins>,
    policy: Policy,
    policy_files: Vec<String>,
    exports: &'a Arc<Exports>,
    ingest: Ingest,
}

fn engine(config: &Config, now: Moment, parts: EngineParts<'_>) -> Result<Engine, AppError> {
    let EngineParts { host, redactor, state, telemetry, blobs, plugins, policy, policy_files, exports, ingest } = parts;
    let engine_config = EngineConfig {
        host: host.to_owned(),
        environment: config.agent.environment.clone(),
        ceiling: config.agent.mode_ceiling,
        four_eyes: config.access.four_eyes,
        redactor: Arc::clone(redactor),
        detect: config.detect.clone(),
        content_bytes_max: config.watch.bytes_max.0,
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        retention: config.store.retention.0,
        records: config.store.retention_records.0,
        size_max_bytes: config.store.size_max.0,
    };
    let parts = Parts {
        state,
        telemetry: telemetry.clone(),
        blobs: blobs.clone(),
        plugins: Arc::new(view::View { plugins: Arc::clone(plugins), exports: Arc::clone(exports), ingest }),
        policy,
        policy_files,
        ids: Box::new(OsRandom::default()),
    };
    Ok(Engine::new(engine_config, parts, now)?)
}

/// Tells the service manager that the loop turns; a loop that stands still for long is for it to end.
async fn watchdog(notify: Notify, mut alive: watch::Receiver<u64>, mut stopping: watch::Receiver<bool>) {
    let Some(every) = notify.watchdog_interval() else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        if alive.has_changed().unwrap_or(false) {
            alive.mark_unchanged();
            notify.watchdog();
        }
    }
}

fn host_name(fs: &FsRoot) -> String {
    let mut text = String::new();
    match fs.read("/proc/sys/kernel/hostname", &mut text) {
        Ok(()) => text.trim().to_owned(),
        Err(_) => "localhost".to_owned(),
    }
}

fn make_dir(dir: &Path) -> Result<(), AppError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| AppError::DataDir { path: dir.to_owned(), source })
}

/// `service.instance.id`: random, made at the first start, the same for the life of the data directory.
fn instance_id(dir: &Path) -> Result<String, AppError> {
    use holdfast_core::model::IdSource;
    let path = dir.join("instance-id");
    let io = |source| AppError::DataDir { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) | Err(_) => {
            let id = holdfast_core::model::plan::hex(&OsRandom::default().random());
            std::fs::write(&path, format!("{id}\n")).map_err(io)?;
            Ok(id)
        }
    }
}
