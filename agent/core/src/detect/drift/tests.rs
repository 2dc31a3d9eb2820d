use super::*;
use crate::model::{DeploymentState, FileState, Severity, Timestamp, Value};
use sha2::{Digest, Sha256};

const PATH: &str = "/etc/web.conf";
const NOW: Timestamp = Timestamp::from_secs(10_000);

fn file(content: Option<&str>) -> FileState {
    let digest = |text: &str| {
        format!(
            "{:064x}",
            Sha256::digest(text.as_bytes()).iter().fold(0_u128, |all, byte| (all << 4) ^ u128::from(*byte))
        )
    };
    FileState {
        path: PATH.to_owned(),
        sha256: content.map(digest),
        bytes: content.map_or(0, |text| text.len() as u64),
        mode: if content.is_some() { 0o644 } else { 0 },
        uid: 0,
        gid: 0,
        modified_at: content.map(|_| Timestamp::from_secs(9_990)),
    }
}

fn deployment(state: DeploymentState, finished_s: Option<i64>) -> Deployment {
    Deployment {
        id: "web-7".parse().unwrap(),
        service: "web".to_owned(),
        version: "1.7".to_owned(),
        environment: "prod".to_owned(),
        artifact: None,
        revision: None,
        actor: "ci".to_owned(),
        release_dir: None,
        units: vec!["web.service".to_owned()],
        paths: vec![PATH.to_owned()],
        state,
        started_at: Timestamp::from_secs(9_000),
        finished_at: finished_s.map(Timestamp::from_secs),
    }
}

fn package(digest_matches: bool) -> PackageFact {
    PackageFact { package: "web".to_owned(), version: "2".to_owned(), changed_at: Some(NOW), digest_matches }
}

struct Case<'a> {
    before: Option<&'a str>,
    now: Option<&'a str>,
    deployments: &'a [Deployment],
    package: Option<&'a PackageFact>,
    cause: Option<&'a CauseId>,
    turn: fn(&mut FileState),
}

const EDIT: Case<'static> = Case {
    before: Some("a = 1\nb = 2\n"),
    now: Some("a = 1\nb = 3\n"),
    deployments: &[],
    package: None,
    cause: None,
    turn: |_| {},
};

impl Case<'_> {
    fn judge(&self) -> Judgement {
        let (accepted, mut current) = (file(self.before), file(self.now));
        (self.turn)(&mut current);
        judge(&Facts {
            accepted: &accepted,
            accepted_content: self.before.map(str::as_bytes),
            current: &current,
            current_content: self.now.map(str::as_bytes),
            deployments: self.deployments,
            package: self.package,
            cause: self.cause,
            at: NOW,
        })
    }

    #[track_caller]
    fn drift(&self) -> Detection {
        match self.judge() {
            Judgement::Unexplained(detection) => detection,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn diff(&self) -> String {
        let drift = self.drift();
        let found = drift.evidence.iter().find(|it| it.name == "file.diff");
        match found.map(|it| &it.value) {
            Some(Value::Text(text)) => text.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn explained_by(&self, reference: &str) {
        match self.judge() {
            Judgement::Explained { reference: found, .. } => assert_eq!(found, reference),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_hand_edit_is_drift_with_its_diff() {
    let diff = EDIT.diff();
    assert!(diff.contains("--- /etc/web.conf (accepted)"), "{diff}");
    assert!(diff.contains("-b = 2\n+b = 3\n"), "{diff}");
    let drift = EDIT.drift();
    assert_eq!((drift.kind.as_str(), drift.severity), ("file.drift", Severity::Medium));
    assert_eq!(drift.began_at, Timestamp::from_secs(9_990));
}

#[test]
fn the_same_content_owner_and_mode_is_unchanged() {
    let case = Case { now: EDIT.before, ..EDIT };
    assert!(matches!(case.judge(), Judgement::Unchanged(it) if it.presence == crate::model::Presence::Cleared));
    let absent = Case { before: None, now: None, ..EDIT };
    assert!(matches!(absent.judge(), Judgement::Unchanged(_)));
}

#[test]
fn the_fingerprint_of_drift_and_of_its_end_are_one() {
    let Judgement::Unchanged(end) = (Case { now: EDIT.before, ..EDIT }).judge() else { panic!() };
    assert_eq!(end.fingerprint(), EDIT.drift().fingerprint());
}

#[test]
fn a_running_deployment_that_declares_the_path_explains_it() {
    Case { deployments: &[deployment(DeploymentState::Running, None)], ..EDIT }.explained_by("web-7");
}

#[test]
fn a_deployment_explains_a_little_longer_than_it_runs_and_no_more() {
    Case { deployments: &[deployment(DeploymentState::Succeeded, Some(9_980))], ..EDIT }.explained_by("web-7");
    Case { deployments: &[deployment(DeploymentState::Succeeded, Some(9_900))], ..EDIT }.drift();
    Case { deployments: &[deployment(DeploymentState::Expired, None)], ..EDIT }.drift();
}

#[test]
fn a_deployment_does_not_explain_paths_that_it_did_not_declare() {
    let mut other = deployment(DeploymentState::Running, None);
    other.paths = vec!["/etc/other".to_owned(), "/etc/web.con".to_owned()];
    Case { deployments: &[other], ..EDIT }.drift();
}

#[test]
fn a_package_explains_only_what_it_shipped() {
    Case { package: Some(&package(true)), ..EDIT }.explained_by("web");
    let drift = Case { package: Some(&package(false)), ..EDIT }.drift();
    assert!(drift.evidence.iter().any(|it| it.name == "package.digest_matches" && it.value == Value::Boolean(false)));
}

#[test]
fn a_package_does_not_explain_a_mode_that_someone_turned() {
    let drift = Case { now: EDIT.before, package: Some(&package(true)), turn: |it| it.mode = 0o666, ..EDIT }.drift();
    assert_eq!(drift.severity, Severity::High);
    assert!(drift.title.contains("from 0644 to 0666"), "{}", drift.title);
}

#[test]
fn set_user_id_is_critical_and_a_new_owner_is_high() {
    assert_eq!(Case { turn: |it| it.mode = 0o4755, ..EDIT }.drift().severity, Severity::Critical);
    assert_eq!(Case { now: EDIT.before, turn: |it| it.uid = 1000, ..EDIT }.drift().severity, Severity::High);
}

#[test]
fn the_agents_own_remediation_explains_what_it_wrote() {
    let cause = CauseId::new(NOW, &mut crate::model::id::SeededIds(1));
    Case { cause: Some(&cause), ..EDIT }.explained_by(cause.as_str());
}

#[test]
fn a_vanished_and_an_appeared_file_are_drift() {
    let gone = Case { now: None, ..EDIT };
    assert!(gone.drift().title.contains("is gone"));
    assert!(gone.diff().contains("-a = 1"));
    assert!(Case { before: None, ..EDIT }.diff().contains("+b = 3"));
}

#[test]
fn binary_content_is_named_and_not_shown() {
    assert!(Case { now: Some("a\0b"), ..EDIT }.diff().starts_with("(binary content differs"));
}

#[track_caller]
fn check_secret(before: &str, now: &str, secrets: &[&str]) {
    let diff = Case { before: Some(before), now: Some(now), ..EDIT }.diff();
    for secret in secrets {
        assert!(!diff.contains(secret), "{diff}");
    }
}

#[test]
fn values_of_secret_looking_keys_are_not_shown() {
    check_secret("x\ndb_password = hunter2\n", "y\ndb_password = hunter2\n", &["hunter2"]);
    check_secret("{\"apiToken\": \"t0k\"}\nx\n", "{\"apiToken\": \"t1k\"}\ny\n", &["t0k", "t1k"]);
    check_secret("a\nurl: https://me:pw0@host/x\n", "b\nurl: https://me:pw0@host/x\n", &["pw0"]);
    check_secret("a\nrun --client-secret s3c --port 8\n", "b\nrun --client-secret s3c --port 9\n", &["s3c"]);
    check_secret("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nx\n", "y\n", &["MIIE"]);
}

#[test]
fn a_secret_that_alone_changed_is_told_and_not_shown() {
    let diff = Case { before: Some("token: abc\n"), now: Some("token: def\n"), ..EDIT }.diff();
    assert_eq!(diff, "(only values of keys that look like secrets differ; they are not shown)");
}

#[test]
fn settings_beside_secrets_stay_readable() {
    let diff = Case { before: Some("keepalive 60\nport=1\n"), now: Some("keepalive 65\nport=1\n"), ..EDIT }.diff();
    assert!(diff.contains("+keepalive 65"), "{diff}");
}

#[test]
fn a_long_difference_is_cut_and_says_so() {
    let (before, now): (String, String) =
        (0..3_000).map(|n| (format!("old line number {n}\n"), format!("new line number {n}\n"))).unzip();
    let diff = Case { before: Some(&before), now: Some(&now), ..EDIT }.diff();
    assert!(diff.len() < 20_000 && diff.contains("more lines of difference)"), "{} bytes", diff.len());
    let huge = "x\n".repeat(600_000);
    assert!(Case { now: Some(&huge), ..EDIT }.diff().starts_with("(too large"));
}

proptest::proptest! {
    #[test]
    fn no_content_makes_it_panic(before in "(\\PC|[\n=: '\"@/-]){0,200}", now in "(\\PC|[\n=: '\"@/-]){0,200}") {
        let _ = Case { before: Some(&before), now: Some(&now), ..EDIT }.judge();
    }
}
