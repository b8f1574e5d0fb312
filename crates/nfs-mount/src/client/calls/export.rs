//! Calls about the export as a whole.

use std::time::Duration;

use nfs3_types::nfs3::{
    FSINFO3args, FSINFO3resfail, FSINFO3resok, FSSTAT3args, FSSTAT3resfail, FSSTAT3resok,
    NFS_PROGRAM, PATHCONF3args, PATHCONF3resfail, PATHCONF3resok, PROGRAM, VERSION,
};
use nfs3_types::xdr_codec::Void;

use super::{Client, Fault, Outcome};
use crate::client::setup::Limits;
use crate::options::Options;
use crate::rpc::{Message, Patience};

impl Client {
    /// Whether the server answers at all.
    pub(crate) fn ping(&self, limit: Duration) -> bool {
        let xid = self.link.next_xid();
        Message::new(xid, (PROGRAM, VERSION, 0), &self.anybody, &Void).is_ok_and(|message| {
            self.link
                .call(xid, &message, &Patience::at_most(limit))
                .is_ok()
        })
    }

    /// FSSTAT.
    pub(crate) fn space(&self, patience: &Patience) -> Outcome<FSSTAT3resok> {
        self.exchange::<_, FSSTAT3resfail>(
            NFS_PROGRAM::NFSPROC3_FSSTAT,
            &self.anybody,
            &FSSTAT3args {
                fsroot: self.root(),
            },
            patience,
        )
        .map_err(Fault::errno)
    }

    /// FSINFO and PATHCONF: what the server allows, within what was asked for.
    pub(crate) fn limits(&self, options: &Options, patience: &Patience) -> Outcome<Limits> {
        let info: FSINFO3resok = self
            .exchange::<_, FSINFO3resfail>(
                NFS_PROGRAM::NFSPROC3_FSINFO,
                &self.anybody,
                &FSINFO3args {
                    fsroot: self.root(),
                },
                patience,
            )
            .map_err(Fault::errno)?;
        let names = self.exchange::<PATHCONF3resok, PATHCONF3resfail>(
            NFS_PROGRAM::NFSPROC3_PATHCONF,
            &self.anybody,
            &PATHCONF3args {
                object: self.root(),
            },
            patience,
        );
        Ok(Limits {
            read: bounded(options.read_size, info.rtmax),
            write: bounded(options.write_size, info.wtmax),
            name: names.map_or(255, |names| names.name_max.clamp(1, 1024)),
        })
    }
}

/// A size within what the server allows; some say 0 where they mean that they don't mind.
fn bounded(wanted: u32, allowed: u32) -> u32 {
    if allowed == 0 {
        wanted
    } else {
        wanted.min(allowed)
    }
}
