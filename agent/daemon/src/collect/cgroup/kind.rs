//! What a cgroup belongs to, by its name and the names above it. Pure.
//!
//! A unit is a service or a scope of the system's own manager, or a slice of the first level; what a user's manager or a machine's
//! own one runs counts with the unit that holds it. A container is recognised by how docker, podman, containerd, CRI-O,
//! Kubernetes and LXC name their cgroups. Names that are new for each start are folded: `session-*.scope` is one unit.

use std::collections::BTreeMap;

/// Letters of a container's id that are kept, as `docker ps` does.
const ID_LETTERS: usize = 12;
/// Prefix of a scope or a directory, and the runtime that names its own so.
const SCOPES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
];
/// Directory above a bare id, and the runtime.
const PARENTS: [(&str, &str); 1] = [("docker", "docker")];

/// Whom a cgroup's use is counted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Owner {
    /// By its name, folded.
    Unit(String),
    Container {
        /// The first letters of its id, or its name where the runtime uses that.
        id: String,
        runtime: Option<&'static str>,
        /// Uid of the Kubernetes pod that it is part of.
        pod: Option<String>,
    },
}

impl Owner {
    fn is_slice(&self) -> bool {
        matches!(self, Self::Unit(name) if name.strip_suffix(".slice").is_some())
    }

    /// Attributes of its series.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut put = |name: &str, value: &str| all.insert(name.to_owned(), value.to_owned());
        match self {
            Self::Unit(name) => {
                put("holdfast.unit.name", name);
            }
            Self::Container { id, runtime, pod } => {
                put("container.id", id);
                if let Some(runtime) = runtime {
                    put("container.runtime.name", runtime);
                }
                if let Some(pod) = pod {
                    put("k8s.pod.uid", pod);
                }
            }
        }
        all
    }
}

/// Where one is on the way down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    depth: usize,
    inside_unit: bool,
    runtime: Option<&'static str>,
    pod: Option<String>,
}

impl Place {
    /// What a cgroup of this name is here, and the place of those below it; `None` where nothing below it matters.
    pub(crate) fn step(&self, name: &str) -> (Option<Owner>, Option<Self>) {
        if let Some(container) = self.container(name) {
            return (Some(container), None);
        }
        if name.contains("-conmon-") || name.starts_with("lxc.monitor") {
            // What watches over a container, not the container.
            return (None, None);
        }
        let pod = pod_of(name).map(str::to_owned).or_else(|| self.pod.clone());
        let runtime = PARENTS.iter().find(|(parent, _)| *parent == name).map(|(_, runtime)| *runtime);
        let below = Self { depth: self.depth + 1, inside_unit: self.inside_unit, runtime, pod };
        let is = |suffix: &str| name.strip_suffix(suffix).is_some_and(|stem| !stem.is_empty());
        if !self.inside_unit && (is(".service") || is(".scope")) {
            return (Some(Owner::Unit(folded(name))), Some(Self { inside_unit: true, ..below }));
        }
        let slice = self.depth == 0 && is(".slice");
        (slice.then(|| Owner::Unit(name.to_owned())), Some(below))
    }

    fn container(&self, name: &str) -> Option<Owner> {
        let of = |id: &str, runtime| Owner::Container {
            id: id.chars().take(ID_LETTERS).collect(),
            runtime,
            pod: self.pod.clone(),
        };
        // A directory has the scope's name without its end where the runtime makes its cgroups itself.
        let stem = name.strip_suffix(".scope").unwrap_or(name);
        let scope = SCOPES.iter().find_map(|(prefix, runtime)| {
            stem.strip_prefix(prefix).filter(|id| is_id(id)).map(|id| of(id, Some(*runtime)))
        });
        if scope.is_some() {
            return scope;
        }
        if let Some(name) = name.strip_prefix("lxc.payload.") {
            return Some(Owner::Container { id: name.to_owned(), runtime: Some("lxc"), pod: None });
        }
        is_id(name).then(|| of(name, self.runtime))
    }
}

/// The owner of a process, from its `/proc/PID/cgroup`: the nearest container, else the unit; `None` for what is in neither.
pub(crate) fn owner_of(text: &str) -> Option<Owner> {
    // Number, controllers, path; a path may hold colons.
    let path_of = |wanted: &str| {
        text.lines().find_map(|line| line.split_once(':')?.1.split_once(':').filter(|it| it.0 == wanted)).map(|it| it.1)
    };
    // A hybrid host may keep the tree of units in systemd's own hierarchy of the first version.
    let path = path_of("").filter(|path| *path != "/").or_else(|| path_of("name=systemd"))?;
    let (mut place, mut owner) = (Place::default(), None);
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let (found, below) = place.step(name);
        // A slice is no owner: what is directly in one belongs to nothing that could be restarted.
        if let Some(found) = found.filter(|found| !found.is_slice()) {
            owner = Some(found);
        }
        match below {
            Some(below) => place = below,
            None => break,
        }
    }
    owner
}

/// An id as container runtimes make them: 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `pod1234_abcd` of `kubepods-burstable-pod1234_abcd.slice`, and the directory `pod1234-abcd`.
fn pod_of(name: &str) -> Option<&str> {
    let uid = match name.strip_suffix(".slice") {
        Some(stem) => stem.starts_with("kubepods").then(|| stem.rsplit_once("-pod")).flatten().map(|(_, uid)| uid),
        None => name.strip_prefix("pod"),
    }?;
    (uid.len() >= 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'))).then_some(uid)
}

/// A unit's name without what is new for each start, which would make series for ever.
///
/// Scopes and units of `systemd-run` lose the parts that count or are drawn; instances made of numbers alone lose all of them.
/// A number that someone chose, as in `user@1000.service` or `worker@2.service`, stays.
pub(crate) fn folded(name: &str) -> String {
    let Some((stem, kind)) = name.rsplit_once('.') else { return name.to_owned() };
    if kind == "scope" || stem.starts_with("run-") {
        let stem = stem.replace("\\x2d", "-");
        let parts: Vec<&str> = stem.split('-').map(|part| if is_drawn(part) { "*" } else { part }).collect();
        return format!("{}.{kind}", parts.join("-"));
    }
    if let Some((template, instance)) = stem.split_once('@') {
        let numbers = instance.split('-').filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        if numbers.count() >= 2 {
            return format!("{template}@*.{kind}");
        }
    }
    name.to_owned()
}

/// A number, with a letter before it or not (`c3`, `u17`), or a long string of hexadecimal digits.
fn is_drawn(part: &str) -> bool {
    let rest = part.strip_prefix(|first: char| first.is_ascii_lowercase()).unwrap_or(part);
    let all = |text: &str, good: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(good);
    all(rest, u8::is_ascii_digit) || (rest.len() >= 16 && all(rest, u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const POD: &str = "1a2b3c4d_0000_1111_2222_333344445555";

    #[track_caller]
    fn check(path: &str, expected: Option<(&str, Option<&str>, bool)>) {
        let found = owner_of(&format!("0::{}\n", path.replace("ID", ID).replace("POD", POD)));
        let flat = found.as_ref().map(|owner| match owner {
            Owner::Unit(name) => (name.as_str(), None, false),
            Owner::Container { id, runtime, pod } => (id.as_str(), *runtime, pod.is_some()),
        });
        assert_eq!(flat, expected, "{path}");
    }

    #[test]
    fn services_and_scopes_are_units_and_slices_own_no_process() {
        check("/system.slice/nginx.service", Some(("nginx.service", None, false)));
        check("/system.slice/system-getty.slice/getty@tty1.service", Some(("getty@tty1.service", None, false)));
        check("/init.scope", Some(("init.scope", None, false)));
        check("/user.slice/user-1000.slice/session-12.scope", Some(("session-*.scope", None, false)));
        check("/user.slice", None);
        check("/", None);
    }

    #[test]
    fn what_a_users_own_manager_runs_counts_with_that_manager() {
        let path = "/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service";
        check(path, Some(("user@1000.service", None, false)));
    }

    #[test]
    fn containers_are_known_by_how_their_runtime_names_them() {
        let id = &ID[..12];
        check("/system.slice/docker-ID.scope", Some((id, Some("docker"), false)));
        check("/docker/ID", Some((id, Some("docker"), false)));
        check("/machine.slice/libpod-ID.scope/container", Some((id, Some("podman"), false)));
        check("/libpod_parent/libpod-ID", Some((id, Some("podman"), false)));
        check("/system.slice/other-ID.scope", Some((&format!("other-{ID}.scope").replace(ID, "*"), None, false)));
        check(
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
            Some((id, Some("podman"), false)),
        );
        check(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD.slice/cri-containerd-ID.scope",
            Some((id, Some("containerd"), true)),
        );
        check("/kubepods/besteffort/podPOD/ID", Some((id, None, true)));
        check("/kubepods.slice/kubepods-podPOD.slice/crio-ID.scope", Some((id, Some("cri-o"), true)));
        check("/lxc.payload.web/system.slice/nginx.service", Some(("web", Some("lxc"), false)));
    }

    #[test]
    fn what_watches_over_a_container_is_not_the_container() {
        check("/machine.slice/libpod-conmon-ID.scope", None);
        check("/lxc.monitor.web", None);
    }

    #[test]
    fn a_hybrid_host_may_keep_its_units_in_the_first_hierarchy() {
        let text = "4:memory:/system.slice/a.service\n1:name=systemd:/system.slice/cron.service\n0::/\n";
        assert_eq!(owner_of(text), Some(Owner::Unit("cron.service".to_owned())));
        assert_eq!(owner_of("4:memory:/x\n"), None);
    }

    #[test]
    fn names_that_are_new_for_each_start_are_folded_and_chosen_ones_stay() {
        for (name, expected) in [
            ("session-c3.scope", "session-*.scope"),
            ("run-r0123456789abcdef0123456789abcdef.scope", "run-*.scope"),
            ("run-u17.service", "run-*.service"),
            ("run-p812-i903.service", "run-*-*.service"),
            ("systemd-coredump@0-1234-0.service", "systemd-coredump@*.service"),
            ("machine-qemu\\x2d12\\x2dweb01.scope", "machine-qemu-*-web01.scope"),
            ("user@1000.service", "user@1000.service"),
            ("worker@2.service", "worker@2.service"),
            ("app1.service", "app1.service"),
            ("systemd-fsck@dev-disk-by\\x2duuid-12.service", "systemd-fsck@dev-disk-by\\x2duuid-12.service"),
            ("init.scope", "init.scope"),
        ] {
            assert_eq!(folded(name), expected);
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(text in "[0-9]{0,2}:?(name=systemd)?:?(/[a-z0-9@.\\\\é-]{0,20}){0,6}\\n?") {
            let _ = owner_of(&text);
        }
    }
}
