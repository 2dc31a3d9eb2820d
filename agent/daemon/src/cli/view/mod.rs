//! From documents to text for people. Pure: a document and a [`super::out::Look`] in, text with colour marks out.

pub(super) mod audit;
pub(super) mod baseline;
pub(super) mod changes;
pub(super) mod data;
pub(super) mod decisions;
pub(super) mod deployments;
pub(super) mod findings;
pub(super) mod incidents;
pub(super) mod labels;
pub(super) mod metrics;
pub(super) mod plugin_install;
pub(super) mod plugins;
pub(super) mod policy;
pub(super) mod remediations;
pub(super) mod retention;
pub(super) mod status;
pub(super) mod tune;
pub(super) mod versions;
mod words;
