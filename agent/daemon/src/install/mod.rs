//! What an operator does to plugins on this host: install and upgrade, switch off and on, remove.
//!
//! Files only. Everything is checked before anything is placed, by the agent's own rules: the manifest, the digest that was named, who
//! signed, whether it compiles (in a child), what it imports, and whether the grant fits. Then components, signatures and grants
//! are placed whole or not at all, and a running agent takes them up by itself. Nothing here opens a database or asks a person; a grant
//! is never widened unless the caller says that somebody agreed.

mod candidate;
mod error;
mod grant;
mod lock;
mod place;
mod plan;
mod source;
mod target;
mod wishes;

pub use candidate::{Candidate, Checked};
pub use error::InstallError;
pub use grant::switched;
pub use lock::{Lock, lock};
pub use place::{Write, place};
pub use plan::{GrantChange, Plan, Wishes};
pub use source::Source;
pub use target::{grant_file, grant_text};
