//! The service manager's side of the agent: readiness, watchdog, status, and the signals that stop or reload it.
//!
//! Outside of systemd there is no `NOTIFY_SOCKET` and every message is a quiet no-op. Nothing here decides anything.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal as OsSignal, SignalKind, signal};

/// What the service manager, or a person at the terminal, wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: finish what runs, write what waits, end.
    Stop,
    /// SIGHUP: read the configuration and the policies again.
    Reload,
}

/// The signals of this process from now on. Their default effect is gone as soon as this exists.
#[derive(Debug)]
pub struct Signals {
    terminate: OsSignal,
    interrupt: OsSignal,
    hangup: OsSignal,
}

impl Signals {
    /// The next one. Several of a kind that came since the last call count once. Safe to cancel.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// Begins to listen; must be called on a runtime.
pub fn signals() -> io::Result<Signals> {
    Ok(Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
    })
}

/// What is told to the service manager. Failing to tell is logged and ends nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notify;

impl Notify {
    /// The agent works; ends a start or a reload.
    pub fn ready(self) {
        send(&[NotifyState::Ready]);
    }

    /// A reload begins; [`Notify::ready`] ends it.
    pub fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "The monotonic clock cannot be read."),
        }
    }

    /// A clean stop begins.
    pub fn stopping(self) {
        send(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`; line breaks become spaces.
    pub fn status(self, text: &str) {
        send(&[NotifyState::Status(&text.replace(['\n', '\r'], " "))]);
    }

    /// The agent is alive: to be called by whoever would notice that it is not.
    pub fn watchdog(self) {
        send(&[NotifyState::Watchdog]);
    }

    /// How often [`Notify::watchdog`] is to be called: a third of what the service manager allows. `None`: it doesn't watch.
    pub fn watchdog_interval(self) -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|allowed| allowed / 3)
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "The service manager cannot be told.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal as Sig, getpid, kill_process};

    #[tokio::test]
    async fn stop_and_reload_arrive_as_what_they_mean() {
        let mut signals = signals().unwrap();
        for (sent, meant) in [(Sig::HUP, Signal::Reload), (Sig::TERM, Signal::Stop), (Sig::INT, Signal::Stop)] {
            kill_process(getpid(), sent).unwrap();
            let got = tokio::time::timeout(Duration::from_secs(5), signals.next()).await;
            assert_eq!(got, Ok(meant), "{sent:?}");
        }
    }

    #[test]
    fn without_a_service_manager_nothing_is_watched_and_telling_is_quiet() {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            Notify.ready();
            Notify.status("two\nlines");
            assert_eq!(Notify.watchdog_interval(), None);
        }
    }
}
