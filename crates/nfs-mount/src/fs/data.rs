//! Reading and writing.

use std::sync::Arc;

use nix::errno::Errno;

use super::Fs;
use super::node::{Node, Uncommitted};
use super::open::OpenFile;
use crate::client::Outcome;
use crate::identity::Caller;
use crate::rpc::Patience;

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

    /// Writes. With `append`, at the end that the file has on the server: the kernel only knows
    /// the end of a moment ago, and another client may have appended since.
    pub(crate) fn write(
        &self,
        caller: Caller,
        file: &OpenFile,
        offset: u64,
        data: Arc<[u8]>,
        append: bool,
    ) -> Outcome<u32> {
        let patience = Patience::of(caller);
        if data.is_empty() {
            return Ok(0);
        }
        let offset = if append {
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
                        verifier: written.verifier,
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
