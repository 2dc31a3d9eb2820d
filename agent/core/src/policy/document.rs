//! The documents as they are written: TOML wire types, with positions on everything that later checks may point at.
//!
//! These types never leave this file and `parse.rs`. Unknown keys are errors.

use serde::Deserialize;
use toml::Spanned;

use crate::model::{Interval, Mode, Risk};

type Text = Spanned<String>;
type Span = Spanned<Interval>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Document {
    #[serde(default)]
    pub(super) rule: Vec<RuleText>,
    #[serde(default)]
    pub(super) guardrail: Vec<GuardrailText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RuleText {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) description: String,
    pub(super) on: Spanned<Vec<Text>>,
    pub(super) when: Option<Text>,
    pub(super) sustained: Option<Span>,
    pub(super) plugin: Text,
    pub(super) mode: Spanned<Mode>,
    #[serde(default)]
    pub(super) checklist: Vec<Text>,
    pub(super) approval_expires: Option<Span>,
    #[serde(default)]
    pub(super) guard: GuardText,
    pub(super) verify: Option<VerifyText>,
    pub(super) autonomy: Option<AutonomyText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct GuardText {
    pub(super) cooldown: Option<Span>,
    pub(super) budget: Option<BudgetText>,
    #[serde(default)]
    pub(super) blast_radius: BlastRadiusText,
    pub(super) max_risk: Option<Risk>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BudgetText {
    pub(super) runs: u32,
    pub(super) per: Span,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BlastRadiusText {
    pub(super) units: Option<u32>,
    pub(super) paths: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct VerifyText {
    pub(super) within: Option<Span>,
    pub(super) healthy: Option<Text>,
    pub(super) on_failure: Option<OnFailureText>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnFailureText {
    Undo,
    Stop,
    Escalate,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AutonomyText {
    pub(super) demote_after_failures: Option<Spanned<u32>>,
    pub(super) suggest_promotion_after: Option<PromotionText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PromotionText {
    pub(super) successes: Spanned<u32>,
    pub(super) over: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct GuardrailText {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) reason: String,
    pub(super) on: Option<Spanned<Vec<Text>>>,
    pub(super) when: Option<Text>,
    #[serde(default)]
    pub(super) deny: bool,
    pub(super) max_mode: Option<Mode>,
    pub(super) max_risk: Option<Risk>,
    pub(super) max_running: Option<u32>,
    pub(super) budget: Option<BudgetText>,
}
