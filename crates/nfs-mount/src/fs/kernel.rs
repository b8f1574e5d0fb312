//! The kernel's requests, as `fuser` hands them over.
//!
//! One thread takes them in order. What only counts is done there and then; everything that asks
//! the server goes to a thread of its own, so that a slow call holds up nobody else.
//!
//! It is long because a trait's functions stand in one place, and there is one for each request.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek,
    ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::Fs;
use super::attributes::BLOCK;
use super::changes::Changes;
use super::data::WriteKind;
use super::names::Told;
use crate::client::Outcome;
use crate::identity::Caller;

/// How many requests the kernel sends without a caller waiting for each, such as read-ahead.
const BACKGROUND: u16 = 64;

/// The file system for `fuser`.
pub(crate) struct Kernel(pub(crate) Arc<Fs>);

fn caller(request: &Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
        pid: request.pid(),
    }
}

fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

impl Kernel {
    fn run(&self, job: impl FnOnce(&Arc<Fs>) + Send + 'static) {
        let fs = Arc::clone(&self.0);
        self.0.workers.run(move || job(&fs));
    }
}

fn entry(fs: &Fs, reply: ReplyEntry, result: Outcome<Told>) {
    match result {
        Ok(told) => reply.entry_with_ttls(
            &fs.attributes_last,
            &Duration::ZERO,
            &told.attributes,
            Generation(told.generation),
        ),
        Err(error) => reply.error(errno(error)),
    }
}

fn empty(reply: ReplyEmpty, result: Outcome<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

fn data(reply: ReplyData, result: Outcome<Vec<u8>>) {
    match result {
        Ok(bytes) => reply.data(&bytes),
        Err(error) => reply.error(errno(error)),
    }
}

impl Filesystem for Kernel {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Pages are dropped when size or time of a file differ; lookups don't wait for each other;
        // set-id bits are the server's business.
        for wanted in [
            InitFlags::FUSE_AUTO_INVAL_DATA,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_HANDLE_KILLPRIV,
            InitFlags::FUSE_ASYNC_DIO,
        ] {
            if config.add_capabilities(wanted).is_err() {
                tracing::debug!(?wanted, "kernel does not have it");
            }
        }
        // Both fail only beyond what is possible, which leaves the default.
        let _ = config.set_max_write(self.0.limits.write);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (caller, name) = (caller(request), name.as_bytes().to_vec());
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(parent.0)
                .and_then(|parent| fs.lookup(caller, &parent, &name));
            entry(fs, reply, result);
        });
    }

    fn forget(&self, _request: &Request, ino: INodeNo, nlookup: u64) {
        self.0.nodes.forget(ino.0, nlookup);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(ino.0)
                .and_then(|node| fs.get_attributes(caller, &node));
            match result {
                Ok(attributes) => reply.attr(&fs.attributes_last, &attributes),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let caller = caller(request);
        let changes = Changes {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
        };
        self.run(move |fs| {
            let file = fh.and_then(|number| fs.file(number.0).ok());
            let result = fs
                .nodes
                .get(ino.0)
                .and_then(|node| fs.change(caller, &node, &changes, file.as_deref()));
            match result {
                Ok(attributes) => reply.attr(&fs.attributes_last, &attributes),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(ino.0)
                .and_then(|node| fs.read_link(caller, &node));
            data(reply, result);
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let (caller, name) = (caller(request), name.as_bytes().to_vec());
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(parent.0)
                .and_then(|parent| fs.make_special(caller, &parent, &name, mode, rdev));
            entry(fs, reply, result);
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let (caller, name) = (caller(request), name.as_bytes().to_vec());
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(parent.0)
                .and_then(|parent| fs.make_directory(caller, &parent, &name, mode));
            entry(fs, reply, result);
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, name) = (caller(request), name.as_bytes().to_vec());
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(parent.0)
                .and_then(|parent| fs.unlink(caller, &parent, &name));
            empty(reply, result);
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, name) = (caller(request), name.as_bytes().to_vec());
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(parent.0)
                .and_then(|parent| fs.remove_directory(caller, &parent, &name));
            empty(reply, result);
        });
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let (caller, name) = (caller(request), link_name.as_bytes().to_vec());
        let target = target.as_os_str().as_bytes().to_vec();
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(parent.0)
                .and_then(|parent| fs.make_symlink(caller, &parent, &name, &target));
            entry(fs, reply, result);
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        // The protocol has no word for "don't replace" or "exchange".
        if !flags.is_empty() {
            reply.error(errno(Errno::EINVAL));
            return;
        }
        let caller = caller(request);
        let (from, to) = (name.as_bytes().to_vec(), newname.as_bytes().to_vec());
        self.run(move |fs| {
            let result = fs.nodes.get(parent.0).and_then(|from_parent| {
                let to_parent = fs.nodes.get(newparent.0)?;
                fs.rename(caller, (&from_parent, &from), (&to_parent, &to))
            });
            empty(reply, result);
        });
    }

    fn link(
        &self,
        request: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let (caller, name) = (caller(request), newname.as_bytes().to_vec());
        self.run(move |fs| {
            let result = fs.nodes.get(ino.0).and_then(|node| {
                let parent = fs.nodes.get(newparent.0)?;
                fs.link(caller, &node, &parent, &name)
            });
            entry(fs, reply, result);
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(ino.0)
                .and_then(|node| fs.open(caller, &node, flags));
            match result {
                Ok((number, told)) => reply.opened(FileHandle(number), told),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn read(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs
                .file(fh.0)
                .and_then(|file| fs.read(caller, &file, offset, size));
            data(reply, result);
        });
    }

    fn write(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (caller, data): (_, Arc<[u8]>) = (caller(request), Arc::from(data));
        // Pages of a mapping have their place, whatever the flags of the file.
        let kind = if write_flags.contains(WriteFlags::FUSE_WRITE_CACHE) {
            WriteKind::Page
        } else if flags.0 & OFlag::O_APPEND.bits() != 0 {
            WriteKind::Append
        } else {
            WriteKind::Plain
        };
        self.run(move |fs| {
            let result = fs
                .file(fh.0)
                .and_then(|file| fs.write(caller, &file, offset, data, kind));
            match result {
                Ok(count) => reply.written(count),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn flush(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs.file(fh.0).and_then(|file| fs.flush(caller, &file));
            empty(reply, result);
        });
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        // Counted here, in the order of requests: a following UNLINK must see it.
        let file = self.0.close(fh.0);
        reply.ok();
        if let Some(file) = file {
            self.run(move |fs| fs.closed(&file));
        }
    }

    fn fsync(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs.file(fh.0).and_then(|file| fs.sync(caller, &file));
            empty(reply, result);
        });
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(ino.0)
                .and_then(|node| fs.open_directory(caller, &node));
            match result {
                Ok(number) => reply.opened(FileHandle(number), FopenFlags::empty()),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn readdir(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs.directory(fh.0).and_then(|directory| {
                fs.read_directory(caller, &directory, offset, |number, next, kind, name| {
                    reply.add(INodeNo(number), next, kind, OsStr::from_bytes(name))
                })
            });
            match result {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.close_directory(fh.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        // Changes of names are stable before their replies (RFC 1813, section 4.8).
        reply.ok();
    }

    fn statfs(&self, request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let caller = caller(request);
        self.run(move |fs| match fs.space(caller) {
            Ok(space) => reply.statfs(
                space.blocks,
                space.free,
                space.available,
                space.objects,
                space.objects_free,
                BLOCK,
                space.name,
                BLOCK,
            ),
            Err(error) => reply.error(errno(error)),
        });
    }

    fn access(&self, request: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let caller = caller(request);
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(ino.0)
                .and_then(|node| fs.access(caller, &node, mask.bits()));
            empty(reply, result);
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (caller, name) = (caller(request), name.as_bytes().to_vec());
        self.run(move |fs| {
            let result = fs
                .nodes
                .get(parent.0)
                .and_then(|parent| fs.create(caller, &parent, &name, mode, OpenFlags(flags)));
            match result {
                Ok((told, number, opened)) => reply.created(
                    // For the name as well as the attributes.
                    &Duration::ZERO,
                    &told.attributes,
                    Generation(told.generation),
                    FileHandle(number),
                    opened,
                ),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    // What the protocol has no word for. The kernel is told once, answers EOPNOTSUPP by itself or
    // finds another way from then on.

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(errno(Errno::ENOSYS));
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(errno(Errno::ENOSYS));
    }

    fn setxattr(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(errno(Errno::ENOSYS));
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(errno(Errno::ENOSYS));
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(errno(Errno::ENOSYS));
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        reply.error(errno(Errno::ENOSYS));
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(errno(Errno::ENOSYS));
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(errno(Errno::ENOTTY));
    }
}
