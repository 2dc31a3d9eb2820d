//! Links that somebody else put on the way to what is granted, or in it: by symbolic ones nothing is reached, by hard ones nothing is read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_plugin_host::{Grant, World};
use support::{TestWorld, hostile, run};

/// What a check with this root granted observes, or how it fails.
fn observed(world: &Arc<TestWorld>, root: &str, deed: &str, with: &str) -> Result<String, String> {
    let grant = format!("[read]\nfiles = [{root:?}]\n[settings]\ndeed = {deed:?}\nwith = {with:?}\n");
    let plugin = hostile("nothing", "").granted(Some(Grant::parse(&grant).unwrap())).unwrap();
    let call = plugin.check(&run(), &(Arc::clone(world) as Arc<dyn World>));
    let report = call.result.map_err(|error| error.to_string())?;
    let evidence = report.detections[0].evidence.iter().find(|it| it.name == "observed");
    Ok(evidence.unwrap_or_else(|| panic!("{deed}: nothing observed")).value.to_string())
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// `/srv` and what lies in it belong to whoever runs the tests, and nobody else writes there.
fn world() -> TestWorld {
    let world = TestWorld::new();
    world.write("/etc/secret", "outside");
    world.write("/srv/data/x", "inside");
    for dir in ["", "/srv", "/srv/app", "/srv/data"] {
        mode(&world.path(dir), 0o755);
    }
    world
}

#[track_caller]
fn is_refused(world: &Arc<TestWorld>, root: &str, path: &str) {
    for deed in ["read", "walk", "stat", "hash"] {
        let error = observed(world, root, deed, path).unwrap_err();
        assert!(error.contains("somebody else than root can have put there"), "{deed} {path}: {error}");
        assert!(error.contains("`denied`") && error.contains("grant the path that it leads to"), "{error}");
    }
}

#[test]
fn a_link_of_the_systems_own_on_the_way_to_a_root_is_followed_also_when_it_is_the_root() {
    let world = world();
    for (link, target) in
        [("/srv/relative", "data"), ("/srv/absolute", "/srv/data"), ("/srv/up", "app/../../srv/./data")]
    {
        world.link(link, target);
    }
    world.link("/srv/twice", "relative");
    world.link("/vsr", "srv");
    let world = Arc::new(world);
    for root in ["/srv/data", "/srv/relative", "/srv/absolute", "/srv/up", "/srv/twice"] {
        assert_eq!(observed(&world, root, "read", &format!("{root}/x")).as_deref(), Ok("inside"), "{root}");
    }
    // An absolute target lies where `/` lies for plugins.
    world.link("/srv/out", "/etc");
    assert_eq!(observed(&world, "/srv/out", "read", "/srv/out/secret").as_deref(), Ok("outside"));
    world.link("/srv/round", "round");
    assert!(observed(&world, "/srv/round", "read", "/srv/round/x").unwrap_err().contains("may not be followed"));
    world.link("/srv/nowhere", "nothing");
    assert!(observed(&world, "/srv/nowhere", "read", "/srv/nowhere/x").unwrap_err().contains("`not-found`"));
}

#[test]
fn the_links_of_a_real_system_are_followed() {
    let world = Arc::new(TestWorld { real_root: true, ..TestWorld::new() });
    for (root, path) in [("/proc/self", "/proc/self/status"), ("/proc/net", "/proc/net/unix")] {
        let found = observed(&world, root, "read length", path);
        assert!(found.is_ok_and(|bytes| bytes != "0"), "{path}");
    }
}

#[test]
fn a_link_in_a_directory_that_others_may_write_leads_nowhere() {
    for open in [0o777, 0o775, 0o1777] {
        let world = world();
        world.link("/srv/app/root", "../../etc");
        mode(&world.path("/srv/app"), open);
        let world = Arc::new(world);
        is_refused(&world, "/srv/app/root", "/srv/app/root/secret");
        is_refused(&world, "/srv/app/root/deeper", "/srv/app/root/deeper/x");
    }
}

#[test]
fn a_link_of_somebody_elses_or_in_their_directory_leads_nowhere() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = world();
    // The directory of a granted root is theirs: what lay there gives way to a link.
    std::fs::create_dir(world.path("/srv/theirs")).unwrap();
    world.link("/srv/theirs/root", "/etc");
    chown(world.path("/srv/theirs"), Some(1_000), Some(1_000)).unwrap();
    // The link alone is theirs.
    world.link("/srv/link", "/etc");
    std::os::unix::fs::lchown(world.path("/srv/link"), Some(1_000), None).unwrap();
    let world = Arc::new(world);
    is_refused(&world, "/srv/theirs/root", "/srv/theirs/root/secret");
    is_refused(&world, "/srv/link", "/srv/link/secret");
    // A directory that is theirs and no link is what was granted.
    std::fs::create_dir(world.path("/srv/theirs/real")).unwrap();
    world.write("/srv/theirs/real/x", "inside");
    assert_eq!(observed(&world, "/srv/theirs/real", "read", "/srv/theirs/real/x").as_deref(), Ok("inside"));
}

#[test]
fn one_granted_file_that_gives_way_to_a_link_to_a_directory_opens_no_tree() {
    let world = world();
    world.write("/srv/app/one.conf", "inside");
    mode(&world.path("/srv/app"), 0o777);
    let world = Arc::new(world);
    assert_eq!(observed(&world, "/srv/app/one.conf", "read", "/srv/app/one.conf").as_deref(), Ok("inside"));
    std::fs::remove_file(world.path("/srv/app/one.conf")).unwrap();
    world.link("/srv/app/one.conf", "/etc");
    is_refused(&world, "/srv/app/one.conf", "/srv/app/one.conf/secret");
}

#[test]
fn a_hard_link_whose_directory_is_swapped_all_the_time_is_never_read() {
    let world = world();
    for (dir, open) in [("good", 0o755), ("open", 0o777)] {
        std::fs::create_dir(world.path(&format!("/srv/app/{dir}"))).unwrap();
        mode(&world.path(&format!("/srv/app/{dir}")), open);
    }
    world.write("/srv/app/good/file", "inside");
    std::fs::hard_link(world.path("/etc/secret"), world.path("/srv/app/open/file")).unwrap();
    let world = Arc::new(world);
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        std::thread::spawn(move || {
            let (good, open) = (world.path("/srv/app/good"), world.path("/srv/app/open"));
            let cwd = rustix::fs::CWD;
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(cwd, &good, cwd, &open, rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        })
    };
    let wrong: Vec<_> =
        (0..10).map(|_| observed(&world, "/srv/app", "read a thousand times", "/srv/app/open/file")).collect();
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(wrong.iter().all(|it| it.as_deref() == Ok("0")), "{wrong:?}");
}

#[test]
fn whoever_swaps_the_root_for_a_link_all_the_time_reaches_nothing() {
    let world = world();
    world.write("/srv/app/file", "inside");
    mode(&world.path("/srv"), 0o777);
    world.write("/etc/file", "outside");
    let world = Arc::new(world);
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        std::thread::spawn(move || {
            let (root, spare) = (world.path("/srv/app"), world.path("/srv/spare"));
            symlink(world.path("/etc"), &spare).unwrap();
            let cwd = rustix::fs::CWD;
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(cwd, &root, cwd, &spare, rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        })
    };
    let seen: Vec<_> = (0..300).map(|_| observed(&world, "/srv/app", "read", "/srv/app/file")).collect();
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    let wrong = |it: &&Result<String, String>| match it {
        Ok(text) => text != "inside",
        Err(error) => !error.contains("somebody else than root"),
    };
    assert_eq!(seen.iter().find(wrong), None);
}
