//! What the engine may know of plugins and exporters without calling them.

use std::sync::Arc;

use holdfast_core::model::audit::AuditKey;
use holdfast_core::model::{Detection, Timestamp};
use holdfast_plugin_host::CacheKey;

use super::AppError;
use super::exports::Exports;
use crate::api::Look;
use crate::config::Config;
use crate::engine::{ActGrant, PluginView};
use crate::host::FsRoot;
use crate::ingest::Ingest;
use crate::ingest::inventory::{InventoryConfig, Reader};
use crate::plugins::{Plugins, PluginsOptions, Sources, Trust};
use crate::status::{PluginChange, PluginStatus, ReceiverStatus};
use crate::store::PluginStateWrite;
use crate::telemetry::Chain;

/// See the module.
pub(super) struct View {
    pub(super) plugins: Arc<Plugins>,
    pub(super) exports: Arc<Exports>,
    pub(super) ingest: Ingest,
}

impl PluginView for View {
    fn grant(&self, plugin: &str) -> Option<ActGrant> {
        let grant = self.plugins.grant(plugin)?;
        Some(ActGrant {
            mode: grant.mode,
            actions: grant.propose.actions,
            units: grant.propose.units,
            paths: grant.propose.paths,
        })
    }

    fn checks_of_path(&self, path: &str) -> Vec<String> {
        self.plugins.checks_of_path(path)
    }

    fn checks_of_kind(&self, kind: &str) -> Vec<String> {
        self.plugins.checks_of_kind(kind)
    }

    fn lift(&self, plugin: &str) -> Option<bool> {
        self.plugins.lift(plugin)
    }

    fn statuses(&self) -> Vec<PluginStatus> {
        self.plugins.list()
    }

    fn take_state(&self) -> Vec<PluginStateWrite> {
        self.plugins.take_state()
    }

    fn forget(&self, plugin: &str) -> Vec<PluginStateWrite> {
        self.plugins.forget(plugin)
    }

    fn look_soon(&self) {
        self.plugins.look_soon();
    }

    fn take_changes(&self) -> Vec<PluginChange> {
        self.plugins.take_changes()
    }

    fn detections(&self, at: Timestamp) -> Vec<Detection> {
        self.plugins.detections(at)
    }

    fn silent(&self, plugin: &str) -> Option<String> {
        self.plugins.silent(plugin)
    }

    fn receivers(&self) -> Vec<ReceiverStatus> {
        self.ingest.statuses()
    }

    fn exports(&self) -> Vec<serde_json::Value> {
        self.exports.statuses().iter().map(|it| serde_json::json!(it)).collect()
    }
}

/// How the interface looks at what the host is made of.
pub(super) fn look(fs: &FsRoot, config: &InventoryConfig) -> Look {
    let (fs, config) = (fs.clone(), config.clone());
    Arc::new(move || {
        let mut found = Reader::new(fs.clone(), &config).look();
        config.kinds.iter().map(|kind| (*kind, found.remove(kind))).collect()
    })
}

/// Finds and compiles the plugins; what is wrong with one of them is logged and ends nothing.
pub(super) async fn load_plugins(config: &Config, key: &AuditKey, sources: Sources) -> Result<Arc<Plugins>, AppError> {
    let asked = &config.plugins;
    let trust = Trust::new(&asked.trusted_keys, &asked.trusted_dirs, asked.allow_unsigned)
        .map_err(|error| AppError::Plugins(error.to_string()))?;
    let options = PluginsOptions {
        cache: Some((config.agent.cache_dir.clone(), CacheKey::new(key.derive("plugin-cache")))),
        marks: Some(config.agent.data_dir.clone()),
        ..PluginsOptions::new(asked.dirs.clone(), asked.grants.clone(), Arc::new(trust))
    };
    let loading = tokio::task::spawn_blocking(move || Plugins::load(&options, sources));
    let loaded = loading.await.map_err(|_| AppError::Plugins("loading the plugins panicked".to_owned()))?;
    let (plugins, problems) = loaded.map_err(|error| AppError::Plugins(Chain(&error).to_string()))?;
    super::plugins::complain(&problems);
    Ok(Arc::new(plugins))
}
