//! Which allocator a process of this binary has. The server allocates all the time and from several threads, which
//! mimalloc does a third faster than the system's allocator (bench, pod creates); a shim allocates next to nothing,
//! and there are as many of them as there are pods, so it has the system's, which takes fewer pages to begin with.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use mimalloc::MiMalloc;

/// Set before the first allocation and never again, so that memory goes back to where it came from.
static IS_SHIM: AtomicBool = AtomicBool::new(false);

struct ByRole;

#[global_allocator]
static ALLOCATOR: ByRole = ByRole;

// SAFETY: every call goes to one allocator that keeps the contract, always the same in a process.
unsafe impl GlobalAlloc for ByRole {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_SHIM.load(Ordering::Relaxed) {
            // SAFETY: the caller's promises are passed on.
            unsafe { System.alloc(layout) }
        } else {
            // SAFETY: as above.
            unsafe { MiMalloc.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if IS_SHIM.load(Ordering::Relaxed) {
            // SAFETY: as above.
            unsafe { System.alloc_zeroed(layout) }
        } else {
            // SAFETY: as above.
            unsafe { MiMalloc.alloc_zeroed(layout) }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if IS_SHIM.load(Ordering::Relaxed) {
            // SAFETY: as above.
            unsafe { System.realloc(memory, layout, size) }
        } else {
            // SAFETY: as above.
            unsafe { MiMalloc.realloc(memory, layout, size) }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if IS_SHIM.load(Ordering::Relaxed) {
            // SAFETY: as above.
            unsafe { System.dealloc(memory, layout) }
        } else {
            // SAFETY: as above.
            unsafe { MiMalloc.dealloc(memory, layout) }
        }
    }
}

/// Runs before `main` and before anything allocates; glibc hands the arguments to such functions.
#[used]
#[unsafe(link_section = ".init_array")]
static DECIDE: extern "C" fn(c_int, *const *const c_char) = decide;

extern "C" fn decide(count: c_int, arguments: *const *const c_char) {
    if count < 2 {
        return;
    }
    // SAFETY: glibc passes main's arguments, of which there are `count`, each a C string.
    let first = unsafe { CStr::from_ptr(*arguments.add(1)) };
    if first == c"shim" {
        IS_SHIM.store(true, Ordering::Relaxed);
    }
}
