//! The token that senders show, where the operator asks for one: `Authorization: Bearer TOKEN`.
//!
//! The file is read when the receiver starts, and again when somebody shows another token, so that a token can be replaced
//! without a restart. Only its digest is kept, and digests are compared in constant time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::host::{Clock, read_secret_text};

/// Least bytes of a token: anything shorter can be guessed.
const BYTES_MIN: usize = 16;
const FILE_BYTES_MAX: u64 = 4096;
/// The file is read again at most so often, however many wrong tokens are shown.
const READ_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Held {
    digest: Option<[u8; 32]>,
    read_at: Option<Duration>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Token {
    path: Arc<PathBuf>,
    clock: Arc<dyn Clock>,
    held: Arc<Mutex<Held>>,
}

impl Token {
    pub(crate) fn new(path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { path: Arc::new(path), clock, held: Arc::new(Mutex::new(Held { digest: None, read_at: None })) }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file. Errors: a sentence for `status`; what was held before stays in force.
    pub(crate) fn read(&self) -> Result<(), String> {
        let path = self.path.display();
        let text = read_secret_text(&self.path, FILE_BYTES_MAX)
            .map_err(|error| format!("ingest.token-file {path} cannot be read: {error}"))?;
        let token = text.trim();
        if token.len() < BYTES_MIN {
            return Err(format!("ingest.token-file {path} holds no token of {BYTES_MIN} characters or more"));
        }
        self.lock().digest = Some(Sha256::digest(token.as_bytes()).into());
        Ok(())
    }

    /// Whether this header lets its sender in.
    pub(crate) async fn admits(&self, authorization: Option<&str>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|it| it.split_once(' ')) else { return false };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return false;
        }
        let shown: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
        if self.is_held(&shown) {
            return true;
        }
        if !self.may_read_again() {
            return false;
        }
        let again = self.clone();
        let read = tokio::task::spawn_blocking(move || again.read()).await;
        matches!(read, Ok(Ok(()))) && self.is_held(&shown)
    }

    fn is_held(&self, shown: &[u8; 32]) -> bool {
        self.lock().digest.is_some_and(|held| bool::from(held.ct_eq(shown)))
    }

    fn may_read_again(&self) -> bool {
        let now = self.clock.monotonic();
        let mut held = self.lock();
        let due = held.read_at.is_none_or(|at| now.saturating_sub(at) >= READ_EVERY);
        if due {
            held.read_at = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::host::SystemClock;

    #[tokio::test]
    async fn only_the_token_of_the_file_lets_in_and_a_new_one_is_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = Token::new(path.clone(), Arc::new(SystemClock::new()));
        assert!(token.read().unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "short\n").unwrap();
        assert!(token.read().unwrap_err().contains("chmod o= "));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(token.read().unwrap_err().contains("16 characters"));
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        token.read().unwrap();
        assert!(token.admits(Some("Bearer 0123456789abcdef")).await);
        assert!(token.admits(Some("bearer 0123456789abcdef")).await);
        for wrong in [None, Some(""), Some("0123456789abcdef"), Some("Basic 0123456789abcdef"), Some("Bearer ")] {
            assert!(!token.admits(wrong).await, "{wrong:?}");
        }
        // The last wrong one had the file read; a new token is seen when that may be done again.
        std::fs::write(&path, "fedcba9876543210\n").unwrap();
        assert!(!token.admits(Some("Bearer fedcba9876543210")).await);
        token.lock().read_at = None;
        assert!(token.admits(Some("Bearer fedcba9876543210")).await);
        assert!(!token.admits(Some("Bearer 0123456789abcdef")).await, "the old one is void");
    }
}
