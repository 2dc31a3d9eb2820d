//! With headers as rpm 4.18 wrote them into its database, of four small packages.

use std::fs;

use rusqlite::Connection;

use super::database::Packages;
use super::follow::{between, brought};
use super::*;
use crate::ingest::packages::PackageFact;

/// When the two transactions began.
const FIRST: i64 = 1_795_725_058;
const SECOND: i64 = FIRST + 1;

const DEMO_1: (i64, &[u8]) = (1, include_bytes!("../../../fixtures/rpm/demo-1.0.header"));
const KERN_1: (i64, &[u8]) = (2, include_bytes!("../../../fixtures/rpm/kern-6.1.header"));
const DEMO_2: (i64, &[u8]) = (3, include_bytes!("../../../fixtures/rpm/demo-2.0.header"));
const KERN_2: (i64, &[u8]) = (4, include_bytes!("../../../fixtures/rpm/kern-6.2.header"));

struct Host {
    dir: tempfile::TempDir,
    fs: FsRoot,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fs = FsRoot::new(dir.path());
        let host = Self { dir, fs };
        fs::create_dir_all(host.path("/var/lib/rpm")).unwrap();
        host
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The database with these headers, and the indexes that rpm makes of them.
    fn has(&self, headers: &[(i64, &[u8])]) {
        let file = self.path("/var/lib/rpm/rpmdb.sqlite");
        let _ = fs::remove_file(&file);
        let database = Connection::open(file).unwrap();
        database
            .execute_batch(
                "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL);
                 CREATE TABLE 'Basenames' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);
                 CREATE TABLE 'Dirnames' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);
                 CREATE TABLE 'Installtid' (key 'BLOB' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);",
            )
            .unwrap();
        for (number, header) in headers {
            database.execute("INSERT INTO Packages VALUES (?1, ?2)", (number, header)).unwrap();
            let at = u32::try_from(if *number < 3 { FIRST } else { SECOND }).unwrap();
            database.execute("INSERT INTO Installtid VALUES (?1, ?2, 0)", (at.to_ne_bytes(), number)).unwrap();
            let header = header::Header::new(header).unwrap();
            for (table, tag) in [("Basenames", header::Tag::BaseNames), ("Dirnames", header::Tag::DirNames)] {
                for (index, text) in header.texts(tag).unwrap().into_iter().enumerate() {
                    let text = String::from_utf8(text.to_vec()).unwrap();
                    let sql = format!("INSERT INTO {table} VALUES (?1, ?2, ?3)");
                    database.execute(&sql, (text, number, index as i64)).unwrap();
                }
            }
        }
    }

    fn fact(&self, path: &str) -> Option<PackageFact> {
        package_fact(&self.fs, path, None)
    }

    fn packages(&self) -> Packages {
        Database::new(self.fs.clone()).look().unwrap().clone()
    }
}

#[test]
fn packages_are_told_with_versions_and_the_time_of_their_transaction() {
    let host = Host::new();
    let mut installed = Installed::new(host.fs.clone());
    assert_eq!(installed.look(), Some(BTreeMap::new()), "there is no database");
    host.has(&[DEMO_1, KERN_1]);
    let first = Some(Timestamp::from_secs(FIRST));
    let one = |name: &str, version: &str, since| (name.to_owned(), (version.to_owned(), since));
    assert_eq!(
        installed.look().unwrap(),
        BTreeMap::from([one("demo", "1.0-1", first), one("kern", "6.1-1.fc41", first)])
    );
    host.has(&[KERN_1, DEMO_2, KERN_2]);
    let second = Some(Timestamp::from_secs(SECOND));
    assert_eq!(
        installed.look().unwrap(),
        BTreeMap::from([one("demo", "1:2.0-1", second), one("kern", "6.1-1.fc41, 6.2-1.fc41", second)])
    );
}

#[test]
fn a_name_that_two_architectures_have_is_told_with_each() {
    let host = Host::new();
    host.has(&[KERN_1, KERN_2]);
    let mut packages = host.packages();
    packages.get_mut(&4).unwrap().architecture = "x86_64".to_owned();
    let names: Vec<String> = by_name(&packages).into_keys().collect();
    assert_eq!(names, ["kern:noarch", "kern:x86_64"]);
}

#[test]
fn a_file_is_what_its_package_shipped_or_not() {
    let host = Host::new();
    host.has(&[KERN_1, DEMO_2, KERN_2]);
    assert_eq!(host.fact("/etc/demo/demo.conf").map(|it| it.digest_matches), Some(false), "it is not there");
    host.write("/etc/demo/demo.conf", "a = 2\n");
    let fact = host.fact("/etc/demo/demo.conf").unwrap();
    let changed_at = fact.changed_at;
    assert_eq!(
        fact,
        PackageFact { package: "demo".into(), version: "1:2.0-1".into(), changed_at, digest_matches: true }
    );
    assert!(changed_at.is_some_and(|at| (FIRST - 10..=SECOND + 10).contains(&(at.ns() / 1_000_000_000))));
    host.write("/etc/demo/demo.conf", "a = 3\n");
    assert!(!host.fact("/etc/demo/demo.conf").unwrap().digest_matches);
    assert!(package_fact(&host.fs, "/etc/demo/demo.conf", Some(b"a = 2\n")).unwrap().digest_matches, "as it was seen");
    // Of both versions, whose content is the same; and by the name from before /lib became a link.
    host.write("/usr/lib/shared/both", "same\n");
    assert_eq!(
        host.fact("/usr/lib/shared/both").map(|it| (it.package, it.digest_matches)),
        Some(("kern".into(), true))
    );
    host.write("/lib/shared/both", "same\n");
    assert!(host.fact("/lib/shared/both").unwrap().digest_matches);
    host.write("/usr/lib/modules/6.2/vmlinuz", "6.2\n");
    assert_eq!(host.fact("/usr/lib/modules/6.2/vmlinuz").unwrap().version, "6.2-1.fc41");
    // A file that the package only knows of has no content of its own.
    host.write("/usr/lib/modules/6.2/ghost", "");
    assert!(!host.fact("/usr/lib/modules/6.2/ghost").unwrap().digest_matches);
    for other in ["/etc/demo/other.conf", "/etc/demo.conf", "/usr/etc/demo/demo.conf", "demo.conf", "/"] {
        assert_eq!(host.fact(other), None, "{other}");
    }
}

#[test]
fn while_rpm_is_at_work_nothing_is_said() {
    let host = Host::new();
    host.has(&[DEMO_1]);
    host.write("/etc/demo/demo.conf", "a = 1\n");
    let mut database = Database::new(host.fs.clone());
    assert!(!in_progress(&host.fs) && database.is_due());
    assert_eq!(database.look().unwrap().len(), 1);
    assert!(!database.is_due());
    // What it has written is not in the database yet.
    host.write("/var/lib/rpm/rpmdb.sqlite-wal", "log");
    assert!(!database.is_due() && !in_progress(&host.fs), "nobody is there who will write it");
    assert!(database.look().is_err() && host.fact("/etc/demo/demo.conf").is_none());
    host.write("/var/lib/rpm/rpmdb.sqlite-wal", "");
    assert!(host.fact("/etc/demo/demo.conf").is_some_and(|it| it.digest_matches));
}

#[test]
fn what_is_no_database_is_as_if_rpm_were_at_work() {
    let host = Host::new();
    for content in ["", "no database", &"x".repeat(10_000)] {
        host.write("/var/lib/rpm/rpmdb.sqlite", content);
        let mut database = Database::new(host.fs.clone());
        assert!(database.look().is_err(), "{content:.20}");
        assert_eq!(host.fact("/etc/demo/demo.conf"), None);
    }
    host.has(&[DEMO_2]);
    let database = Connection::open(host.path("/var/lib/rpm/rpmdb.sqlite")).unwrap();
    for (number, bytes) in [(7, [].as_slice()), (8, &[0xff; 40]), (9, &DEMO_1.1[..900])] {
        database.execute("INSERT INTO Packages VALUES (?1, ?2)", (number, bytes)).unwrap();
    }
    drop(database);
    let found: Vec<(i64, String)> = host.packages().into_iter().map(|(number, it)| (number, it.name)).collect();
    assert!(found.contains(&(3, "demo".to_owned())) && found.iter().all(|it| it.1 == "demo"), "{found:?}");
}

#[test]
fn the_path_of_the_database_is_no_word_of_the_uri() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a?b=c#d%20e");
    let host = Host { fs: FsRoot::new(&odd), dir };
    fs::create_dir_all(odd.join("var/lib/rpm")).unwrap();
    let inner = Host::new();
    inner.has(&[DEMO_1]);
    fs::copy(inner.path("/var/lib/rpm/rpmdb.sqlite"), odd.join("var/lib/rpm/rpmdb.sqlite")).unwrap();
    assert_eq!(host.packages().len(), 1);
}

#[track_caller]
fn check(before: &[(i64, &[u8])], now: &[(i64, &[u8])], wanted: &[(&str, &str)]) {
    let (host, at) = (Host::new(), Timestamp::from_secs(SECOND + 5));
    host.has(before);
    let before = host.packages();
    host.has(now);
    let found = between(&before, &host.packages(), at);
    let said: Vec<(&str, &str)> = found.iter().map(|it| (it.kind.as_str(), it.summary.as_str())).collect();
    assert_eq!(said, wanted);
    for change in &found {
        let expected = if change.kind == "package.removed" { at } else { Timestamp::from_secs(SECOND) };
        assert_eq!((change.at, change.target.kind.as_str()), (expected, "package"), "{change:?}");
    }
}

#[test]
fn what_differs_between_two_looks_is_told() {
    check(&[DEMO_1], &[DEMO_1], &[]);
    check(&[DEMO_1], &[DEMO_2], &[("package.upgraded", "Changed demo from 1.0-1 to 1:2.0-1")]);
    check(&[], &[DEMO_2], &[("package.installed", "Installed demo 1:2.0-1")]);
    check(&[DEMO_1], &[], &[("package.removed", "Removed demo 1.0-1")]);
    // Kernels stand beside each other.
    check(&[KERN_1], &[KERN_1, KERN_2], &[("package.installed", "Installed kern 6.2-1.fc41")]);
    check(
        &[KERN_1, (9, KERN_2.1)],
        &[(9, KERN_2.1), KERN_2],
        &[("package.installed", "Installed kern 6.2-1.fc41"), ("package.removed", "Removed kern 6.1-1.fc41")],
    );
}

#[test]
fn what_was_brought_just_before_the_start_is_told_with_the_same_id_as_live() {
    let host = Host::new();
    host.has(&[DEMO_1]);
    let before = host.packages();
    host.has(&[KERN_1, DEMO_2]);
    let now = host.packages();
    let live = between(&before, &now, Timestamp::from_secs(SECOND + 5));
    let started = brought(&now, Timestamp::from_secs(SECOND));
    assert_eq!(started.len(), 1);
    assert_eq!(started[0].kind, "package.installed");
    assert!(live.iter().any(|it| it.id == started[0].id && it.kind == "package.upgraded"));
}
