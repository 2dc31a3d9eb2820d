//! One connection at a time, one request each: who asks, what, whether root listed it, whether it was done before.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use holdfast_core::model::Action;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::allowlist::Allowlist;
use crate::clock::{Deadline, now};
use crate::keep::{Entry, Keep};
use crate::protocol::{Answer, BLOB_BYTES_MAX, Code, LINE_BYTES_MAX, Op, REQUEST_ID_BYTES_MAX, Request};
use crate::stop::{Did, Stop};
use crate::{files, reclaim, units};

/// Longest wait for a peer's next bytes.
const PEER_DEADLINE: Duration = Duration::from_secs(10);
/// Longest time for a whole request to arrive.
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);
/// Longest time for a check or an undo.
const SHORT: Duration = Duration::from_secs(30);

/// The service.
#[derive(Debug)]
pub struct Server {
    allow: Allowlist,
    keep: Keep,
    uids: Vec<u32>,
}

impl Server {
    /// Opens the state directory and resolves the listed users; an unknown user is listed in vain.
    pub fn new(allow: Allowlist, state_dir: &Path) -> io::Result<Self> {
        let keep = Keep::open(state_dir)?;
        keep.forget_old(now())?;
        let passwd = std::fs::read_to_string("/etc/passwd")?;
        let uids = allow.users().iter().filter_map(|user| uid_of(&passwd, user)).collect();
        Ok(Self { allow, keep, uids })
    }

    /// Serves until nobody asked for `idle`; `None`: for ever.
    pub fn serve(&self, listener: &UnixListener, idle: Option<Duration>) -> io::Result<()> {
        loop {
            let wait = idle.map(|d| Timespec { tv_sec: d.as_secs() as i64, tv_nsec: d.subsec_nanos().into() });
            match poll(&mut [PollFd::new(listener, PollFlags::IN)], wait.as_ref()) {
                Ok(0) => return Ok(()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let (stream, _) = listener.accept()?;
            // A peer that breaks the connection hurts itself only; its outcome stays in the journal.
            let _ = self.connection(&stream);
        }
    }

    fn connection(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PEER_DEADLINE))?;
        stream.set_write_timeout(Some(PEER_DEADLINE))?;
        let answer = self.hear(stream).unwrap_or_else(Answer::from);
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        (&mut &*stream).write_all(&line)
    }

    fn hear(&self, stream: &UnixStream) -> Result<Answer, Stop> {
        let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|e| Stop::io("tell who asks", e))?;
        if !self.uids.contains(&peer.uid.as_raw()) {
            return Err(Stop::Refused(
                Code::Peer,
                format!("uid {} is not listed in root's [allow] users", peer.uid.as_raw()),
            ));
        }
        let malformed = |why: String| Stop::Refused(Code::Malformed, why);
        let deadline = Deadline::after(REQUEST_DEADLINE);
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            let chunk = reader.fill_buf().map_err(|e| malformed(format!("the request did not arrive: {e}")))?;
            let end = chunk.iter().position(|b| *b == b'\n');
            let take = end.map_or(chunk.len(), |at| at + 1);
            if take == 0 || line.len() + take > LINE_BYTES_MAX || deadline.left().is_none() {
                return Err(malformed("the request is too long, too slow or cut short".into()));
            }
            line.extend_from_slice(&chunk[..take]);
            reader.consume(take);
            if end.is_some() {
                break;
            }
        }
        let request: Request = serde_json::from_slice(&line).map_err(|e| malformed(e.to_string()))?;
        let mut blob = Vec::new();
        if let Op::Do { blob_bytes, .. } = request.op {
            if blob_bytes > BLOB_BYTES_MAX {
                return Err(malformed(format!("{blob_bytes} bytes are more than an action may carry")));
            }
            let mut rest = reader.take(blob_bytes);
            let mut chunk = vec![0; 1 << 16];
            while (blob.len() as u64) < blob_bytes {
                match rest.read(&mut chunk) {
                    Ok(n) if n > 0 && deadline.left().is_some() => blob.extend_from_slice(&chunk[..n]),
                    _ => return Err(malformed("the content did not arrive".into())),
                }
            }
        }
        self.answer(&request, &blob)
    }

    /// Answers one request of a listed peer.
    pub(crate) fn answer(&self, request: &Request, blob: &[u8]) -> Result<Answer, Stop> {
        let id = &request.request_id;
        if !(1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Stop::Refused(Code::Malformed, "the request id is not 1 to 200 printable characters".into()));
        }
        let journal = |e: io::Error| Stop::io("read the journal", e);
        match &request.op {
            Op::Check { action } => {
                self.allow.check(action)?;
                let (effects, _) = self.act(action, Deadline::after(SHORT), None)?;
                Ok(Answer::Would { effects })
            }
            Op::Outcome { request_id } => {
                let entry = self.keep.entry(request_id).map_err(journal)?;
                let started = entry.is_some();
                // One connection at a time: whoever is answered here waited for whatever was in flight.
                Ok(Answer::Outcome { known: entry.and_then(|e| e.answer).map(Box::new), in_flight: false, started })
            }
            Op::Do { .. } | Op::Undo { .. } => self.once(request, blob),
        }
    }

    /// Executes a request that was never started before; otherwise tells what is recorded.
    fn once(&self, request: &Request, blob: &[u8]) -> Result<Answer, Stop> {
        let id = &request.request_id;
        if let Some(entry) = self.keep.entry(id).map_err(|e| Stop::io("read the journal", e))? {
            if entry.op != request.op {
                return Err(Stop::Refused(Code::Malformed, format!("{id} was used before for something else")));
            }
            return entry.answer.ok_or_else(|| {
                Stop::Refused(Code::Unknown, format!("{id} was started at {} and its end is unknown", entry.started_at))
            });
        }
        if let Op::Do { action, .. } = &request.op {
            self.allow.check(action)?;
        }
        let (op, started_at) = (request.op.clone(), now());
        let mut entry = Entry { request_id: id.clone(), op, started_at, finished_at: None, answer: None };
        self.keep.record(&entry).map_err(|e| Stop::io("record the intent, so nothing was done", e))?;
        let did = match &request.op {
            Op::Do { action, timeout_ms, .. } => {
                let span = Duration::from_millis(u64::from((*timeout_ms).clamp(1, 600_000)));
                self.act(action, Deadline::after(span), Some((&Keep::token(id), blob)))
            }
            Op::Undo { token } => self.undo(token),
            Op::Check { .. } | Op::Outcome { .. } => Ok((vec![], None)),
        };
        let answer = match did {
            Ok((effects, undo_token)) => Answer::Done { effects, undo_token },
            Err(stop) => stop.into(),
        };
        entry.answer = Some(answer.clone());
        entry.finished_at = Some(now());
        // Not recorded means unknown to a later question, which is the truth; this answer is still right.
        let _ = self.keep.record(&entry);
        Ok(answer)
    }

    fn undo(&self, token: &str) -> Did {
        let kept = self.keep.former(token).map_err(|e| Stop::io("read the former state", e))?;
        let gone = || Stop::Refused(Code::Gone, format!("nothing is kept for `{token}`"));
        let (former, content) = kept.ok_or_else(gone)?;
        files::undo(&self.keep, token, &former, &content)
    }

    /// Looks (`None`) or acts.
    fn act(&self, action: &Action, deadline: Deadline, act: Option<(&str, &[u8])>) -> Did {
        let seen = |effects| (effects, None);
        match (action, act) {
            (Action::RestartUnit { unit, only_if_invocation, only_if_active_state }, _) => {
                let active_state = Some(only_if_active_state.as_str());
                let ask = units::Ask { unit, invocation: only_if_invocation.as_deref(), active_state };
                units::run(ask, deadline, act.is_some())
            }
            (Action::ResetFailedUnit { unit, only_if_invocation }, _) => {
                let ask = units::Ask { unit, invocation: only_if_invocation.as_deref(), active_state: None };
                units::run(ask, deadline, act.is_some())
            }
            (Action::RestoreFile { path, only_if_sha256, sha256, bytes, .. }, None) => {
                files::check_restore(path, only_if_sha256.as_deref(), sha256, *bytes).map(seen)
            }
            (Action::RestoreFile { path, only_if_sha256, sha256, mode, uid, gid, .. }, Some((token, bytes))) => {
                let content = files::Content { bytes, mode: *mode, uid: *uid, gid: *gid };
                files::restore(&self.keep, token, path, only_if_sha256.as_deref(), sha256, content)
            }
            (Action::QuarantinePath { path, only_if_sha256 }, None) => {
                files::check_quarantine(path, only_if_sha256).map(seen)
            }
            (Action::QuarantinePath { path, only_if_sha256 }, Some((token, _))) => {
                files::quarantine(&self.keep, token, path, only_if_sha256)
            }
            (Action::ReclaimPaths { root, entries }, _) => {
                reclaim::run(root, entries, self.allow.reclaim_min_age(), now(), deadline, act.is_some())
            }
        }
    }
}

fn uid_of(passwd: &str, user: &str) -> Option<u32> {
    let named = || {
        let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        fields.filter(|f| f.len() > 2 && f[0] == user).find_map(|f| f[2].parse().ok())
    };
    user.parse().ok().or_else(named)
}

#[cfg(test)]
mod tests;
