//! The system calls that have no safe wrapper. The only module of this crate's process side with `unsafe`.

use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid, fork};

/// Splits this process in two; `None` in the child. The caller must be single-threaded, so that no lock is held by a
/// thread that the child does not have.
pub(crate) fn fork_single_threaded() -> nix::Result<Option<Pid>> {
    // SAFETY: the shim starts no thread (it refuses to run when it finds more than one), so the child is an exact
    // copy in which every lock is free, and it may run ordinary code.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

extern "C" fn pay_no_heed(_signal: libc::c_int) {}

/// Makes this process deaf to `signal` without making the programs it executes deaf too: a handler, unlike
/// `SIG_IGN`, does not survive `execve`.
pub(crate) fn disregard(signal: Signal) -> nix::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(pay_no_heed),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing, which is async-signal-safe.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// Gives `signal` its default effect again. Rust's start-up ignores SIGPIPE, and that would be inherited.
pub(crate) fn restore_default(signal: Signal) -> nix::Result<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// Sets the loopback interface of the current network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: `ifreq` is plain old data for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = from.cast_signed();
    }
    // SAFETY: both calls get a valid socket and a pointer to an `ifreq` that outlives them; SIOCGIFFLAGS fills
    // `ifru_flags`, which is then the active member of the union.
    unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Sends any signal, real-time ones too, to a process whose number cannot have been given away: a child not yet
/// waited for.
pub(crate) fn kill_child(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::kill(pid, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
