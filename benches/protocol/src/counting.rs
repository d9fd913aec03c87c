//! Counts allocations. A program that wants to know makes this its allocator, which
//! takes `unsafe`; so the counting is a maintained crate's.

use stats_alloc::{Region, StatsAlloc};

/// Allocations and bytes allocated while something runs.
pub fn allocations<A: std::alloc::GlobalAlloc>(
    of: &StatsAlloc<A>,
    work: impl FnOnce(),
) -> (usize, usize) {
    let region = Region::new(of);
    work();
    let change = region.change();
    (
        change.allocations + change.reallocations,
        change.bytes_allocated,
    )
}

/// Bytes that something leaves allocated; negative if it frees more.
pub fn kept<A: std::alloc::GlobalAlloc>(of: &StatsAlloc<A>, work: impl FnOnce()) -> isize {
    let region = Region::new(of);
    work();
    let change = region.change();
    change
        .bytes_allocated
        .wrapping_sub(change.bytes_deallocated) as isize
}
