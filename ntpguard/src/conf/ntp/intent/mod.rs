//! What an ntp.conf was probably meant to say where it says something else.

pub(super) mod grammar;
pub(super) mod hints;
pub(super) mod template;
