//! Two clocks: the wall's, and one that only goes forward.

use crate::bindings::host::clock as wire;

/// Now, in nanoseconds since the Unix epoch.
///
/// ```
/// use holdfast_plugin_sdk::host::clock;
///
/// /// Pure: time comes in.
/// fn is_old(changed_ns: u64, now_ns: u64) -> bool {
///     now_ns.saturating_sub(changed_ns) > 86_400_000_000_000
/// }
///
/// fn asks_the_host(changed_ns: u64) -> bool {
///     is_old(changed_ns, clock::now_ns())
/// }
/// assert!(is_old(0, 2 * 86_400_000_000_000) && !is_old(5, 0));
/// # let _ = asks_the_host;
/// ```
pub fn now_ns() -> u64 {
    wire::now()
}

/// Nanoseconds since some moment of this call; for elapsed time.
///
/// ```
/// use holdfast_plugin_sdk::host::clock;
///
/// /// Calls until the time that a call may take is nearly over; what is left waits for the next run.
/// fn within<T>(span_ns: u64, all: &[T], each: &mut dyn FnMut(&T)) -> usize {
///     let started = clock::monotonic_ns();
///     all.iter().take_while(|_| clock::monotonic_ns() - started < span_ns).map(|it| each(it)).count()
/// }
/// # let _ = within::<u8>; // asks the host
/// ```
pub fn monotonic_ns() -> u64 {
    wire::monotonic()
}
