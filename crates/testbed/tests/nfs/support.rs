//! An export in a temporary directory and a client that speaks each procedure.

use std::path::PathBuf;

use camino::Utf8PathBuf;
use nfs3_client::tokio::{TokioConnector, TokioIo};
use nfs3_client::{Nfs3Connection, Nfs3ConnectionBuilder};
use nfs3_types::nfs3::*;
use nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_types::xdr_codec::Opaque;
use tempfile::TempDir;
use testbed::nfs::embedded::KeptPort;
use testbed::nfs::{EmbeddedExport, ExportOptions, ExportView};
use tokio::net::TcpStream;

pub(crate) type Reply<T> = Result<T, nfsstat3>;

pub(crate) struct Export {
    pub(crate) server: EmbeddedExport,
    port: KeptPort,
    directory: TempDir,
}

impl Export {
    pub(crate) async fn start() -> Self {
        Self::with(false).await
    }

    pub(crate) async fn with(root_squash: bool) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let port = KeptPort::any().expect("a port");
        let server = EmbeddedExport::start(options(&directory, root_squash, &port))
            .await
            .expect("an export");
        Self {
            server,
            port,
            directory,
        }
    }

    pub(crate) async fn hooked(hook: std::sync::Arc<dyn testbed::nfs::embedded::CallHook>) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let port = KeptPort::any().expect("a port");
        let options = options(&directory, false, &port);
        let server = EmbeddedExport::start_with_hook(options, hook)
            .await
            .expect("an export");
        Self {
            server,
            port,
            directory,
        }
    }

    /// Stops the server and starts another one over the same directory at the same port.
    pub(crate) async fn restart(self) -> Self {
        self.server.stop().await;
        let server = EmbeddedExport::start(options(&self.directory, false, &self.port))
            .await
            .expect("an export");
        Self { server, ..self }
    }

    /// A path in the directory itself, behind the server's back.
    pub(crate) fn local(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// A place outside of the export on the same file system.
    pub(crate) fn outside(&self) -> TempDir {
        TempDir::new_in(self.directory.path().parent().expect("a parent"))
            .expect("a temporary directory")
    }

    pub(crate) fn view(&self) -> ExportView {
        ExportView::new(self.server.info())
    }

    pub(crate) async fn root(&self) -> Client {
        self.user(0, 0, &[]).await
    }

    pub(crate) async fn user(&self, uid: u32, gid: u32, groups: &[u32]) -> Client {
        let credential = opaque_auth::auth_unix(&auth_unix {
            stamp: 1,
            machinename: Opaque::borrowed(b"test"),
            uid,
            gid,
            gids: groups.to_vec(),
        });
        self.mount("/export", credential).await
    }

    pub(crate) async fn mount(&self, path: &str, credential: opaque_auth<'static>) -> Client {
        let connection = Nfs3ConnectionBuilder::new(TokioConnector, "127.0.0.1", path)
            .mount_port(self.server.port())
            .nfs3_port(self.server.port())
            .connect_from_privileged_port(false)
            .credential(credential)
            .mount()
            .await
            .expect("a mount");
        Client {
            top: connection.root_nfs_fh3(),
            connection,
        }
    }
}

fn options(directory: &TempDir, root_squash: bool, port: &KeptPort) -> ExportOptions {
    ExportOptions {
        directory: Utf8PathBuf::from_path_buf(directory.path().to_owned()).expect("UTF-8"),
        export_path: "/export".to_owned(),
        bind: port.address(),
        root_squash,
    }
}

pub(crate) struct Client {
    pub(crate) top: nfs_fh3,
    pub(crate) connection: Nfs3Connection<TokioIo<TcpStream>>,
}

pub(crate) fn some<T: nfs3_types::xdr_codec::Pack + nfs3_types::xdr_codec::Unpack>(
    option: Nfs3Option<T>,
) -> Option<T> {
    match option {
        Nfs3Option::Some(value) => Some(value),
        Nfs3Option::None => None,
    }
}

pub(crate) fn mode(mode: u32) -> sattr3 {
    sattr3 {
        mode: Nfs3Option::Some(mode),
        ..sattr3::default()
    }
}

pub(crate) fn size(size: u64) -> sattr3 {
    sattr3 {
        size: Nfs3Option::Some(size),
        ..sattr3::default()
    }
}

pub(crate) fn owner(uid: Option<u32>, gid: Option<u32>) -> sattr3 {
    let option = |id: Option<u32>| id.map_or(Nfs3Option::None, Nfs3Option::Some);
    sattr3 {
        uid: option(uid),
        gid: option(gid),
        ..sattr3::default()
    }
}

fn at<'a>(dir: &nfs_fh3, name: &'a str) -> diropargs3<'a> {
    diropargs3 {
        dir: dir.clone(),
        name: filename3::from(name.as_bytes()),
    }
}

fn result<T, E>(result: Nfs3Result<T, E>) -> Reply<T> {
    match result {
        Nfs3Result::Ok(value) => Ok(value),
        Nfs3Result::Err((status, _)) => Err(status),
    }
}

const ANSWERED: &str = "the call is answered";

impl Client {
    pub(crate) async fn getattr(&mut self, object: &nfs_fh3) -> Reply<fattr3> {
        let object = object.clone();
        let reply = self.connection.getattr(&GETATTR3args { object }).await;
        result(reply.expect(ANSWERED)).map(|ok| ok.obj_attributes)
    }

    pub(crate) async fn setattr(&mut self, object: &nfs_fh3, new: sattr3) -> Reply<wcc_data> {
        self.setattr_guarded(object, new, Nfs3Option::None).await
    }

    pub(crate) async fn setattr_guarded(
        &mut self,
        object: &nfs_fh3,
        new_attributes: sattr3,
        guard: sattrguard3,
    ) -> Reply<wcc_data> {
        let object = object.clone();
        let args = SETATTR3args {
            object,
            new_attributes,
            guard,
        };
        let reply = self.connection.setattr(&args).await;
        result(reply.expect(ANSWERED)).map(|ok| ok.obj_wcc)
    }

    pub(crate) async fn lookup(&mut self, dir: &nfs_fh3, name: &str) -> Reply<nfs_fh3> {
        let what = at(dir, name);
        let reply = self.connection.lookup(&LOOKUP3args { what }).await;
        result(reply.expect(ANSWERED)).map(|ok| ok.object)
    }

    pub(crate) async fn access(&mut self, object: &nfs_fh3) -> Reply<u32> {
        let object = object.clone();
        let access = 0x3f;
        let reply = self
            .connection
            .access(&ACCESS3args { object, access })
            .await;
        result(reply.expect(ANSWERED)).map(|ok| ok.access)
    }

    pub(crate) async fn readlink(&mut self, link: &nfs_fh3) -> Reply<Vec<u8>> {
        let symlink = link.clone();
        let reply = self.connection.readlink(&READLINK3args { symlink }).await;
        result(reply.expect(ANSWERED)).map(|ok| ok.data.0.into_owned())
    }

    pub(crate) async fn read(
        &mut self,
        file: &nfs_fh3,
        offset: u64,
        count: u32,
    ) -> Reply<(Vec<u8>, bool)> {
        let file = file.clone();
        let args = READ3args {
            file,
            offset,
            count,
        };
        let reply = self.connection.read(&args).await;
        result(reply.expect(ANSWERED)).map(|ok| (ok.data.into_owned(), ok.eof))
    }

    pub(crate) async fn write(
        &mut self,
        file: &nfs_fh3,
        offset: u64,
        data: &[u8],
    ) -> Reply<WRITE3resok> {
        self.write_stable(file, offset, data, stable_how::FILE_SYNC)
            .await
    }

    pub(crate) async fn write_stable(
        &mut self,
        file: &nfs_fh3,
        offset: u64,
        data: &[u8],
        stable: stable_how,
    ) -> Reply<WRITE3resok> {
        let args = WRITE3args {
            file: file.clone(),
            offset,
            count: u32::try_from(data.len()).expect("a small write"),
            stable,
            data: Opaque::borrowed(data),
        };
        result(self.connection.write(&args).await.expect(ANSWERED))
    }

    pub(crate) async fn create_how(
        &mut self,
        dir: &nfs_fh3,
        name: &str,
        how: createhow3,
    ) -> Reply<nfs_fh3> {
        let where_ = at(dir, name);
        let reply = self.connection.create(&CREATE3args { where_, how }).await;
        result(reply.expect(ANSWERED)).map(|ok| some(ok.obj).expect("a handle"))
    }

    pub(crate) async fn create(&mut self, dir: &nfs_fh3, name: &str, bits: u32) -> Reply<nfs_fh3> {
        self.create_how(dir, name, createhow3::GUARDED(mode(bits)))
            .await
    }

    pub(crate) async fn mkdir(&mut self, dir: &nfs_fh3, name: &str, bits: u32) -> Reply<nfs_fh3> {
        let where_ = at(dir, name);
        let attributes = mode(bits);
        let reply = self
            .connection
            .mkdir(&MKDIR3args { where_, attributes })
            .await;
        result(reply.expect(ANSWERED)).map(|ok| some(ok.obj).expect("a handle"))
    }

    pub(crate) async fn symlink(
        &mut self,
        dir: &nfs_fh3,
        name: &str,
        target: &str,
    ) -> Reply<nfs_fh3> {
        let args = SYMLINK3args {
            where_: at(dir, name),
            symlink: symlinkdata3 {
                symlink_attributes: sattr3::default(),
                symlink_data: nfspath3::from(target.as_bytes()),
            },
        };
        let reply = self.connection.symlink(&args).await;
        result(reply.expect(ANSWERED)).map(|ok| some(ok.obj).expect("a handle"))
    }

    pub(crate) async fn mknod(
        &mut self,
        dir: &nfs_fh3,
        name: &str,
        what: mknoddata3,
    ) -> Reply<nfs_fh3> {
        let where_ = at(dir, name);
        let reply = self.connection.mknod(&MKNOD3args { where_, what }).await;
        result(reply.expect(ANSWERED)).map(|ok| some(ok.obj).expect("a handle"))
    }

    pub(crate) async fn remove(&mut self, dir: &nfs_fh3, name: &str) -> Reply<wcc_data> {
        let object = at(dir, name);
        let reply = self.connection.remove(&REMOVE3args { object }).await;
        result(reply.expect(ANSWERED)).map(|ok| ok.dir_wcc)
    }

    pub(crate) async fn rmdir(&mut self, dir: &nfs_fh3, name: &str) -> Reply<wcc_data> {
        let object = at(dir, name);
        let reply = self.connection.rmdir(&RMDIR3args { object }).await;
        result(reply.expect(ANSWERED)).map(|ok| ok.dir_wcc)
    }

    pub(crate) async fn rename(
        &mut self,
        (from, old): (&nfs_fh3, &str),
        (to, new): (&nfs_fh3, &str),
    ) -> Reply<()> {
        let (from, to) = (at(from, old), at(to, new));
        let reply = self.connection.rename(&RENAME3args { from, to }).await;
        result(reply.expect(ANSWERED)).map(drop)
    }

    pub(crate) async fn link(
        &mut self,
        file: &nfs_fh3,
        dir: &nfs_fh3,
        name: &str,
    ) -> Reply<fattr3> {
        let (file, link) = (file.clone(), at(dir, name));
        let reply = self.connection.link(&LINK3args { file, link }).await;
        result(reply.expect(ANSWERED)).map(|ok| some(ok.file_attributes).expect("attributes"))
    }

    pub(crate) async fn readdir(
        &mut self,
        dir: &nfs_fh3,
        cookie: u64,
        cookieverf: cookieverf3,
        count: u32,
    ) -> Reply<READDIR3resok<'static>> {
        let dir = dir.clone();
        let args = READDIR3args {
            dir,
            cookie,
            cookieverf,
            count,
        };
        result(self.connection.readdir(&args).await.expect(ANSWERED))
    }

    pub(crate) async fn readdirplus(
        &mut self,
        dir: &nfs_fh3,
        cookie: u64,
        cookieverf: cookieverf3,
        maxcount: u32,
    ) -> Reply<READDIRPLUS3resok<'static>> {
        let args = READDIRPLUS3args {
            dir: dir.clone(),
            cookie,
            cookieverf,
            dircount: maxcount,
            maxcount,
        };
        result(self.connection.readdirplus(&args).await.expect(ANSWERED))
    }

    pub(crate) async fn commit(&mut self, file: &nfs_fh3) -> Reply<writeverf3> {
        let args = COMMIT3args {
            file: file.clone(),
            offset: 0,
            count: 0,
        };
        result(self.connection.commit(&args).await.expect(ANSWERED)).map(|ok| ok.verf)
    }

    /// All names of a directory, sorted, without the dots.
    pub(crate) async fn names(&mut self, dir: &nfs_fh3) -> Vec<String> {
        let mut found = Vec::new();
        let (mut cookie, mut verifier) = (0, cookieverf3::default());
        loop {
            let page = self
                .readdir(dir, cookie, verifier, 8192)
                .await
                .expect("a page");
            verifier = page.cookieverf;
            for entry in page.reply.entries.into_inner() {
                cookie = entry.cookie;
                found.push(String::from_utf8(entry.name.0.into_owned()).expect("UTF-8"));
            }
            if page.reply.eof {
                found.retain(|name| name != "." && name != "..");
                found.sort_unstable();
                return found;
            }
        }
    }
}
