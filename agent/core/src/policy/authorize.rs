//! The one way to act: nothing but [`authorize`] makes an [`Authorized`] plan.
//!
//! ```
//! use holdfast_core::{model::Plan, policy::Authorized};
//! fn look(one: &Authorized<Plan>) -> (&Plan, &str) { (one.plan(), one.basis()) }
//! ```
//! It can be made neither out of thin air, nor from stored text, nor twice from one:
//! ```compile_fail
//! use holdfast_core::{model::Plan, policy::Authorized};
//! fn forge(plan: Plan) -> Authorized<Plan> { Authorized { subject: plan, basis: String::new() } }
//! ```
//! ```compile_fail
//! use holdfast_core::{model::Plan, policy::Authorized};
//! fn read(text: &str) -> Authorized<Plan> { serde_json::from_str(text).unwrap() }
//! ```
//! ```compile_fail
//! use holdfast_core::{model::Plan, policy::Authorized};
//! fn copy(one: &Authorized<Plan>) -> Authorized<Plan> { Authorized::clone(one) }
//! ```
//! ```compile_fail
//! use holdfast_core::{model::Plan, policy::Authorized};
//! fn any() -> Authorized<Plan> { Authorized::default() }
//! ```

use super::reasons::strictest;
use crate::model::{Approval, Decision, FindingId, Mode, Plan, PlanDigest, Timestamp, Verdict};

/// Something that may be acted on, now, and on what basis. Only [`authorize`] makes one.
#[derive(Debug, PartialEq)]
pub struct Authorized<T> {
    subject: T,
    basis: String,
}

impl Authorized<Plan> {
    /// What may be done, and nothing else.
    pub fn plan(&self) -> &Plan {
        &self.subject
    }
    /// On whose authority, for the audit chain.
    pub fn basis(&self) -> &str {
        &self.basis
    }
}

/// Why a plan may not be acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthorized {
    /// Policy said no.
    #[error("decision {decision} denies it: {why}")]
    Denied {
        /// Which decision.
        decision: String,
        /// Its first reason.
        why: String,
    },
    /// The decision's verdict is not what its reasons say.
    #[error("decision {0} does not follow from its reasons")]
    Inconsistent(String),
    /// The decision is about another plan, or about none.
    #[error("the decision is about {decided}, not about plan {plan}")]
    OtherPlan {
        /// What it is about.
        decided: String,
        /// The plan at hand.
        plan: PlanDigest,
    },
    /// The plan is to cure another finding than the one decided about.
    #[error("the plan is for {plan}, the decision about {decided}")]
    OtherFinding {
        /// What the plan is for.
        plan: FindingId,
        /// What the decision is about.
        decided: FindingId,
    },
    /// The plan is too old.
    #[error("the plan was good until {0}")]
    PlanExpired(Timestamp),
    /// A person's yes is wanted.
    #[error("it needs a person's yes")]
    NoApproval,
    /// The yes was to something else.
    #[error("{approver} said yes to plan {approved}, not to plan {plan}")]
    ApprovedAnother {
        /// Who.
        approver: String,
        /// To what.
        approved: PlanDigest,
        /// The plan at hand.
        plan: PlanDigest,
    },
    /// The yes is too old.
    #[error("the yes of {approver} was good until {until}")]
    ApprovalExpired {
        /// Whose.
        approver: String,
        /// Until when.
        until: Timestamp,
    },
}

/// Lets a plan be acted on: the decision allows it, or asks for a yes and there is one to exactly this plan; nothing has expired.
///
/// The decision is to be a fresh one ([`super::decide`] just now): a yes of a person does not outweigh a denial.
pub fn authorize(
    plan: &Plan,
    decision: &Decision,
    approval: Option<&Approval>,
    now: Timestamp,
) -> Result<Authorized<Plan>, NotAuthorized> {
    if decision.plan.as_ref() != Some(plan.digest()) {
        let decided = decision.plan.as_ref().map_or_else(|| "no plan".to_owned(), |digest| format!("plan {digest}"));
        return Err(NotAuthorized::OtherPlan { decided, plan: plan.digest().clone() });
    }
    if decision.finding != plan.body().finding {
        let (plan, decided) = (plan.body().finding.clone(), decision.finding.clone());
        return Err(NotAuthorized::OtherFinding { plan, decided });
    }
    let allows_nothing = decision.verdict == Verdict::Allow && (decision.mode != Mode::Auto || decision.rule.is_none());
    if decision.verdict < strictest(&decision.reasons) || allows_nothing {
        return Err(NotAuthorized::Inconsistent(decision.id.to_string()));
    }
    if plan.body().expires_at <= now {
        return Err(NotAuthorized::PlanExpired(plan.body().expires_at));
    }
    let rule = decision.rule.as_deref().unwrap_or("none");
    let basis = match decision.verdict {
        Verdict::Deny => {
            let why =
                decision.reasons.first().map_or_else(|| "no reason allows it".to_owned(), |reason| reason.text.clone());
            return Err(NotAuthorized::Denied { decision: decision.id.to_string(), why });
        }
        Verdict::Allow => format!("rule {rule} in mode auto, {}", decision.id),
        Verdict::RequireApproval => {
            let approval = approval.ok_or(NotAuthorized::NoApproval)?;
            let approver = approval.approver.clone();
            if approval.plan != *plan.digest() {
                let (approved, plan) = (approval.plan.clone(), plan.digest().clone());
                return Err(NotAuthorized::ApprovedAnother { approver, approved, plan });
            }
            if approval.expires_at <= now {
                return Err(NotAuthorized::ApprovalExpired { approver, until: approval.expires_at });
            }
            format!("yes of {approver} at {}, rule {rule}, {}", approval.at, decision.id)
        }
    };
    Ok(Authorized { subject: plan.clone(), basis })
}
