//! The only code with root's rights: typed actions from root's own allow-list, nothing else.
//!
//! `protocol` is all that the daemon sees. The rest is behind the feature `service`. Nothing here opens a network socket,
//! runs a program, or follows a symbolic link.

pub mod protocol;

#[cfg(feature = "service")]
pub mod allowlist;
#[cfg(feature = "service")]
mod clock;
#[cfg(feature = "service")]
mod files;
#[cfg(feature = "service")]
mod keep;
#[cfg(feature = "service")]
mod place;
#[cfg(feature = "service")]
mod reclaim;
#[cfg(feature = "service")]
pub mod server;
#[cfg(feature = "service")]
mod stop;
#[cfg(feature = "service")]
mod units;
