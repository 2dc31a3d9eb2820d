//! The only code with root's rights: typed actions from root's own allow-list, nothing else.
//!
//! `protocol` is all that the daemon sees. The rest is behind the feature `service`. Nothing here opens a network socket,
//! runs a program, or follows a symbolic link.

pub mod protocol;
