//! One process by `/proc/PID/stat`, which tells at once what most other files of it tell one by one.

use super::{ParseFault, number};

/// Parent of all kernel threads.
const KTHREADD: u32 = 2;

/// What [proc_pid_stat(5)](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html) says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    /// At most 15 bytes, as the kernel cuts it; longer for kernel threads.
    pub(crate) name: String,
    /// `R`, `S`, `D` and others.
    pub(crate) state: char,
    pub(crate) ppid: u32,
    /// In user mode, in the kernel's ticks.
    pub(crate) user_ticks: u64,
    /// In kernel mode.
    pub(crate) system_ticks: u64,
    pub(crate) threads: u64,
    /// Since the machine's boot.
    pub(crate) started_ticks: u64,
    pub(crate) resident_pages: u64,
}

impl ProcessStat {
    /// Pure. The name stands in parentheses and may itself hold any of them and spaces: the last one ends it.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseFault> {
        let line = text.trim_end();
        let (start, rest) =
            line.rsplit_once(')').ok_or_else(|| ParseFault::at(0, line, "no command in parentheses"))?;
        let (_, name) = start.split_once('(').ok_or_else(|| ParseFault::at(0, line, "no command in parentheses"))?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next().and_then(|it| it.chars().next());
        // Numbers are those of the manual, which counts the process id as 1 and the state as 3.
        let mut taken = 3;
        let mut field = |wanted: usize| {
            let found = fields.nth(wanted - taken - 1);
            taken = wanted;
            number(0, line, found)
        };
        Ok(Self {
            name: name.to_owned(),
            state: state.ok_or_else(|| ParseFault::at(0, line, "no state"))?,
            ppid: u32::try_from(field(4)?).map_err(|_| ParseFault::at(0, line, "no process id of a parent"))?,
            user_ticks: field(14)?,
            system_ticks: field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }

    /// In user and in kernel mode together.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        self.user_ticks.saturating_add(self.system_ticks)
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

/// What the kernel counts in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelUnits {
    pub(crate) ticks_per_second: u64,
    pub(crate) page_bytes: u64,
}

impl KernelUnits {
    pub(crate) fn of_this_kernel() -> Self {
        Self {
            ticks_per_second: rustix::param::clock_ticks_per_second(),
            page_bytes: rustix::param::page_size() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "42 (a) b (c) D 7 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 12345 1000 77 1 2 3";

    fn wanted() -> ProcessStat {
        let name = "a) b (c".to_owned();
        ProcessStat {
            name,
            state: 'D',
            ppid: 7,
            user_ticks: 250,
            system_ticks: 50,
            threads: 1,
            started_ticks: 12_345,
            resident_pages: 77,
        }
    }

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        assert_eq!(ProcessStat::parse(LINE), Ok(wanted()));
        assert_eq!(wanted().cpu_ticks(), 300);
        assert!(ProcessStat::parse("42 (x) S 1").is_err());
        assert!(ProcessStat::parse("1 (x) R 1").is_err());
        assert!(ProcessStat::parse("").is_err());
    }

    #[test]
    fn only_a_kernel_thread_loses_what_stands_behind_its_name() {
        let named = |name: &str, ppid| ProcessStat { name: name.to_owned(), ppid, ..wanted() };
        assert_eq!(named("kworker/0:1-events", 2).program(30), "kworker");
        assert_eq!(named("kthreadd", 0).program(2), "kthreadd");
        assert_eq!(named("nginx: worker", 1).program(30), "nginx: worker");
    }

    #[test]
    fn states_are_called_as_the_conventions_do() {
        let named = |state| ProcessStat { state, ..wanted() }.state_name();
        assert_eq!(
            "RSDZTtXI".chars().map(named).collect::<Vec<_>>().join(" "),
            "running sleeping disk_sleep defunct stopped stopped defunct idle"
        );
    }

    proptest! {
        #[test]
        fn parsing_any_line_never_panics(text in "\\PC{0,10}\\)?[0-9 ]{0,120}") {
            let _ = ProcessStat::parse(&text);
        }

        #[test]
        fn parsing_never_panics(text in "[0-9]{0,3} ?\\(?\\PC{0,8}\\)? ?[A-Z]?( -?[0-9]{0,22}){0,24}\\PC{0,4}") {
            let _ = ProcessStat::parse(&text);
        }
    }
}
