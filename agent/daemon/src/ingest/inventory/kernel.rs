//! `/proc/modules`. Pure.

use holdfast_core::model::Items;

use super::item;

/// Why a module of the kernel's own may come at any time.
const OWN: &str = "it is one of the kernel's own modules, loaded when something needs it";
/// What taints the kernel (admin-guide/tainted-kernels): proprietary, forced, out of tree, unsigned.
const TAINTS: [char; 4] = ['P', 'F', 'O', 'E'];

/// Modules by name: `in-tree`, or `taints OE`. Size, users and addresses change by themselves.
pub(super) fn modules(text: &str) -> Items {
    let line = |line: &str| {
        let name = line.split(' ').next().filter(|it| !it.is_empty())?;
        let taints: String = line.rsplit_once(" (").map_or("", |(_, it)| it).matches(TAINTS).collect();
        let found = if taints.is_empty() {
            let mut own = item("in-tree".to_owned());
            own.stated_by = Some(OWN.to_owned());
            own
        } else {
            item(format!("taints {taints}"))
        };
        Some((name.to_owned(), found))
    };
    text.lines().filter_map(line).collect()
}
