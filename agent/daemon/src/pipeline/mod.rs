//! What a pipeline uses: a build step that is measured (`holdfast exec`) and the question whether a deployment may go on
//! (`holdfast gate`).
//!
//! A pipeline never fails because the agent is away: `exec` passes its command's result through whatever happens here, and
//! `gate` says that the agent cannot be reached. Nothing in this room alters state by itself: it asks the agent.

pub mod exec;
pub mod gate;
