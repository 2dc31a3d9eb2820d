//! What the agent remembers: two SQLite databases and a directory of file contents.
//!
//! - `telemetry.db` ([`TelemetryDb`]): samples and changes. High churn; survives `kill -9`; a damaged file is set aside and
//!   the agent runs on with an empty one. It is also the queue of every exporter: an export cursor is a position in it.
//! - `state.db` ([`StateDb`]): findings, incidents, remediations, decisions, baselines and the audit chain. What was
//!   acknowledged survives power loss. A damaged file is never set aside: the agent says so and stops.
//! - `blobs/` ([`Blobs`]): accepted contents of files, named by their SHA-256, below a size.
//!
//! One writer each, readers beside it. Nothing here reads a clock: time comes with the data. Absence is a value
//! (`None`, an empty list), never an error; every loss is counted.

mod error;
mod sqlite;
mod state;
mod telemetry;

pub use error::StoreError;
pub use state::{
    AUDIT_HEADS_FILE, AuditRow, BaselineFile, BaselineVersion, Blobs, ChainReport, Completeness, ContentsPlan,
    DecisionFilter, DeploymentFilter, Documents, EPISODES_BYTES_MAX, EpisodeHead, Expired, FindingFilter, InUse,
    IncidentFilter, Integrity, PluginStateWrite, RemediationFilter, Revised, Sent, StateCounts, StateDb, StateReader,
    Swept, TUNING_SETTING, VERSIONS_READ_MAX, VersionEntry, Writes, items_setting, load_or_create_audit_key,
    read_anchors, together, verify_chain,
};
pub use telemetry::{
    Across, Agg, ChangeFilter, ExportCursor, ExportSeries, ExportSlice, Fill, Gap, Joined, Kept, NextPlan, PurgeFilter,
    Purged, Query, RecordsPlan, RetentionPlan, SeriesFilter, SeriesPoints, SeriesRegistry, StoreEvent, Subject,
    TelemetryDb, TelemetryOptions, TelemetryReader, TelemetryStats, TierPlan,
};
