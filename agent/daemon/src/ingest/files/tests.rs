use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use holdfast_core::model::plan::hex;
use holdfast_core::model::{ByteSize, Interval};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::host::SystemClock;

const MAX: u64 = 1 << 20;

#[expect(clippy::unnecessary_wraps, reason = "a present file's digest, as FileState carries it")]
fn sha(bytes: impl AsRef<[u8]>) -> Option<String> {
    Some(hex(&Sha256::digest(bytes.as_ref())))
}

fn tree(files: &[(&str, &str)]) -> (TempDir, FsRoot) {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let root = FsRoot::new(dir.path());
    (dir, root)
}

#[test]
fn a_file_is_read_with_digest_mode_time_and_content() {
    let (dir, root) = tree(&[("etc/app.conf", "a = 1\n")]);
    fs::set_permissions(dir.path().join("etc/app.conf"), fs::Permissions::from_mode(0o640)).unwrap();
    let (state, content) = read_state(&root, "/etc/app.conf", MAX).unwrap();
    assert_eq!((state.path.as_str(), state.sha256), ("/etc/app.conf", sha("a = 1\n")));
    assert_eq!((state.bytes, state.mode, state.modified_at.is_some()), (6, 0o640, true));
    assert_eq!(content.as_deref(), Some(b"a = 1\n".as_slice()));
}

#[test]
fn absence_is_a_state_also_below_what_is_no_directory() {
    let (_dir, root) = tree(&[("etc/app.conf", "x")]);
    for path in ["/etc/none", "/none/none", "/etc/app.conf/x"] {
        let (state, content) = read_state(&root, path, MAX).unwrap();
        assert_eq!((state.sha256, state.bytes, content), (None, 0, None), "{path}");
    }
}

#[test]
fn of_a_long_file_the_digest_is_kept_and_not_the_content() {
    let text = "x".repeat(200_000);
    let (_dir, root) = tree(&[("f", &text)]);
    let check = |max: u64, held: bool| {
        let (state, content) = read_state(&root, "/f", max).unwrap();
        assert_eq!((state.sha256, state.bytes, content.is_some()), (sha(&text), 200_000, held), "{max}");
    };
    check(200_000, true);
    check(199_999, false);
    check(0, false);
}

#[test]
fn links_are_never_followed_and_special_files_never_opened() {
    let (dir, root) = tree(&[("secret", "password")]);
    symlink("/secret", dir.path().join("link")).unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    for (path, text) in [("/link", "symlink to /secret"), ("/sub", "directory"), ("/pipe", "pipe")] {
        let (state, content) = read_state(&root, path, MAX).unwrap();
        assert_eq!((state.sha256, content), (sha(text), None), "{path}");
    }
}

struct Watching {
    dir: TempDir,
    watch: FileWatch,
    seen: mpsc::Receiver<FileSeen>,
}

fn start(files: &[(&str, &str)], config: WatchConfig, roots: &[&str]) -> Watching {
    let (dir, root) = tree(files);
    let (to, seen) = mpsc::channel(64);
    let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    let watch = FileWatch::start(&config, &roots, root, Arc::new(SystemClock::new()), to).unwrap();
    // The start is over: what comes now is told as a change. The queue holds all that the tests begin with.
    while watch.status().sweeps == 0 {
        std::thread::yield_now();
    }
    Watching { dir, watch, seen }
}

fn config(files: &[&str]) -> WatchConfig {
    // So rare that a test that passes was told by a notice.
    let files = files.iter().map(|f| (*f).to_owned()).collect();
    WatchConfig { files, sweep: Interval::secs(3_600), ..WatchConfig::default() }
}

impl Watching {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    /// The next state that is told, as `path=content`, `path=-` for an absent file; `!` marks a first one.
    #[track_caller]
    fn next(&mut self) -> String {
        let seen = self.within(Duration::from_secs(10)).expect("nothing was told");
        let content = match (&seen.state.sha256, &seen.content) {
            (None, _) => "-".to_owned(),
            (Some(_), Some(content)) => String::from_utf8_lossy(content).into_owned(),
            (Some(_), None) => "?".to_owned(),
        };
        format!("{}{}={content}", if seen.first { "!" } else { "" }, seen.state.path)
    }

    fn within(&mut self, limit: Duration) -> Option<FileSeen> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(limit, self.seen.recv()).await.ok().flatten() })
    }

    /// The file that `mark` names is altered and told, with nothing told before it.
    #[track_caller]
    fn nothing_until(&mut self, mark: &str) {
        fs::write(self.path(mark), "mark").unwrap();
        assert_eq!(self.next(), format!("{mark}=mark"));
    }
}

#[test]
fn every_wanted_file_is_told_at_the_start_absent_ones_too() {
    let files = [("etc/a.conf", "1"), ("etc/b.conf", "2"), ("etc/c.txt", "3")];
    let mut w = start(&files, config(&["/etc/*.conf", "/etc/gone"]), &[]);
    assert_eq!([w.next(), w.next(), w.next()], ["!/etc/a.conf=1", "!/etc/b.conf=2", "!/etc/gone=-"]);
    w.nothing_until("/etc/a.conf");
}

#[test]
fn an_edit_a_replacement_by_rename_and_a_deletion_are_told() {
    let mut w = start(&[("etc/a.conf", "1"), ("etc/m", "")], config(&["/etc/a.conf", "/etc/m"]), &[]);
    w.next();
    w.next();
    fs::write(w.path("/etc/a.conf"), "2").unwrap();
    assert_eq!(w.next(), "/etc/a.conf=2");
    fs::write(w.path("/etc/a.conf.tmp"), "3").unwrap();
    fs::rename(w.path("/etc/a.conf.tmp"), w.path("/etc/a.conf")).unwrap();
    assert_eq!(w.next(), "/etc/a.conf=3");
    fs::remove_file(w.path("/etc/a.conf")).unwrap();
    assert_eq!(w.next(), "/etc/a.conf=-");
    fs::write(w.path("/etc/a.conf"), "4").unwrap();
    assert_eq!(w.next(), "/etc/a.conf=4");
    w.nothing_until("/etc/m");
}

#[test]
fn a_change_of_mode_is_told_and_a_touch_is_not() {
    let mut w = start(&[("etc/a.conf", "1"), ("etc/m", "")], config(&["/etc/a.conf", "/etc/m"]), &[]);
    w.next();
    w.next();
    fs::write(w.path("/etc/a.conf"), "1").unwrap();
    w.nothing_until("/etc/m");
    fs::set_permissions(w.path("/etc/a.conf"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(w.next(), "/etc/a.conf=1");
}

#[test]
fn a_directory_that_comes_later_is_seen_with_what_it_holds() {
    let mut w = start(&[("etc/x", "")], config(&["/etc/app/conf.d/a.conf"]), &[]);
    assert_eq!(w.next(), "!/etc/app/conf.d/a.conf=-");
    fs::create_dir_all(w.path("/etc/app/conf.d")).unwrap();
    fs::write(w.path("/etc/app/conf.d/a.conf"), "1").unwrap();
    assert_eq!(w.next(), "/etc/app/conf.d/a.conf=1");
    fs::remove_dir_all(w.path("/etc/app")).unwrap();
    assert_eq!(w.next(), "/etc/app/conf.d/a.conf=-");
    fs::create_dir_all(w.path("/etc/app/conf.d")).unwrap();
    fs::write(w.path("/etc/app/conf.d/a.conf"), "2").unwrap();
    assert_eq!(w.next(), "/etc/app/conf.d/a.conf=2");
}

#[test]
fn a_release_directory_is_told_whole_and_new_directories_in_it_are_watched() {
    let mut w = start(&[("srv/1/bin/web", "elf"), ("srv/1/etc/web.conf", "c")], config(&[]), &[]);
    w.watch.add_root("/srv/1");
    assert_eq!([w.next(), w.next()], ["!/srv/1/bin/web=elf", "!/srv/1/etc/web.conf=c"]);
    fs::create_dir_all(w.path("/srv/1/lib/deep")).unwrap();
    fs::write(w.path("/srv/1/lib/deep/x"), "new").unwrap();
    assert_eq!(w.next(), "/srv/1/lib/deep/x=new");
    fs::write(w.path("/srv/1/lib/deep/x"), "tampered").unwrap();
    assert_eq!(w.next(), "/srv/1/lib/deep/x=tampered");
    w.watch.remove_root("/srv/1");
    w.watch.add_root("/srv/1/etc");
    assert_eq!(w.next(), "!/srv/1/etc/web.conf=c");
    fs::write(w.path("/srv/1/bin/web"), "unwanted").unwrap();
    w.nothing_until("/srv/1/etc/web.conf");
}

#[test]
fn what_came_and_went_is_forgotten_and_directories_are_no_files() {
    let mut w = start(&[("d/1", "x")], config(&["/d/**"]), &[]);
    assert_eq!(w.next(), "!/d/1=x");
    fs::create_dir(w.path("/d/sub")).unwrap();
    fs::write(w.path("/d/sub/2"), "y").unwrap();
    assert_eq!(w.next(), "/d/sub/2=y");
    fs::remove_dir_all(w.path("/d/sub")).unwrap();
    assert_eq!(w.next(), "/d/sub/2=-");
    w.watch.sweep();
    w.nothing_until("/d/1");
    // In one step: between two of them the file is gone, and a quick watch says so.
    fs::create_dir_all(w.path("/e/1")).unwrap();
    let (cwd, swap) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
    rustix::fs::renameat_with(cwd, w.path("/e/1"), cwd, w.path("/d/1"), swap).unwrap();
    assert_eq!(w.next(), "/d/1=?");
}

#[test]
fn what_is_excluded_is_neither_read_nor_watched() {
    let settings = WatchConfig { exclude: vec!["/srv/cache".into(), "/srv/*.log".into()], ..config(&["/srv/**"]) };
    let mut w = start(&[("srv/a", "1"), ("srv/x.log", "l"), ("srv/cache/c", "c")], settings, &[]);
    assert_eq!(w.next(), "!/srv/a=1");
    fs::write(w.path("/srv/x.log"), "2").unwrap();
    fs::write(w.path("/srv/cache/c"), "2").unwrap();
    w.nothing_until("/srv/a");
    assert!(!w.watch.status().why.is_some_and(|why| why.contains("cache")));
    // The root of the tree, and /srv.
    assert_eq!(w.watch.status().directories, 2);
}

#[test]
fn beyond_the_budget_of_watches_a_sweep_sees_the_change() {
    let settings = WatchConfig { directories_max: 1, ..config(&["/a/f", "/b/f"]) };
    let mut w = start(&[("a/f", "1"), ("b/f", "1")], settings, &[]);
    w.next();
    w.next();
    let status = w.watch.status();
    assert_eq!((status.directories, status.directories_left_out), (1, 1));
    assert!(status.why.is_some_and(|why| why.contains("directories-max")));
    fs::write(w.path("/b/f"), "2").unwrap();
    w.watch.sweep();
    assert_eq!(w.next(), "/b/f=2");
}

#[test]
fn files_beyond_the_bound_are_counted_and_not_told() {
    let mut w =
        start(&[("d/1", "x"), ("d/2", "x"), ("d/3", "x")], WatchConfig { files_max: 2, ..config(&["/d/*"]) }, &[]);
    let told = [w.next(), w.next()];
    assert!(told.iter().all(|t| t.starts_with("!/d/")), "{told:?}");
    let status = w.watch.status();
    assert_eq!((status.files, status.files_left_out), (2, 1));
    assert!(w.within(Duration::from_millis(100)).is_none());
}

#[test]
fn lost_notices_are_made_good_by_a_sweep() {
    let mut w = start(&[("d/1", "x")], config(&["/d/1"]), &[]);
    w.next();
    // As if every notice of this change had been lost: the thread is told so and nothing else.
    w.watch.shared.lost.store(true, Ordering::Relaxed);
    w.watch.messages.send(Message::Lost).unwrap();
    fs::write(w.path("/d/1"), "y").unwrap();
    assert_eq!(w.next(), "/d/1=y");
    assert!(w.watch.status().overflows >= 1);
}

#[test]
fn a_long_content_is_told_without_it() {
    let mut w = start(&[("d/1", "0123456789")], WatchConfig { bytes_max: ByteSize(5), ..config(&["/d/1"]) }, &[]);
    assert_eq!(w.next(), "!/d/1=?");
}

#[test]
fn the_thread_ends_when_nobody_listens() {
    let Watching { watch, seen, dir } = start(&[("d/1", "x")], config(&["/d/1"]), &[]);
    drop(seen);
    let weak = Arc::downgrade(&watch.shared);
    drop(watch);
    for _ in 0..1_000 {
        if weak.upgrade().is_none() {
            return;
        }
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the thread still runs in {}", Path::new(dir.path()).display());
}
