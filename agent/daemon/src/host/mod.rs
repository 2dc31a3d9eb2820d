//! The seam to the world: clocks, the root of the file system, randomness, systemd.
//!
//! Everything else takes these as arguments, so that a fixture tree and a fake clock can stand in for a machine.
//! Nothing here judges what it reads.

mod beat;
mod clock;
mod fs_root;
mod held;
mod random;
mod sock_diag;
pub mod systemd;
mod time_server;
mod trusted;

pub use beat::{beats, begin_beat};
pub use clock::{Clock, FakeClock, SystemClock};
pub use fs_root::FsRoot;
pub use held::HeldFile;
pub use random::OsRandom;
pub use sock_diag::{InetSocket, tcp as tcp_sockets, udp as udp_sockets};
pub use time_server::clock_is_synchronized;
pub use trusted::{read_secret, read_secret_text, read_trusted, read_trusted_text};
