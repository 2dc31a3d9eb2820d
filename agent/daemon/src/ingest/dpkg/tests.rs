use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use holdfast_core::model::Timestamp;
use jiff::tz::{TimeZone, offset};
use md5::{Digest, Md5};
use proptest::prelude::*;

use super::log::Verb;
use super::tail::Tail;
use super::*;
use crate::host::FsRoot;

fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, FsRoot) {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        write(dir.path(), path, content);
    }
    let root = FsRoot::new(dir.path());
    (dir, root)
}

fn write(dir: &Path, path: &str, content: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn md5_of(text: &str) -> String {
    holdfast_core::model::plan::hex(&Md5::digest(text.as_bytes()))
}

#[test]
fn lines_about_packages_become_changes() {
    let check = |line: &str, expected: Option<(&str, &str)>| {
        let change = change(line, &TimeZone::UTC);
        let got = change.as_ref().map(|c| (c.kind.as_str(), c.summary.as_str()));
        assert_eq!(got, expected, "{line}");
    };
    let at = "2026-11-24 20:15:02";
    check(&format!("{at} install jq:amd64 <none> 1.6-2.1"), Some(("package.installed", "Installed jq 1.6-2.1")));
    check(
        &format!("{at} upgrade nginx:amd64 1.22.1-9 1.24.0-2"),
        Some(("package.upgraded", "Changed nginx from 1.22.1-9 to 1.24.0-2")),
    );
    check(&format!("{at} upgrade jq:amd64 1.6 1.6"), Some(("package.upgraded", "Unpacked jq 1.6 again")));
    check(&format!("{at} remove jq:amd64 1.6 <none>"), Some(("package.removed", "Removed jq 1.6")));
    check(&format!("{at} purge jq:amd64 1.6 <none>"), Some(("package.removed", "Removed the configuration of jq")));
    for other in ["startup archives unpack", "status installed jq:amd64 1.6", "conffile /etc/x keep", "upgrade x 1", ""]
    {
        check(&format!("{at} {other}"), None);
    }
    check("2026-11-31 20:15:02 install jq:amd64 <none> 1.6", None);
    check("nonsense", None);
}

#[test]
fn a_change_carries_versions_and_the_same_line_the_same_id() {
    let line = "2026-11-24 20:15:02 upgrade nginx:amd64 1.22.1-9 1.24.0-2";
    let first = change(line, &TimeZone::UTC).unwrap();
    assert_eq!(first.target.to_string(), "package:nginx");
    assert_eq!(first.at, "2026-11-24T20:15:02Z".parse().unwrap());
    assert_eq!(first.attributes["package.version"], "1.24.0-2");
    assert_eq!(first.attributes["package.previous_version"], "1.22.1-9");
    assert_eq!(first.attributes["package.architecture"], "amd64");
    assert_eq!(change(line, &TimeZone::UTC).unwrap().id, first.id);
    assert_ne!(change(&line.replace(":02", ":03"), &TimeZone::UTC).unwrap().id, first.id);
}

#[test]
fn times_are_those_of_the_hosts_own_zone() {
    let line = "2026-11-24 20:15:02 install a:all <none> 1";
    let entry = parse_line(line, &TimeZone::fixed(offset(2))).unwrap();
    assert_eq!(entry.at, "2026-11-24T18:15:02Z".parse().unwrap());
    assert_eq!((entry.verb, entry.package.as_str(), entry.architecture.as_deref()), (Verb::Install, "a", Some("all")));
    // A minimal TZif of version 1 with one type: UTC-5.
    let mut tzif = b"TZif\0".to_vec();
    tzif.extend([0; 15]);
    for count in [0_u32, 0, 0, 0, 1, 4] {
        tzif.extend(count.to_be_bytes());
    }
    tzif.extend((-18_000_i32).to_be_bytes());
    tzif.extend([0, 0]);
    tzif.extend(b"EST\0");
    let (dir, root) = tree(&[]);
    fs::create_dir(dir.path().join("etc")).unwrap();
    fs::write(dir.path().join("etc/localtime"), tzif).unwrap();
    let entry = parse_line(line, &local_zone(&root)).unwrap();
    assert_eq!(entry.at, "2026-11-25T01:15:02Z".parse().unwrap());
    assert_eq!(local_zone(&tree(&[]).1), TimeZone::UTC);
}

proptest! {
    #[test]
    fn no_line_makes_the_parser_panic(line in "(2026-1[0-9]-[0-9]{2} [0-9:]{8} )?[a-z<>: .0-9é]{0,60}") {
        let _ = change(&line, &TimeZone::UTC);
    }
}

fn append(root: &FsRoot, text: &str) {
    let mut log = OpenOptions::new().append(true).create(true).open(root.path("/var/log/dpkg.log")).unwrap();
    log.write_all(text.as_bytes()).unwrap();
}

#[test]
fn the_log_is_followed_through_halves_of_lines_rotation_and_truncation() {
    let (dir, root) = tree(&[("var/log/other", "")]);
    let (mut tail, lines) = Tail::history(&root, &TimeZone::UTC, Timestamp::from_ns(0));
    assert!(lines.is_empty() && tail.look(&root).lines.is_empty());
    append(&root, "one\ntw");
    assert_eq!(tail.look(&root).lines, ["one"]);
    append(&root, "o\n");
    assert_eq!(tail.look(&root).lines, ["two"]);
    assert!(tail.look(&root).lines.is_empty());
    append(&root, "three\n");
    fs::rename(root.path("/var/log/dpkg.log"), root.path("/var/log/dpkg.log.1")).unwrap();
    append(&root, "four\n");
    assert_eq!(tail.look(&root).lines, ["three", "four"]);
    // As `copytruncate` would.
    write(dir.path(), "var/log/dpkg.log", "5\n");
    assert_eq!(tail.look(&root).lines, ["5"]);
}

#[test]
fn history_goes_back_as_far_as_asked_and_into_the_rotated_log() {
    let line = |day: u32, name: &str| format!("2026-11-{day} 10:00:00 install {name}:all <none> 1\n");
    let (_dir, root) = tree(&[
        ("var/log/dpkg.log.1", &(line(20, "old") + &line(22, "rotated"))),
        ("var/log/dpkg.log", &(line(23, "new") + "2026-11-24 10:0")),
    ]);
    let since = "2026-11-22T00:00:00Z".parse().unwrap();
    let (mut tail, lines) = Tail::history(&root, &TimeZone::UTC, since);
    let names: Vec<String> = lines.iter().filter_map(|line| Some(parse_line(line, &TimeZone::UTC)?.package)).collect();
    assert_eq!(names, ["rotated", "new"]);
    append(&root, "0:00 install half:all <none> 1\n");
    assert_eq!(tail.look(&root).lines, ["2026-11-24 10:00:00 install half:all <none> 1"]);
}

#[tokio::test]
async fn what_is_written_now_is_told_now() {
    let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let (_dir, root) = tree(&[(
        "var/log/dpkg.log",
        "2026-11-20 11:00:00 install ancient:all <none> 1\n2026-11-24 11:00:00 install before:all <none> 1\n",
    )]);
    let (to, mut told) = tokio::sync::mpsc::channel(4);
    let task = tail(root.clone(), now, Timestamp::from_ns(0), to);
    let limit = std::time::Duration::from_secs(10);
    let next = async |told: &mut tokio::sync::mpsc::Receiver<_>| {
        let change: holdfast_core::model::Change = tokio::time::timeout(limit, told.recv()).await.unwrap().unwrap();
        change.target.name
    };
    assert_eq!(next(&mut told).await, "before");
    append(&root, "2026-11-24 12:00:01 install after:all <none> 1\n");
    assert_eq!(next(&mut told).await, "after");
    drop(told);
    tokio::time::timeout(limit, task).await.unwrap().unwrap();
}

/// nginx ships a configuration file and a program; `gone` was removed and kept its configuration.
fn host() -> (tempfile::TempDir, FsRoot) {
    let status = format!(
        "Package: jq\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.6\n\n\
         Package: nginx\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1.24.0-2\nConffiles:\n \
         /etc/nginx/nginx.conf {}\n /etc/nginx/my site.conf {}\n /etc/nginx/old.conf {} obsolete\n /etc/nginx/new.conf newconffile\n\
         Description: web server\n /etc/hosts 00000000000000000000000000000000\n\n\
         Package: never\nStatus: deinstall ok not-installed\nVersion: 1\nConffiles:\n /etc/never.conf {}\n",
        md5_of("shipped\n"),
        md5_of("site\n"),
        md5_of("old\n"),
        md5_of("never\n"),
    );
    tree(&[
        ("var/lib/dpkg/status", &status),
        ("var/lib/dpkg/info/nginx:amd64.list", "/.\n/etc\n/etc/nginx/nginx.conf\n/usr/sbin/nginx\n/lib/nginx.so\n"),
        (
            "var/lib/dpkg/info/nginx:amd64.md5sums",
            &format!("{}  usr/sbin/nginx\n{}  lib/nginx.so\n", md5_of("elf"), md5_of("so")),
        ),
        ("var/lib/dpkg/info/jq.list", "/.\n/usr/bin/jq\n"),
        ("usr/sbin/nginx", "elf"),
        ("usr/lib/nginx.so", "so"),
        ("etc/nginx/nginx.conf", "shipped\n"),
    ])
}

#[test]
fn a_file_is_matched_with_what_its_package_shipped() {
    let (_dir, root) = host();
    let check = |path: &str, content: Option<&str>, expected: Option<(&str, bool)>| {
        let fact = package_fact(&root, path, content.map(str::as_bytes));
        let got = fact.as_ref().map(|fact| (fact.package.as_str(), fact.digest_matches));
        assert_eq!(got, expected, "{path} {content:?}");
        if let Some(fact) = fact {
            assert!(fact.changed_at.is_some(), "{path}");
        }
    };
    check("/etc/nginx/nginx.conf", Some("shipped\n"), Some(("nginx", true)));
    check("/etc/nginx/nginx.conf", Some("edited\n"), Some(("nginx", false)));
    check("/etc/nginx/my site.conf", Some("site\n"), Some(("nginx", true)));
    check("/etc/nginx/old.conf", Some("old\n"), Some(("nginx", false)));
    check("/etc/nginx/new.conf", Some("new\n"), Some(("nginx", false)));
    check("/usr/sbin/nginx", Some("elf"), Some(("nginx", true)));
    check("/usr/sbin/nginx", Some("trojan"), Some(("nginx", false)));
    check("/usr/bin/jq", Some("jq"), Some(("jq", false)));
    // Without its content the file itself is read; one that is absent matches nothing.
    check("/usr/sbin/nginx", None, Some(("nginx", true)));
    check("/etc/nginx/my site.conf", None, Some(("nginx", false)));
    // /lib is a link into /usr by now, and the package still says /lib.
    check("/usr/lib/nginx.so", Some("so"), Some(("nginx", true)));
    check("/etc/hosts", Some("x"), None);
    check("/etc/never.conf", Some("never\n"), None);
    check("/etc/nginx/nginx", Some("x"), None);
    assert_eq!(package_fact(&root, "/usr/sbin/nginx", None).unwrap().version, "1.24.0-2");
    assert_eq!(package_fact(&tree(&[]).1, "/etc/hosts", None), None);
}

#[test]
fn dpkg_is_at_work_while_parts_of_its_database_wait() {
    let (dir, root) = host();
    assert!(!in_progress(&root) && !in_progress(&tree(&[]).1));
    write(dir.path(), "var/lib/dpkg/updates/0001", "");
    assert!(in_progress(&root));
    fs::remove_file(dir.path().join("var/lib/dpkg/updates/0001")).unwrap();
    write(dir.path(), "var/lib/dpkg/lock", "");
    assert!(!in_progress(&root));
}
