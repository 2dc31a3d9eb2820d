//! The ground floor: the words that every other room speaks.
//!
//! Data only, with the checks that keep a value in its range. Nothing here reads, waits or decides.

pub mod audit;
pub mod change;
pub mod course;
pub mod decision;
pub mod evidence;
pub mod finding;
pub mod globs;
pub mod id;
pub mod incident;
pub mod inventory;
pub mod label;
pub mod metric;
pub mod plan;
pub mod remediation;
pub mod target;
pub mod time;
pub mod unit;
pub mod unit_name;

pub use audit::{AuditEntry, AuditKind};
pub use change::{Change, Deployment, DeploymentState, NOT_BEFORE};
pub use course::{COURSE, Course, CourseError};
pub use decision::{Approval, Decision, Mode, Reason, Verdict};
pub use evidence::{Evidence, RELATED_EVIDENCE, RELATED_UNITS, Value};
pub use finding::{Class, Confidence, Detection, Finding, FindingState, Method, Presence, Severity};
pub use globs::Globs;
pub use id::{
    AuditId, CauseId, ChangeId, DecisionId, DeploymentId, FindingId, IdSource, IncidentId, PlanId, RemediationId,
    RunId, SeededIds,
};
pub use incident::{Incident, IncidentState, Suspect, TimelineEntry};
pub use inventory::{AcceptedItems, Inventory, Item, ItemKind, ItemName, Items};
pub use label::{LABEL_EVIDENCE, Label, Says};
pub use metric::{Attributes, MetricKind, SampleBatch, SeriesId, SeriesKey, has_all, series_name};
pub use plan::{Action, Plan, PlanBody, PlanDigest, ReclaimEntry, Risk, Step, Undo};
pub use remediation::{
    Effect, Remediation, RemediationState, StepRecord, StepState, Verification, VerificationVerdict,
};
pub use target::{FileState, Target, UnitState};
pub use time::Timestamp;
pub use unit::{ByteSize, Interval, Ratio};
pub use unit_name::full_unit_name;
