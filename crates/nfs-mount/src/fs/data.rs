//! Reading and writing.

use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use super::Fs;
use super::node::{Node, Uncommitted};
use super::open::OpenFile;
use crate::client::Outcome;
use crate::identity::Caller;
use crate::rpc::Patience;

/// How long a page of a mapping waits for the server, before it is kept here.
const PAGE_WAIT: Duration = Duration::from_secs(3);

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteKind {
    /// Data at its offset.
    Plain,
    /// Data at the end of the file.
    Append,
    /// A page of a mapping, or what the kernel kept for another reason.
    Page,
}

impl Fs {
    /// Reads up to `size` bytes; fewer only at the end of the file.
    pub(crate) fn read(
        &self,
        caller: Caller,
        file: &OpenFile,
        offset: u64,
        size: u32,
    ) -> Outcome<Vec<u8>> {
        let patience = Patience::of(caller);
        self.settled(&file.node, &patience, || {
            let mut data = Vec::new();
            loop {
                let left = size - u32::try_from(data.len()).unwrap_or(size).min(size);
                if left == 0 {
                    return Ok(data);
                }
                let (more, last) = self.client.read(
                    &file.who,
                    &file.node.handle(),
                    offset + data.len() as u64,
                    left.min(self.limits.read),
                    &patience,
                )?;
                let nothing = more.is_empty();
                if data.is_empty() {
                    data = more;
                } else {
                    data.extend(more);
                }
                data.truncate(size as usize);
                if last || nothing {
                    return Ok(data);
                }
            }
        })
    }

    /// Writes. What is appended goes to the end that the file has on the server: the kernel only
    /// knows the end of a moment ago, and another client may have appended since.
    pub(crate) fn write(
        &self,
        caller: Caller,
        file: &OpenFile,
        offset: u64,
        data: Arc<[u8]>,
        kind: WriteKind,
    ) -> Outcome<u32> {
        let patience = Patience::of(caller);
        if kind == WriteKind::Page && self.hard {
            return self.write_page(file, offset, data);
        }
        if data.is_empty() {
            return Ok(0);
        }
        let offset = if kind == WriteKind::Append {
            self.current(&file.node, &patience)?.size
        } else {
            offset
        };
        self.begin_write(&file.node, &patience)?;
        let result = self.write_through(file, offset, data, &patience);
        end_write(&file.node);
        if self.keeps_too_much() {
            self.commit(&file.node, &patience)?;
        }
        result
    }

    /// Writes a page of a mapping. Nobody is named as its caller, and whoever waits for it, at the
    /// latest when its process ends, can't be killed. So when the server is silent the page is kept
    /// here, as if the server had taken and lost it, and is written when the server is back.
    fn write_page(&self, file: &OpenFile, offset: u64, data: Arc<[u8]>) -> Outcome<u32> {
        let link = self.client.link();
        let patience = Patience::at_most(PAGE_WAIT);
        if !link.is_silent() {
            self.begin_write(&file.node, &Patience::endless())?;
            let result = self.write_through(file, offset, Arc::clone(&data), &patience);
            end_write(&file.node);
            match result {
                Err(Errno::EIO | Errno::ENODEV) if link.is_silent() => {}
                result => return result,
            }
        }
        while self.keeps_too_much() {
            self.commit(&file.node, &Patience::endless())?;
        }
        let count = u32::try_from(data.len()).map_err(|_| Errno::EINVAL)?;
        self.keep_data(
            &file.node,
            Uncommitted {
                number: 0,
                offset,
                data,
                verifier: None,
                who: Arc::clone(&file.who),
            },
            link.epoch(),
        );
        Ok(count)
    }

    fn begin_write(&self, node: &Node, patience: &Patience) -> Outcome<()> {
        let mut state = node.state();
        while state.replaying {
            state = self.wait_for(node, state, patience)?;
        }
        state.writing += 1;
        Ok(())
    }

    fn write_through(
        &self,
        file: &OpenFile,
        offset: u64,
        data: Arc<[u8]>,
        patience: &Patience,
    ) -> Outcome<u32> {
        let mut rest = data;
        let mut done = 0;
        loop {
            let epoch = self.client.link().epoch();
            let at = offset + u64::from(done);
            let piece = self.piece(&rest);
            let written = match self.client.write(
                &file.who,
                &file.node.handle(),
                at,
                &piece,
                file.sync,
                patience,
            ) {
                Ok(written) if written.count > 0 => written,
                Ok(_) => return partly(done, Errno::EIO),
                Err(fault) => return partly(done, fault.errno()),
            };
            let count = written.count as usize;
            if !written.stable {
                let data = if count == piece.len() {
                    piece
                } else {
                    Arc::from(&piece[..count])
                };
                self.keep_data(
                    &file.node,
                    Uncommitted {
                        number: 0,
                        offset: at,
                        data,
                        verifier: Some(written.verifier),
                        who: Arc::clone(&file.who),
                    },
                    epoch,
                );
            }
            done += written.count;
            if count == rest.len() {
                return Ok(done);
            }
            rest = Arc::from(&rest[count..]);
        }
    }

    /// What is sent at once.
    fn piece(&self, data: &Arc<[u8]>) -> Arc<[u8]> {
        let most = self.limits.write as usize;
        if data.len() <= most {
            Arc::clone(data)
        } else {
            Arc::from(&data[..most])
        }
    }
}

fn end_write(node: &Node) {
    let mut state = node.state();
    state.writing -= 1;
    let last = state.writing == 0 && state.replaying;
    drop(state);
    if last {
        node.notify();
    }
}

/// What was written before an error counts; the error comes with the next try.
fn partly(done: u32, errno: Errno) -> Outcome<u32> {
    if done > 0 { Ok(done) } else { Err(errno) }
}
