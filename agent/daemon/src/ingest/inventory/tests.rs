use std::fs;
use std::net::TcpListener;

use tempfile::TempDir;

use super::*;

fn tree(files: &[(&str, &str)]) -> (TempDir, FsRoot) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = FsRoot::new(dir.path());
    (dir, root)
}

fn shown(items: &Items) -> Vec<String> {
    let stated = |it: &Item| it.stated_by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
    items.iter().map(|(name, it)| format!("{name}: {}{}", it.value, stated(it))).collect()
}

fn look(files: &[(&str, &str)], kind: ItemKind) -> Option<Vec<String>> {
    let (_dir, root) = tree(files);
    let config = InventoryConfig { kinds: vec![kind], ..InventoryConfig::default() };
    Reader::new(root, &config).look().get(&kind).map(shown)
}

#[test]
fn accounts_and_groups_are_what_they_may_do_and_not_who_they_are() {
    let passwd =
        "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice L.:/home/alice:/bin/sh\n+nis::::::\nbroken\n";
    let expected = vec![
        "alice: uid=1000 gid=1000 home=/home/alice shell=/bin/sh".to_owned(),
        "root: uid=0 gid=0 home=/root shell=/bin/bash".to_owned(),
    ];
    assert_eq!(look(&[("etc/passwd", passwd)], ItemKind::User), Some(expected));
    let group = "sudo:x:27:bob, alice\nempty:x:50:\n";
    let expected = vec!["empty: gid=50 members=".to_owned(), "sudo: gid=27 members=alice,bob".to_owned()];
    assert_eq!(look(&[("etc/group", group)], ItemKind::Group), Some(expected));
}

#[test]
fn a_kind_that_cannot_be_read_is_missing_and_not_empty() {
    for kind in ItemKind::ALL {
        assert_eq!(look(&[], kind), None, "{kind}");
    }
}

#[test]
fn packages_are_those_that_are_complete() {
    let paragraph = |name: &str, arch: &str, status: &str, version: &str| {
        format!("Package: {name}\nStatus: install ok {status}\nArchitecture: {arch}\nVersion: {version}\n\n")
    };
    let status = [
        paragraph("nginx", "amd64", "installed", "1.22"),
        paragraph("gone", "amd64", "config-files", "1"),
        paragraph("half", "amd64", "half-configured", "1"),
        paragraph("libc6", "amd64", "installed", "2.36"),
        paragraph("libc6", "i386", "installed", "2.36"),
        paragraph("never", "amd64", "not-installed", "1"),
    ];
    let log = "2026-11-24 20:15:02 upgrade nginx:amd64 1.20 1.22\n2026-11-24 20:15:03 install libc6:i386 <none> 2.35\n";
    let files = [("var/lib/dpkg/status", status.concat()), ("var/log/dpkg.log", log.to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let told = "nginx: 1.22 (dpkg's log tells that it was brought to 1.22 at 2026-11-24T20:15:02Z)";
    let expected = ["libc6:amd64: 2.36", "libc6:i386: 2.36", told].map(str::to_owned).to_vec();
    assert_eq!(look(&files, ItemKind::Package), Some(expected));
}

#[test]
fn a_module_of_the_kernels_own_is_stated_and_another_is_not() {
    let modules = "nf_tables 303104 0 - Live 0x0000000000000000\nrootkit 16384 0 - Live 0x0000000000000000 (OE)\n";
    let found = look(&[("proc/modules", modules)], ItemKind::Module).unwrap();
    assert!(found[0].starts_with("nf_tables: in-tree (it is one of the kernel's own"), "{found:?}");
    assert_eq!(found[1], "rootkit: taints OE");
}

#[test]
fn a_setting_is_stated_by_the_file_that_counts() {
    let files = [
        ("proc/sys/net/ipv4/ip_forward", "1\n"),
        ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
        ("proc/sys/kernel/sysrq", "438\n"),
        ("proc/sys/vm/swappiness", "60\n"),
        ("etc/sysctl.d/50-router.conf", "# a router\n-net/ipv4/ip_forward = 1\nvm.* = 3\n"),
        ("usr/lib/sysctl.d/50-router.conf", "net.ipv4.ip_forward=0\nkernel.sysrq=438\n"),
        ("usr/lib/sysctl.d/99-end.conf", "kernel.sysrq = 0\nnet.ipv4.tcp_rmem = 4096 131072   6291456\nno.such = 1\n"),
    ];
    let expected = [
        "kernel.sysrq: 438",
        "net.ipv4.ip_forward: 1 (/etc/sysctl.d/50-router.conf sets net.ipv4.ip_forward to 1)",
        "net.ipv4.tcp_rmem: 4096 131072 6291456 \
         (/usr/lib/sysctl.d/99-end.conf sets net.ipv4.tcp_rmem to 4096 131072 6291456)",
    ];
    assert_eq!(look(&files, ItemKind::Sysctl), Some(expected.map(str::to_owned).to_vec()));
    let (_dir, root) = tree(&files);
    let also = sysctl::read(&root, &["vm.swappiness".to_owned()]).unwrap();
    assert_eq!(also["vm.swappiness"].value, "60");
}

const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

#[test]
fn listening_ports_of_both_families_are_named_as_people_write_them() {
    let tcp = format!(
        "{HEAD}   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0\n   \
         1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12 1 0\n   \
         2: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 13 1 0\n"
    );
    let tcp6 = format!(
        "{HEAD}   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0  33 0 14 1\n   \
         1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0  33 0 15 1\n"
    );
    let udp = format!(
        "{HEAD}   0: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 16 1 0\n   \
         1: 00000000:C350 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 17 1 0\n"
    );
    let files = [("proc/net/tcp", tcp.as_str()), ("proc/net/tcp6", &tcp6), ("proc/net/udp", &udp)];
    let local = " (only programs of this host reach it)";
    let expected = [
        "tcp 0.0.0.0:22: uid=0".to_owned(),
        format!("tcp 127.0.0.1:8080: uid=1000{local}"),
        format!("tcp [::1]:8080: uid=33{local}"),
        "tcp [::]:80: uid=33".to_owned(),
        "udp 0.0.0.0:68: uid=0".to_owned(),
    ];
    let mut found = look(&files, ItemKind::Listener).unwrap();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn this_hosts_own_listener_is_found_with_its_program_when_it_lasts() {
    let config = InventoryConfig { kinds: vec![ItemKind::Listener], ..InventoryConfig::default() };
    let mut reader = Reader::new(FsRoot::real(), &config);
    reader.look();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("tcp {}", listener.local_addr().unwrap());
    assert!(!reader.look()[&ItemKind::Listener].contains_key(&name), "open for one look only");
    let found = reader.look();
    let item = &found[&ItemKind::Listener][&name];
    assert_eq!(item.facts["process.pid"], std::process::id().to_string());
    assert_eq!(item.value, format!("uid={}", rustix::process::geteuid().as_raw()));
    drop(listener);
    assert!(!reader.look()[&ItemKind::Listener].contains_key(&name));
}

#[test]
fn no_text_makes_reading_panic() {
    use proptest::prelude::*;
    proptest!(|(text in "\\PC{0,9}\\n[ 0-9A-F:(),x=./-]{0,90}\\n?\\PC{0,20}")| {
        let files: Vec<(&str, &str)> = ["etc/passwd", "etc/group", "proc/modules", "proc/net/tcp", "proc/net/udp6"]
            .into_iter()
            .chain(["etc/sysctl.d/a.conf", "var/lib/dpkg/status"])
            .map(|path| (path, text.as_str()))
            .collect();
        let (_dir, root) = tree(&files);
        Reader::new(root, &InventoryConfig::default()).look();
    });
}

#[test]
fn units_are_told_as_they_are_enabled_masked_renamed_and_put_there_by_hand() {
    let (dir, root) = tree(&[
        ("etc/systemd/system/own.service", "[Service]\nExecStart=/bin/true\n"),
        ("etc/systemd/system/own.service.d/x.conf", ""),
        ("usr/lib/systemd/system/nginx.service", ""),
        ("lib/systemd/system/getty@.service", ""),
    ]);
    let etc = dir.path().join("etc/systemd/system");
    let link = |to: &str, from: &str| {
        let from = etc.join(from);
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, from).unwrap();
    };
    link("/usr/lib/systemd/system/nginx.service", "multi-user.target.wants/nginx.service");
    link("/usr/lib/systemd/system/nginx.service", "web.target.requires/nginx.service");
    link("/lib/systemd/system/getty@.service", "getty.target.wants/getty@tty1.service");
    link("/usr/lib/systemd/system/rsyslog.service", "syslog.service");
    link("/dev/null", "ctrl.target");
    let config = InventoryConfig { kinds: vec![ItemKind::UnitFile], ..InventoryConfig::default() };
    let found = Reader::new(root, &config).look().remove(&ItemKind::UnitFile).unwrap();
    let expected = [
        "ctrl.target: masked",
        "getty@tty1.service: enabled by getty.target",
        "nginx.service: enabled by multi-user.target, enabled by web.target",
        "own.service: local file ",
        "syslog.service: alias of rsyslog.service",
    ];
    let shown = shown(&found);
    assert_eq!(shown.len(), expected.len(), "{shown:#?}");
    for (it, expected) in shown.iter().zip(expected) {
        assert!(it.starts_with(expected), "{it}");
    }
    let shipped: Vec<&String> =
        found.iter().filter(|(_, it)| it.facts.contains_key("unit.vendor")).map(|it| it.0).collect();
    assert_eq!(shipped, ["getty@tty1.service", "nginx.service"]);
}

#[test]
fn aliases_are_of_the_package_whose_unit_they_name_and_links_to_elsewhere_of_nobody() {
    let (dir, root) = tree(&[
        ("etc/systemd/system/shadow.service", "[Service]"),
        ("lib/systemd/system/systemd-timesyncd.service", ""),
        ("lib/systemd/system/shadow.service", ""),
        ("lib/systemd/system/taken.service", ""),
        ("opt/evil.service", "[Service]"),
    ]);
    let etc = dir.path().join("etc/systemd/system");
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, etc.join(from)).unwrap();
    link("/lib/systemd/system/systemd-timesyncd.service", "dbus-org.freedesktop.timesync1.service");
    link("../../../opt/evil.service", "taken.service");
    link("/opt/gone.service", "gone.service");
    let config = InventoryConfig { kinds: vec![ItemKind::UnitFile], ..InventoryConfig::default() };
    let mut reader = Reader::new(root, &config);
    let found = reader.look().remove(&ItemKind::UnitFile).unwrap();
    let value = |found: &holdfast_core::model::Items, name: &str| found[name].value.clone();
    assert_eq!(value(&found, "dbus-org.freedesktop.timesync1.service"), "alias of systemd-timesyncd.service");
    assert_eq!(value(&found, "gone.service"), "linked to /opt/gone.service that cannot be read");
    let linked = value(&found, "taken.service");
    assert!(linked.starts_with("linked to /opt/evil.service "), "{linked}");
    let shipped: Vec<&String> =
        found.iter().filter(|(_, it)| it.facts.contains_key("unit.vendor")).map(|it| it.0).collect();
    assert_eq!(shipped, ["dbus-org.freedesktop.timesync1.service"]);
    fs::write(dir.path().join("opt/evil.service"), "[Service]\nExecStart=/tmp/x\n").unwrap();
    let again = reader.look().remove(&ItemKind::UnitFile).unwrap();
    assert_ne!(value(&again, "taken.service"), linked, "rewritten where it leads to");
}

#[test]
fn units_that_snapd_makes_are_left_out_and_a_pipe_is_not_waited_for() {
    let made = "[Unit]\n# Auto-generated, DO NOT EDIT\nDescription=Mount unit for lxd, revision 7\n";
    let (dir, root) = tree(&[
        ("etc/systemd/system/snap-lxd-7.mount", made),
        ("etc/systemd/system/snap.lxd.daemon.service", made),
        ("etc/systemd/system/snap.own.service", "[Service]\nExecStart=/bin/true\n"),
        ("etc/systemd/system/other.service", made),
    ]);
    let etc = dir.path().join("etc/systemd/system");
    let wants = etc.join("multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    std::os::unix::fs::symlink("/etc/systemd/system/snap-lxd-7.mount", wants.join("snap-lxd-7.mount")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        etc.join("pipe.service"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    fs::write(etc.join("huge.service"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    let config = InventoryConfig { kinds: vec![ItemKind::UnitFile], ..InventoryConfig::default() };
    let found = Reader::new(root, &config).look().remove(&ItemKind::UnitFile).unwrap();
    let names: Vec<&String> = found.keys().collect();
    assert_eq!(names, ["huge.service", "other.service", "pipe.service", "snap.own.service"]);
    assert_eq!(found["pipe.service"].value, "local file that is no regular file");
    assert_eq!(found["huge.service"].value, "local file longer than 1 MiB");
}
