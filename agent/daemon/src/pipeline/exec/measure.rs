//! What the command and its descendants used, as the kernel tells when it has ended.
//!
//! CPU time (`wait4`) is exact to the microsecond and covers every descendant that was waited for. Peak memory is that of the
//! largest single process among them, not their sum. Between `fork` and `exec` a child is counted with the memory of this
//! program, so that a peak not clearly above it cannot be told: it is absent then, with the bound beside it. Block I/O is what the
//! kernel counted towards devices (`/proc/self/io`, into which a child's part goes when it is waited for); absent on
//! kernels without it.

use std::time::Duration;

use wait4::ResourceUsage;

/// What has to be known before the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    io: Option<BlockIo>,
}

/// The kernel counts resident memory in batches; figures closer than this are not told apart.
const PEAK_MARGIN_BYTES: u64 = 1 << 20;

/// What one command used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    /// User and system time.
    pub(super) cpu: Duration,
    /// Peak resident memory of the largest process.
    pub(super) peak_memory_bytes: Option<u64>,
    /// When the peak cannot be told: it was not more than this.
    pub(super) peak_memory_below: Option<u64>,
    /// Read from block devices.
    pub(super) read_bytes: Option<u64>,
    /// Written to block devices.
    pub(super) written_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BlockIo {
    read: u64,
    written: u64,
}

impl Before {
    /// The totals at this moment.
    pub(super) fn now() -> Self {
        Self { io: block_io() }
    }

    /// What the command used, once it has been waited for.
    pub(super) fn used(&self, usage: &ResourceUsage) -> Used {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        // This program's peak by now is at least what it was at the start of the command.
        let own_peak_bytes = field(&status, "VmHWM:").map(|kib| kib.saturating_mul(1024));
        self.until(usage, own_peak_bytes, block_io())
    }

    fn until(&self, usage: &ResourceUsage, own_peak_bytes: Option<u64>, io: Option<BlockIo>) -> Used {
        let told = own_peak_bytes.is_some_and(|own| usage.maxrss > own + PEAK_MARGIN_BYTES);
        let io = self.io.zip(io);
        Used {
            cpu: usage.utime + usage.stime,
            peak_memory_bytes: told.then_some(usage.maxrss),
            peak_memory_below: (!told && usage.maxrss > 0).then_some(usage.maxrss),
            read_bytes: io.map(|(before, after)| after.read.saturating_sub(before.read)),
            written_bytes: io.map(|(before, after)| after.written.saturating_sub(before.written)),
        }
    }
}

fn block_io() -> Option<BlockIo> {
    parse_io(&std::fs::read_to_string("/proc/self/io").ok()?)
}

/// Pure.
fn parse_io(text: &str) -> Option<BlockIo> {
    Some(BlockIo { read: field(text, "read_bytes:")?, written: field(text, "write_bytes:")? })
}

/// The first number of the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn usage(maxrss: u64) -> ResourceUsage {
        ResourceUsage { utime: Duration::from_millis(200), stime: Duration::from_millis(50), maxrss }
    }

    #[test]
    fn io_is_what_was_added_since_the_start() {
        let io = |read, written| Some(BlockIo { read, written });
        let used = Before { io: io(100, 7) }.until(&usage(80 * MIB), Some(50 * MIB), io(612, 7));
        assert_eq!(used.cpu, Duration::from_millis(250));
        assert_eq!((used.peak_memory_bytes, used.peak_memory_below), (Some(80 * MIB), None));
        assert_eq!((used.read_bytes, used.written_bytes), (Some(512), Some(0)));
    }

    #[test]
    fn a_peak_not_above_this_programs_own_is_a_bound_and_no_figure() {
        for own in [Some(79 * MIB), Some(90 * MIB), None] {
            let used = Before::default().until(&usage(80 * MIB), own, None);
            assert_eq!((used.peak_memory_bytes, used.peak_memory_below), (None, Some(80 * MIB)), "{own:?}");
        }
        let used = Before::default().until(&usage(0), Some(MIB), None);
        assert_eq!((used.peak_memory_bytes, used.peak_memory_below), (None, None));
    }

    #[test]
    fn without_accounting_there_is_no_io_figure() {
        let text = "rchar: 1\nread_bytes: 4096\nwrite_bytes: 512\ncancelled_write_bytes: 0\n";
        assert_eq!(parse_io(text), Some(BlockIo { read: 4096, written: 512 }));
        assert_eq!(parse_io("rchar: 1\n"), None);
        let used = Before { io: parse_io(text) }.until(&usage(0), None, None);
        assert_eq!((used.read_bytes, used.written_bytes), (None, None));
    }
}
