//! One process by `/proc/PID/stat`, which tells at once what most other files of it tell one by one.

/// Parent of all kernel threads.
const KTHREADD: u32 = 2;

/// What [proc_pid_stat(5)](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html) says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    /// At most 15 bytes, as the kernel cuts it; longer for kernel threads.
    pub(crate) name: String,
    /// `R`, `S`, `D` and others.
    pub(crate) state: char,
    pub(crate) ppid: u32,
    /// In user and in kernel mode, in the kernel's ticks.
    pub(crate) cpu_ticks: u64,
    /// Since the machine's boot.
    pub(crate) started_ticks: u64,
    pub(crate) resident_pages: u64,
}

impl Stat {
    /// Pure. The name stands in parentheses and may itself hold any of them and spaces: the last one ends it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (start, end) = (text.find('(')?, text.rfind(')')?);
        let name = text.get(start + 1..end)?.to_owned();
        let mut fields = text.get(end + 1..)?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // Numbers count from the first one that was not yet taken; the state is field 3.
        let mut taken = 3;
        let mut field = |number: usize| {
            let found = fields.nth(number - taken - 1)?.parse::<u64>().ok();
            taken = number;
            found
        };
        Some(Self {
            name,
            state,
            ppid: u32::try_from(field(4)?).ok()?,
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            started_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }

    pub(super) fn is_kernel_thread(&self, pid: u32) -> bool {
        pid == KTHREADD || self.ppid == KTHREADD
    }

    /// The program's name; of a kernel thread without the CPU and the work that the kernel puts behind it.
    pub(super) fn program(&self, pid: u32) -> &str {
        match self.name.split_once(['/', ':']) {
            Some((kind, _)) if self.is_kernel_thread(pid) => kind,
            _ => &self.name,
        }
    }

    /// As the conventions name it; two that they don't have keep a name of their own.
    pub(super) fn state_name(&self) -> &'static str {
        match self.state {
            'R' => "running",
            'T' | 't' => "stopped",
            'Z' | 'X' | 'x' => "defunct",
            'I' => "idle",
            'D' => "disk_sleep",
            _ => "sleeping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "42 (a) b (c) D 7 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 12345 1000 77 1 2 3";

    fn wanted() -> Stat {
        let name = "a) b (c".to_owned();
        Stat { name, state: 'D', ppid: 7, cpu_ticks: 300, started_ticks: 12_345, resident_pages: 77 }
    }

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        assert_eq!(Stat::parse(LINE), Some(wanted()));
        assert_eq!(Stat::parse("42 (x) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn only_a_kernel_thread_loses_what_stands_behind_its_name() {
        let named = |name: &str, ppid| Stat { name: name.to_owned(), ppid, ..wanted() };
        assert_eq!(named("kworker/0:1-events", 2).program(30), "kworker");
        assert_eq!(named("kthreadd", 0).program(2), "kthreadd");
        assert_eq!(named("nginx: worker", 1).program(30), "nginx: worker");
    }

    #[test]
    fn states_are_called_as_the_conventions_do() {
        let named = |state| Stat { state, ..wanted() }.state_name();
        assert_eq!(
            "RSDZTtXI".chars().map(named).collect::<Vec<_>>().join(" "),
            "running sleeping disk_sleep defunct stopped stopped defunct idle"
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[0-9]{0,3} ?\\(?\\PC{0,8}\\)? ?[A-Z]?( -?[0-9]{0,22}){0,24}\\PC{0,4}") {
            let _ = Stat::parse(&text);
        }
    }
}
