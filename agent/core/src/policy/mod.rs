//! Policy: the operator's documents, and what they make of one finding and one plan.
//!
//! Plugins propose, policy disposes. The strictest reason wins and silence denies. Every decision is a pure function of [`Inputs`]
//! and of the documents: stored inputs decided again give the same verdict, mode and reasons, byte for byte.
//! Nothing here may read a clock, a file or the host, and nothing here may act; [`authorize`] hands out the only thing that may be acted on.
//!
//! Broken documents never loosen anything: while one of them has an error, nothing runs above `advise`, because what cannot be
//! read may have been a limit.

mod authorize;
pub mod cases;
mod condition;
mod diagnostic;
mod document;
mod evaluate;
mod explain;
mod facts;
mod guardrail;
mod inputs;
mod lint;
mod parse;
mod reasons;
mod rule;

pub use authorize::{Authorized, NotAuthorized, authorize};
pub use condition::{Condition, EXPRESSION_BYTES_MAX};
pub use diagnostic::{Diagnostic, Level};
pub use evaluate::{decide, first_match, is_healthy, sustained_at};
pub use explain::explain;
pub use guardrail::Guardrail;
pub use inputs::{Inputs, PastRun};
pub use rule::{Autonomy, BlastRadius, Budget, Guard, OnFailure, Policy, Promotion, Rule, VerifyRule};

/// One document as it lies in `policy.d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// File name without its directory: `10-web.toml`. Names that end in `.test.toml` hold cases, not rules.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl PolicyFile {
    /// Whether it holds test cases.
    pub fn is_cases(&self) -> bool {
        self.name.ends_with(".test.toml")
    }
}

#[cfg(test)]
mod tests;
