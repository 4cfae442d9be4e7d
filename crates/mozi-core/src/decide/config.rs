//! The configuration file was read again: nothing on the board changes, but everybody may know.

use super::{About, Desk};
use crate::{change::Reply, command::ConfigRead, event::EventKind, refusal::Refusal};

pub(super) fn read(d: &mut Desk<'_>, read: &ConfigRead) -> Result<Reply, Refusal> {
    d.admin()?;
    let actor = d.actor();
    let kind = match read.clone() {
        ConfigRead::Taken { added, removed, changed, needs_restart } => {
            EventKind::ConfigReloaded { added, removed, changed, needs_restart }
        }
        ConfigRead::Refused { text } => EventKind::ConfigRefused { text },
    };
    d.emit(About::default(), actor, kind);
    Ok(Reply::Config(read.clone()))
}
