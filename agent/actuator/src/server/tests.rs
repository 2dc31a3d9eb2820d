use super::*;
use crate::place::digest;
use holdfast_core::model::{ReclaimEntry, Timestamp};
use std::fs;
use std::os::unix::fs::symlink;

/// A server that may do everything below one temporary directory, as the user who runs the tests.
struct Host {
    dir: tempfile::TempDir,
    server: Server,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for sub in ["srv", "outside"] {
            fs::create_dir(root.join(sub)).unwrap();
        }
        let (srv, uid) = (root.join("srv").display().to_string(), rustix::process::geteuid().as_raw());
        let text = format!(
            "[allow]\nusers = [\"{uid}\"]\n[restore_file]\npaths = [\"{srv}/**\"]\n[quarantine_path]\npaths = [\"{srv}/**\"]\n\
             [reclaim_paths]\nroots = [\"{srv}\"]\nmax-bytes = \"1MiB\"\nmax-entries = 9\nmin-age = \"1s\"\n"
        );
        let server = Server::new(Allowlist::parse(&text).unwrap(), &root.join("state")).unwrap();
        Self { dir, server }
    }
    fn path(&self, name: &str) -> String {
        self.dir.path().canonicalize().unwrap().join(name).display().to_string()
    }
    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }
    fn ask(&self, id: &str, op: Op, blob: &[u8]) -> Answer {
        self.server.answer(&Request { request_id: id.into(), op }, blob).unwrap_or_else(Answer::from)
    }
    fn perform(&self, id: &str, action: Action, blob: &[u8]) -> Answer {
        self.ask(id, Op::Do { action, blob_bytes: blob.len() as u64, timeout_ms: 5_000 }, blob)
    }
    fn undo(&self, id: &str, token: &str) -> Answer {
        self.ask(id, Op::Undo { token: token.into() }, &[])
    }
    fn restore(&self, name: &str, guard: Option<&str>, text: &str) -> Action {
        Action::RestoreFile {
            path: self.path(name),
            only_if_sha256: guard.map(|g| digest(g.as_bytes())),
            sha256: digest(text.as_bytes()),
            bytes: text.len() as u64,
            mode: 0o640,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }
    fn quarantine(&self, name: &str, guard: &str) -> Action {
        Action::QuarantinePath { path: self.path(name), only_if_sha256: digest(guard.as_bytes()) }
    }
    fn reclaim(&self, name: &str, files: u64, bytes: u64) -> Action {
        let newest_change = now();
        let entry = ReclaimEntry { path: self.path(name), files, bytes, newest_change };
        Action::ReclaimPaths { root: self.path("srv"), entries: vec![entry] }
    }
    /// Makes a file old enough to be reclaimed.
    fn age(&self, name: &str) {
        let file = fs::File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    }
}

fn token(answer: &Answer) -> String {
    let Answer::Done { undo_token: Some(token), .. } = answer else { panic!("{answer:?}") };
    token.clone()
}

fn code(answer: &Answer) -> Code {
    let Answer::Refused { code, .. } = answer else { panic!("{answer:?}") };
    *code
}

#[test]
fn a_restored_file_can_be_taken_back_and_then_is_as_before() {
    let host = Host::new();
    host.write("srv/a", "bad");
    let done = host.perform("r/1/do", host.restore("srv/a", Some("bad"), "good"), b"good");
    assert_eq!(host.read("srv/a").as_deref(), Some("good"));
    assert!(matches!(host.undo("r/1/undo", &token(&done)), Answer::Done { .. }));
    assert_eq!(host.read("srv/a").as_deref(), Some("bad"));
    assert_eq!(fs::read_dir(host.path("srv")).unwrap().count(), 1, "no stray name is left");
}

#[test]
fn a_file_that_was_absent_is_absent_again_after_undo() {
    let host = Host::new();
    let done = host.perform("r/1/do", host.restore("srv/a", None, "good"), b"good");
    assert_eq!(host.read("srv/a").as_deref(), Some("good"));
    host.undo("r/1/undo", &token(&done));
    assert_eq!(host.read("srv/a"), None);
}

#[test]
fn undo_after_somebody_elses_change_is_refused() {
    let host = Host::new();
    host.write("srv/a", "bad");
    let done = host.perform("r/1/do", host.restore("srv/a", Some("bad"), "good"), b"good");
    host.write("srv/a", "theirs");
    assert_eq!(code(&host.undo("r/1/undo", &token(&done))), Code::Guard);
    assert_eq!(host.read("srv/a").as_deref(), Some("theirs"));
}

#[test]
fn a_quarantined_file_is_gone_and_comes_back_on_undo() {
    let host = Host::new();
    host.write("srv/a", "evil");
    let done = host.perform("r/1/do", host.quarantine("srv/a", "evil"), &[]);
    assert_eq!(host.read("srv/a"), None);
    host.undo("r/1/undo", &token(&done));
    assert_eq!(host.read("srv/a").as_deref(), Some("evil"));
}

#[test]
fn what_does_not_lie_where_and_as_the_plan_saw_it_is_left_alone() {
    let host = Host::new();
    let secret = host.write("outside/a", "secret");
    host.write("srv/b", "b");
    symlink(host.path("outside"), host.path("srv/link")).unwrap();
    symlink(&secret, host.path("srv/a")).unwrap();
    fs::hard_link(&secret, host.path("srv/hard")).unwrap();
    let cases = [
        ("a link as the file", host.restore("srv/a", Some("secret"), "x"), Code::Guard),
        ("a link among the parents", host.restore("srv/link/a", Some("secret"), "x"), Code::Guard),
        ("another name of it elsewhere", host.quarantine("srv/hard", "secret"), Code::Guard),
        ("another content", host.restore("srv/b", Some("c"), "x"), Code::Guard),
        ("a new file where one lies", host.restore("srv/b", None, "x"), Code::Guard),
        ("dots", host.restore("srv/../outside/a", Some("secret"), "x"), Code::Malformed),
        ("a path that is not listed", host.restore("outside/a", Some("secret"), "x"), Code::NotAllowed),
        ("another blob than promised", host.restore("srv/b", Some("b"), "y"), Code::Malformed),
        ("a link in the way", host.reclaim("srv/link/a", 9, 999), Code::Guard),
        ("the root itself", host.reclaim("srv", 9, 999), Code::Guard),
    ];
    for (index, (name, action, wanted)) in cases.into_iter().enumerate() {
        let answer = host.perform(&format!("r/{index}/do"), action, b"x");
        assert_eq!(code(&answer), wanted, "{name}: {answer:?}");
        assert_eq!(host.read("outside/a").as_deref(), Some("secret"), "{name}");
        assert_eq!(host.read("srv/b").as_deref(), Some("b"), "{name}");
    }
}

#[test]
fn reclaim_removes_what_was_planned_and_reports_its_bytes() {
    let host = Host::new();
    fs::create_dir(host.path("srv/old")).unwrap();
    host.write("srv/old/a", "1234");
    host.age("srv/old/a");
    host.write("outside/a", "keep");
    symlink(host.path("outside"), host.path("srv/old/link")).unwrap();
    let Answer::Would { effects: would } = host.ask("c", Op::Check { action: host.reclaim("srv/old", 1, 4) }, &[])
    else {
        panic!("the check was refused")
    };
    assert_eq!(host.read("srv/old/a").as_deref(), Some("1234"), "a check writes nothing");
    let Answer::Done { effects, .. } = host.perform("r/1/do", host.reclaim("srv/old", 1, 4), &[]) else {
        panic!("not done")
    };
    assert_eq!((would, effects[0].bytes), (effects.clone(), 4));
    assert!(!fs::exists(host.path("srv/old")).unwrap());
    assert_eq!(host.read("outside/a").as_deref(), Some("keep"));
}

#[test]
fn reclaim_leaves_an_entry_that_grew_or_is_too_young() {
    let host = Host::new();
    host.write("srv/young", "1234");
    assert_eq!(code(&host.perform("r/1/do", host.reclaim("srv/young", 1, 4), &[])), Code::Guard);
    host.age("srv/young");
    assert_eq!(code(&host.perform("r/2/do", host.reclaim("srv/young", 1, 3), &[])), Code::Guard);
    assert_eq!(code(&host.perform("r/3/do", host.reclaim("srv/young", 1, 1 << 21), &[])), Code::NotAllowed);
    assert_eq!(host.read("srv/young").as_deref(), Some("1234"));
}

#[test]
fn a_request_is_executed_once_and_its_answer_is_remembered() {
    let host = Host::new();
    host.write("srv/a", "bad");
    let action = host.restore("srv/a", Some("bad"), "good");
    let first = host.perform("r/1/do", action.clone(), b"good");
    host.write("srv/a", "bad");
    assert_eq!(host.perform("r/1/do", action, b"good"), first);
    assert_eq!(host.read("srv/a").as_deref(), Some("bad"), "not executed again");
    let known = Some(Box::new(first));
    let outcome = host.ask("o", Op::Outcome { request_id: "r/1/do".into() }, &[]);
    assert_eq!(outcome, Answer::Outcome { known, in_flight: false, started: true });
    assert_eq!(code(&host.perform("r/1/do", host.quarantine("srv/a", "bad"), &[])), Code::Malformed);
}

#[test]
fn a_crash_under_way_leaves_the_outcome_unknown_and_nothing_is_repeated() {
    let host = Host::new();
    host.write("srv/a", "bad");
    let op = Op::Do { action: host.restore("srv/a", Some("bad"), "good"), blob_bytes: 4, timeout_ms: 5_000 };
    let started_at = Timestamp::from_secs(1_800_000_000);
    let entry = Entry { request_id: "r/1/do".into(), op: op.clone(), started_at, finished_at: None, answer: None };
    host.server.keep.record(&entry).unwrap();
    let outcome = host.ask("o", Op::Outcome { request_id: "r/1/do".into() }, &[]);
    assert_eq!(outcome, Answer::Outcome { known: None, in_flight: false, started: true });
    assert_eq!(code(&host.ask("r/1/do", op, b"good")), Code::Unknown);
    assert_eq!(host.read("srv/a").as_deref(), Some("bad"));
}

/// Sends raw bytes over a real socket pair and reads the answer.
fn spoken(server: &Server, bytes: &[u8]) -> Answer {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = server.connection(&theirs);
            // Whatever was not read is let in, so that the sender below never sees a reset before the answer.
            let _ = io::copy(&mut &theirs, &mut io::sink());
        });
        ours.write_all(bytes).unwrap();
        let mut line = String::new();
        BufReader::new(&ours).read_line(&mut line).unwrap();
        ours.shutdown(std::net::Shutdown::Both).unwrap();
        serde_json::from_str(&line).unwrap()
    })
}

#[test]
fn garbage_and_excess_are_refused_in_words() {
    let host = Host::new();
    let huge = format!(
        r#"{{"request_id":"a","op":{{"do":{{"action":{{"quarantine_path":{{"path":"/a","only_if_sha256":""}}}},"blob_bytes":{},"timeout_ms":1}}}}}}"#,
        BLOB_BYTES_MAX + 1
    );
    for text in ["not json\n".to_owned(), format!("{huge}\n"), "x".repeat(LINE_BYTES_MAX + 1), "{}\n".into()] {
        assert_eq!(code(&spoken(&host.server, text.as_bytes())), Code::Malformed, "{}", &text[..text.len().min(80)]);
    }
}

#[test]
fn a_user_that_root_did_not_list_is_refused() {
    let mut host = Host::new();
    host.server.uids.clear();
    assert_eq!(code(&spoken(&host.server, b"{}\n")), Code::Peer);
}
