//! Cases as they are written: TOML wire types. What is left out is as harmless as it can be.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::model::{
    Class, Confidence, DeploymentId, FindingState, Interval, Mode, RemediationState, Risk, Severity, Target, Timestamp,
    Value, Verdict,
};

type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Document {
    #[serde(default)]
    pub(super) case: Vec<CaseText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CaseText {
    pub(super) name: Text,
    pub(super) at: Option<Timestamp>,
    pub(super) finding: FindingText,
    #[serde(default)]
    pub(super) host: BTreeMap<String, Value>,
    pub(super) unit: Option<UnitText>,
    pub(super) ceiling: Option<Mode>,
    pub(super) grant: Option<Mode>,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default)]
    pub(super) deployments: Vec<DeploymentId>,
    #[serde(default)]
    pub(super) history: Vec<RunText>,
    #[serde(default)]
    pub(super) now_running: u32,
    pub(super) plan: Option<PlanText>,
    pub(super) expect: Spanned<ExpectText>,
}

/// One of `unit`, `path`, `filesystem` and `subject` says what it is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FindingText {
    pub(super) kind: Text,
    pub(super) unit: Option<String>,
    pub(super) path: Option<String>,
    pub(super) filesystem: Option<String>,
    pub(super) subject: Option<Target>,
    pub(super) class: Option<Class>,
    pub(super) severity: Option<Severity>,
    pub(super) confidence: Option<Confidence>,
    pub(super) title: Option<String>,
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) evidence: BTreeMap<String, Value>,
    /// How long it has lasted. Default: an hour.
    pub(super) lasted: Option<Interval>,
    pub(super) state: Option<FindingState>,
    /// It descends from the agent's own action.
    #[serde(default)]
    pub(super) own_effect: bool,
}

/// Keys as conditions name them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct UnitText {
    pub(super) name: Option<String>,
    pub(super) load_state: String,
    pub(super) active_state: String,
    pub(super) sub_state: String,
    pub(super) result: String,
    pub(super) unit_file_state: String,
    pub(super) restart: String,
    pub(super) n_restarts: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RunText {
    pub(super) rule: Text,
    pub(super) ago: Interval,
    pub(super) state: RemediationState,
    /// Default: what the finding is about.
    pub(super) unit: Option<String>,
    pub(super) path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PlanText {
    /// Default: the plugin of the rule that matches.
    pub(super) by: Option<String>,
    pub(super) risk: Option<Risk>,
    pub(super) confidence: Option<Confidence>,
    #[serde(default = "yes")]
    pub(super) reversible: bool,
    #[serde(default)]
    pub(super) units: Vec<String>,
    #[serde(default)]
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) expired: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ExpectText {
    /// `none`: no rule matches.
    pub(super) rule: Option<String>,
    pub(super) verdict: Option<VerdictText>,
    pub(super) mode: Option<Mode>,
    /// Codes that must be among the reasons.
    #[serde(default)]
    pub(super) reasons: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum VerdictText {
    Allow,
    #[serde(alias = "require_approval")]
    RequireApproval,
    Deny,
}

impl From<VerdictText> for Verdict {
    fn from(text: VerdictText) -> Self {
        match text {
            VerdictText::Allow => Self::Allow,
            VerdictText::RequireApproval => Self::RequireApproval,
            VerdictText::Deny => Self::Deny,
        }
    }
}
