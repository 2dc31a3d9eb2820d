use super::*;
use crate::request::StepMeasurement;
use holdfast_core::model::audit::{AuditKind, Broken};
use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{
    Class, Confidence, Deployment, DeploymentState, Evidence, FileState, Finding, FindingId, FindingState, Severity,
    Target, Timestamp, finding::Method,
};

const KEY: [u8; 32] = [7; 32];

fn key() -> AuditKey {
    AuditKey::new(KEY)
}

fn finding(n: i64) -> Finding {
    let at = Timestamp::from_secs(1_800_000_000 + n);
    Finding {
        id: FindingId::new(at, &mut SeededIds(n as u64)),
        fingerprint: format!("f{n}"),
        kind: "unit.failed".into(),
        class: Class::Reliability,
        target: Target::unit("web.service"),
        title: "web.service failed".into(),
        severity: Severity::High,
        confidence: Confidence::clamped(0.1 + 0.2),
        method: Method { name: "unit_failure".into(), version: 1 },
        evidence: vec![Evidence::new("x", 1.0 / 3.0)],
        state: FindingState::New,
        count: 1,
        began_at: at,
        detected_at: at,
        last_seen_at: at,
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    }
}

fn draft(n: i64) -> Draft {
    Draft {
        at: Timestamp::from_secs(1_800_000_000 + n),
        kind: AuditKind::Decision,
        actor: "agent".into(),
        subject: format!("dec_{n}"),
        // Numbers whose shortest text is easily misread by one bit.
        body: serde_json::json!({ "n": n, "score": 0.1 + 0.2 * n as f64, "tiny": 1.0e-310, "pi": std::f64::consts::PI / (n + 1) as f64 }),
    }
}

fn with_entries(dir: &Path, entries: i64) -> StateDb {
    let mut db = StateDb::open(dir, key()).unwrap();
    for n in 0..entries {
        db.commit(Writes { audit: vec![draft(n)], ..Writes::default() }).unwrap();
    }
    db
}

/// What an intruder with access to the file can do: triggers are no obstacle.
fn tamper(dir: &Path, sql: &str) {
    let db = rusqlite::Connection::open(dir.join(FILE)).unwrap();
    db.execute_batch("DROP TRIGGER audit_is_never_updated; DROP TRIGGER audit_is_never_deleted").unwrap();
    db.execute_batch(sql).unwrap();
}

fn report(db: &StateDb, dir: &Path) -> ChainReport {
    verify_chain(&db.reader(), &key(), &read_anchors(dir).unwrap()).unwrap()
}

#[test]
fn documents_come_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = StateDb::open(dir.path(), key()).unwrap();
    let mut resolved = finding(1);
    db.commit(Writes { findings: vec![finding(1), finding(2)], ..Writes::default() }).unwrap();
    (resolved.state, resolved.resolved_at) = (FindingState::Resolved, Some(resolved.detected_at));
    db.commit(Writes { findings: vec![resolved.clone()], ..Writes::default() }).unwrap();
    let reader = db.reader();
    assert_eq!(reader.finding(&resolved.id).unwrap(), Some(resolved.clone()));
    assert_eq!(reader.findings(&FindingFilter::default()).unwrap(), vec![finding(2), resolved.clone()]);
    assert_eq!(
        reader.findings(&FindingFilter { open_only: true, ..FindingFilter::default() }).unwrap(),
        vec![finding(2)]
    );
    let after: Vec<_> = reader.findings_after(2, 10).unwrap().into_iter().map(|r| (r.revision, r.document)).collect();
    assert_eq!(after, vec![(3, resolved)]);
}

#[test]
fn old_records_go_when_nothing_open_and_no_destination_needs_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = with_entries(dir.path(), 3);
    let closed = |n: i64, resolved_s: i64| {
        let resolved_at = Some(Timestamp::from_secs(1_800_000_000 + resolved_s));
        Finding { state: FindingState::Resolved, resolved_at, ..finding(n) }
    };
    let suppressed = Finding { state: FindingState::Suppressed, ..finding(4) };
    let step = |n: i64| StepMeasurement {
        run: None,
        step: "test".into(),
        program: "cargo".into(),
        exit_code: 0,
        started_at: Timestamp::from_secs(1_800_000_000 + n),
        duration_s: 1.0,
        cpu_s: 1.0,
        peak_memory_bytes: None,
        read_bytes: None,
        written_bytes: None,
        trace: None,
    };
    // Closed early, closed late, open, suppressed, closed early: revisions 1 to 5.
    let findings = vec![closed(1, 50), closed(2, 900), finding(3), suppressed, closed(5, 60)];
    db.commit(Writes { findings, step_runs: (0..4).map(step).collect(), ..Writes::default() }).unwrap();
    let before = Timestamp::from_secs(1_800_000_100);
    let left = |db: &StateDb| {
        let mut kinds: Vec<String> =
            db.reader().findings(&FindingFilter::default()).unwrap().into_iter().map(|it| it.fingerprint).collect();
        kinds.sort();
        kinds
    };
    let sent = Sent { findings: Some(4), steps: Some(2), ..Sent::default() };
    let expired = db.expire(before, 0, &sent).unwrap();
    assert_eq!((expired.findings, expired.step_runs, expired.rows()), (1, 2, 3), "the rest is yet to be sent");
    assert_eq!(left(&db), ["f2", "f3", "f4", "f5"]);
    assert_eq!(db.expire(before, 0, &Sent::default()).unwrap().findings, 1);
    assert_eq!(left(&db), ["f2", "f3", "f4"]);
    assert_eq!(db.expire(before, 0, &Sent::default()).unwrap().rows(), 0);
    assert_eq!(report(&db, dir.path()).integrity, Integrity::Intact);
}

#[test]
fn settings_plugin_state_and_baselines_are_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = StateDb::open(dir.path(), key()).unwrap();
    let state = |value: Option<&[u8]>| PluginStateWrite {
        plugin: "unit-medic".into(),
        key: "k".into(),
        value: value.map(<[u8]>::to_vec),
    };
    let setting = |value: serde_json::Value| vec![("paused".to_owned(), value)];
    let write = |settings, plugin_state| Writes { settings, plugin_state, ..Writes::default() };
    db.commit(write(setting(serde_json::json!("night")), vec![state(Some(b"v"))])).unwrap();
    let reader = db.reader();
    assert_eq!(reader.setting("paused").unwrap(), Some(serde_json::json!("night")));
    assert_eq!(reader.plugin_state("unit-medic").unwrap()["k"], b"v");
    db.commit(write(setting(serde_json::Value::Null), vec![state(None)])).unwrap();
    assert_eq!(reader.setting("paused").unwrap(), None);
    assert!(reader.plugin_state("unit-medic").unwrap().is_empty());
}

#[test]
fn a_commit_is_all_or_nothing_and_the_chain_goes_on_after_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = with_entries(dir.path(), 3);
    let pages: i64 = db.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    db.db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    let large = Draft { body: serde_json::json!("x".repeat(100_000)), ..draft(3) };
    let writes = Writes { findings: vec![finding(1)], audit: vec![draft(3), large], ..Writes::default() };
    let error = db.commit(writes).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("free space"), "{error}");
    assert!(db.reader().findings(&FindingFilter::default()).unwrap().is_empty());
    db.db.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(())).unwrap();
    let entries = db.commit(Writes { audit: vec![draft(3)], ..Writes::default() }).unwrap();
    assert_eq!(entries[0].seq, 4);
    assert_eq!(report(&db, dir.path()).integrity, Integrity::Intact);
}

#[test]
fn the_database_itself_refuses_to_alter_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let db = with_entries(dir.path(), 2);
    for sql in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"] {
        let error = db.db.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[test]
fn an_untouched_chain_is_intact_and_complete_up_to_its_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = with_entries(dir.path(), 40);
    let found = report(&db, dir.path());
    let anchor_seq = ANCHOR_EVERY;
    assert_eq!(
        (found.entries, found.integrity, found.completeness),
        (40, Integrity::Intact, Completeness::Complete { anchor_seq })
    );
    db.anchor().unwrap();
    assert_eq!(report(&db, dir.path()).completeness, Completeness::Complete { anchor_seq: 40 });
}

#[test]
fn without_an_anchor_nobody_can_tell_whether_it_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let db = with_entries(dir.path(), 3);
    assert_eq!(report(&db, dir.path()).completeness, Completeness::Unanchored);
}

#[test]
fn the_altered_entry_is_named() {
    for (sql, broken) in [
        ("UPDATE audit SET body = replace(body, '\"n\":4', '\"n\":9') WHERE seq = 5", Broken::Content { seq: 5 }),
        ("UPDATE audit SET body = 'no json' WHERE seq = 5", Broken::Content { seq: 5 }),
        ("UPDATE audit SET kind = 'nonsense' WHERE seq = 7", Broken::Content { seq: 7 }),
        ("UPDATE audit SET actor = 'root' WHERE seq = 2", Broken::Content { seq: 2 }),
        ("DELETE FROM audit WHERE seq = 4", Broken::Sequence { wanted: 4, found: 5 }),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut db = with_entries(dir.path(), 8);
        db.anchor().unwrap();
        tamper(dir.path(), sql);
        let found = report(&db, dir.path());
        assert_eq!(found.integrity, Integrity::Broken(broken), "{sql}");
        assert_eq!(found.completeness, Completeness::Complete { anchor_seq: 8 }, "{sql}");
    }
}

#[test]
fn a_chain_that_was_cut_off_at_the_end_is_intact_but_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = with_entries(dir.path(), 8);
    let anchor = db.audit_head().clone();
    db.anchor().unwrap();
    drop(db);
    tamper(dir.path(), "DELETE FROM audit WHERE seq > 5");
    let db = StateDb::open(dir.path(), key()).unwrap();
    let found = report(&db, dir.path());
    assert_eq!(found.integrity, Integrity::Intact);
    assert_eq!(found.completeness, Completeness::Truncated { anchor: anchor.clone(), last_seq: 5 });
    // The file beside the database was cut too; the anchor from elsewhere still tells.
    std::fs::remove_file(dir.path().join(AUDIT_HEADS_FILE)).unwrap();
    let found = verify_chain(&db.reader(), &key(), std::slice::from_ref(&anchor)).unwrap();
    assert_eq!(found.completeness, Completeness::Truncated { anchor, last_seq: 5 });
}

#[test]
fn a_tail_that_was_cut_off_and_regrown_contradicts_its_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = with_entries(dir.path(), 8);
    let anchor = db.audit_head().clone();
    db.anchor().unwrap();
    drop(db);
    tamper(dir.path(), "DELETE FROM audit WHERE seq > 5");
    let mut db = StateDb::open(dir.path(), key()).unwrap();
    (20..30).for_each(|n| drop(db.commit(Writes { audit: vec![draft(n)], ..Writes::default() }).unwrap()));
    let found = report(&db, dir.path());
    assert_eq!(found.completeness, Completeness::Truncated { anchor, last_seq: 15 });
}

#[test]
fn a_torn_last_anchor_is_no_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = with_entries(dir.path(), 3);
    db.anchor().unwrap();
    let path = dir.path().join(AUDIT_HEADS_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{{\"seq\":9,\"ha")).unwrap();
    verify::append_anchor(dir.path(), db.audit_head()).unwrap();
    assert_eq!(read_anchors(dir.path()).unwrap().len(), 2);
}

#[test]
fn a_second_agent_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = StateDb::open(dir.path(), key()).unwrap();
    let error = StateDb::open(dir.path(), key()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    drop(first);
    StateDb::open(dir.path(), key()).unwrap();
}

#[test]
fn a_damaged_file_is_named_with_a_remedy_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), vec![b'x'; 8192]).unwrap();
    let error = StateDb::open(dir.path(), key()).unwrap_err();
    assert!(error.is_corrupt() && error.to_string().contains(FILE), "{error}");
    assert!(error.hint().unwrap().contains("backup"));
    assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), vec![b'x'; 8192]);
}

#[test]
fn a_missing_or_unwritable_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = StateDb::open(&dir.path().join("none"), key()).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    std::fs::create_dir(dir.path().join(FILE)).unwrap();
    let error = StateDb::open(dir.path(), key()).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("data-dir"), "{error}");
}

#[test]
fn every_older_version_is_brought_forward_and_a_newer_one_refused() {
    for version in 0..=schema::MIGRATIONS.len() {
        let dir = tempfile::tempdir().unwrap();
        let db = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        schema::MIGRATIONS[..version].iter().for_each(|m| db.execute_batch(m).unwrap());
        db.pragma_update(None, "user_version", version as i64).unwrap();
        drop(db);
        assert_eq!(with_entries(dir.path(), 1).audit_head().seq, 1);
    }
    let dir = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(dir.path().join(FILE)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(StateDb::open(dir.path(), key()), Err(StoreError::Newer { found: 99, .. })));
}

#[test]
fn the_audit_key_is_made_once_and_refused_when_others_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    load_or_create_audit_key(dir.path()).unwrap();
    let path = dir.path().join("audit.key");
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!((bytes.len(), std::fs::metadata(&path).unwrap().permissions().mode() & 0o777), (32, 0o600));
    load_or_create_audit_key(dir.path()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = load_or_create_audit_key(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::KeyMode { mode: 0o640, .. }), "{error:?}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, b"short").unwrap();
    assert!(matches!(load_or_create_audit_key(dir.path()), Err(StoreError::KeyMalformed { bytes: 5, .. })));
}

#[test]
fn a_kept_content_comes_back_or_is_called_altered() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path(), 1_000).unwrap();
    let name = blobs.put(b"port = 80\n").unwrap().unwrap();
    assert_eq!(blobs.put(b"port = 80\n").unwrap().as_ref(), Some(&name));
    assert_eq!(blobs.get(&name).unwrap().as_deref(), Some(&b"port = 80\n"[..]));
    assert_eq!(blobs.get(&"0".repeat(64)).unwrap(), None);
    assert_eq!(blobs.get("../audit.key").unwrap(), None);
    std::fs::write(dir.path().join("blobs").join(&name), b"port = 81\n").unwrap();
    assert!(matches!(blobs.get(&name), Err(StoreError::BlobAltered { .. })));
    // Keeping it again repairs it.
    blobs.put(b"port = 80\n").unwrap();
    assert!(blobs.get(&name).unwrap().is_some());
}

fn accepted(path: &str, blob: Option<&String>) -> BaselineFile {
    let state = FileState {
        path: path.into(),
        sha256: blob.cloned(),
        bytes: 0,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified_at: None,
    };
    let (accepted_by, reason) = ("agent".to_owned(), "test".to_owned());
    BaselineFile { state, blob: blob.cloned(), accepted_at: Timestamp::from_secs(1_800_000_000), accepted_by, reason }
}

#[test]
fn contents_that_nothing_refers_to_are_swept_and_those_of_the_oldest_versions_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = StateDb::open(dir.path(), key()).unwrap();
    let blobs = Blobs::open(dir.path(), 250).unwrap();
    let content = |n: u8| vec![n; 100];
    let mut names = Vec::new();
    for n in 1..=2 {
        let name = blobs.put(&content(n)).unwrap().unwrap();
        db.commit(Writes { baselines: vec![accepted("/etc/a", Some(&name))], ..Writes::default() }).unwrap();
        names.push(name);
    }
    assert_eq!(blobs.put(&content(3)).unwrap(), None, "there is no room for a third");
    assert_eq!(blobs.plan(), ContentsPlan { bytes: None, bytes_max: 250, refused: 1 });
    let stray = dir.path().join("blobs").join("f".repeat(64));
    std::fs::write(&stray, b"nobody's").unwrap();
    std::fs::write(dir.path().join("blobs/.draft.1.1"), b"half").unwrap();

    let written = std::fs::metadata(&stray).unwrap().modified().unwrap();
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let hours = |n: u64| Timestamp::from_secs((written + n * 3_600) as i64);
    let sweep =
        |blobs: &Blobs, db: &StateDb, n| blobs.sweep(&db.reader().contents_in_use().unwrap(), hours(n)).unwrap();
    assert_eq!(sweep(&blobs, &db, 0).deleted, 0, "what is fresh may be about to be referred to");
    assert_eq!(sweep(&blobs, &db, 2), Swept { files: 2, bytes: 200, deleted: 1 });
    assert_eq!(blobs.plan().bytes, Some(200));
    assert!(!stray.exists() && !dir.path().join("blobs/.draft.1.1").exists());
    // So much was refused; what was accepted before makes room for it, what is accepted now does not.
    assert_eq!(blobs.versions_due(), 2, "the second version is the last that names the first content");
    assert_eq!(blobs.put(&content(3)).unwrap(), None, "not yet");
    let third = vec![accepted("/etc/b", None)];
    db.commit(Writes { baselines: third, ..Writes::default() }).unwrap();
    let expired = db.expire(Timestamp::default(), blobs.versions_due(), &Sent::default()).unwrap();
    assert_eq!((expired.versions, expired.rows()), (2, 2));
    assert_eq!((db.reader().baseline_reach().unwrap(), db.reader().baseline_version().unwrap()), (2, 3));
    assert_eq!(sweep(&blobs, &db, 2), Swept { files: 1, bytes: 100, deleted: 1 });
    assert_eq!(blobs.put(&content(3)).unwrap().map(|it| it.len()), Some(64), "there is room now");
    assert!(blobs.get(&names[1]).unwrap().is_some() && blobs.get(&names[0]).unwrap().is_none());

    assert_eq!(sweep(&blobs, &db, 0).files, 2);
    assert_eq!(blobs.versions_due(), 0);
    blobs.hold(true);
    assert_eq!(sweep(&blobs, &db, 4).deleted, 0, "what refers to it cannot be written");
    blobs.hold(false);
    assert_eq!(sweep(&blobs, &db, 4), Swept { files: 1, bytes: 100, deleted: 1 });
}

#[test]
fn old_deployments_and_versions_go_but_for_the_last_and_what_is_expected_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = StateDb::open(dir.path(), key()).unwrap();
    let deployment = |n: i64, release: Option<&str>, state: DeploymentState| Deployment {
        id: format!("d{n}").parse().unwrap(),
        service: "web".into(),
        version: n.to_string(),
        environment: "production".into(),
        artifact: None,
        revision: None,
        actor: "ci".into(),
        release_dir: release.map(str::to_owned),
        units: vec![],
        paths: vec![],
        state,
        started_at: Timestamp::from_secs(1_800_000_000 + n),
        finished_at: None,
    };
    let deployments = vec![
        deployment(1, None, DeploymentState::Succeeded),
        deployment(2, Some("/srv/web/2/"), DeploymentState::Succeeded),
        deployment(3, Some("/srv/web/3"), DeploymentState::Failed),
        deployment(4, None, DeploymentState::Succeeded),
        deployment(5, None, DeploymentState::Running),
        deployment(6, Some("/srv/app"), DeploymentState::Succeeded),
        deployment(7, Some("/srv/app/"), DeploymentState::Succeeded),
        deployment(8, None, DeploymentState::Succeeded),
    ];
    let there = vec![accepted("/srv/web/2/bin", None), accepted("/srv/app/bin", None)];
    db.commit(Writes { deployments, baselines: there, ..Writes::default() }).unwrap();
    db.commit(Writes { baselines: vec![accepted("/etc/a", Some(&"a".repeat(64)))], ..Writes::default() }).unwrap();
    let left = |db: &StateDb| {
        let all = db.reader().deployments(&DeploymentFilter::default()).unwrap();
        all.into_iter().map(|it| it.version).collect::<Vec<_>>()
    };
    assert_eq!(db.expire(Timestamp::from_secs(1_800_000_000), 0, &Sent::default()).unwrap().rows(), 0);
    let expired = db.expire(Timestamp::from_secs(1_800_000_100), 0, &Sent::default()).unwrap();
    assert_eq!((expired.deployments, expired.versions), (4, 1));
    assert_eq!(left(&db), ["8", "7", "5", "2"]);
    assert_eq!(db.reader().baseline_version().unwrap(), 2);
}

#[test]
fn versions_go_from_the_oldest_on_whatever_the_clock_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = StateDb::open(dir.path(), key()).unwrap();
    for (n, at_s) in [(1, 1_800_000_000), (2, 100), (3, 1_800_000_002), (4, 1_800_000_003)] {
        let file =
            BaselineFile { accepted_at: Timestamp::from_secs(at_s), ..accepted("/etc/a", Some(&format!("{n:064}"))) };
        db.commit(Writes { baselines: vec![file], ..Writes::default() }).unwrap();
    }
    let expire = |db: &mut StateDb, s| db.expire(Timestamp::from_secs(s), 0, &Sent::default()).unwrap().versions;
    assert_eq!(expire(&mut db, 1_700_000_000), 0, "the second was written while the clock was wrong");
    assert_eq!(expire(&mut db, 1_800_000_001), 2);
    assert_eq!(db.reader().baseline_reach().unwrap(), 2);
}

/// Runs itself as a child that commits and says so, and is killed in the middle: what it said must be there.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    const VARIABLE: &str = "HOLDFAST_STATE_CHILD_DIR";
    if let Ok(dir) = std::env::var(VARIABLE) {
        let mut db = StateDb::open(Path::new(&dir), key()).unwrap();
        for n in 0.. {
            db.commit(Writes { findings: vec![finding(n)], audit: vec![draft(n)], ..Writes::default() }).unwrap();
            println!("acknowledged {}", n + 1);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test's own child")]
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::state::tests::what_was_acknowledged_survives_kill_9", "--nocapture"])
        .env(VARIABLE, dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut acknowledged = 0;
    for line in lines.map_while(Result::ok) {
        if let Some((_, n)) = line.split_once("acknowledged ") {
            acknowledged = n.trim().parse().unwrap();
        }
        if acknowledged == 50 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged >= 50);
    let db = StateDb::open(dir.path(), key()).unwrap();
    let found = report(&db, dir.path());
    assert_eq!(found.integrity, Integrity::Intact);
    assert!(found.entries >= acknowledged, "{} of {acknowledged}", found.entries);
    let findings = db.reader().findings(&FindingFilter { limit: 1_000_000, ..FindingFilter::default() }).unwrap();
    assert_eq!(findings.len() as u64, found.entries);
}
