//! What a plugin finds behind its imports. Each file serves one WIT interface.
//!
//! Every call is counted, asked for at [`crate::capability::permit`], and kept to a time and a size.

mod beneath;
mod clock;
mod facts;
mod files;
mod log;
mod room;
mod state;
pub(crate) mod walk;
mod way;

pub(crate) use room::{Answer, Ended, Room};
