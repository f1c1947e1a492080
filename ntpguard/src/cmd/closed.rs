//! Standard output whose reader has closed it.

use std::io;

/// EPIPE on standard output is success.
pub(super) fn until_closed(shown: anyhow::Result<()>) -> anyhow::Result<()> {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    shown.or_else(|error| match error.downcast_ref::<io::Error>() {
        Some(io) if closed(io) => Ok(()),
        _ => Err(error),
    })
}
