//! The recipes, as texts in this program: it works without its source tree.

/// How an image is built: `build.sh`, and the files that it needs beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// The last part of the image's name.
    pub(crate) what: &'static str,
    /// What people call the image.
    pub(crate) title: &'static str,
    /// Files by name.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

/// What every recipe but that of the base sources.
const COMMON: (&str, &str) = (
    "common.sh",
    include_str!("../../../../kind/images/common.sh"),
);

/// Without [`COMMON`], so that a change there does not make a new base.
pub(crate) const BASE: Recipe = Recipe {
    what: "base",
    title: "Debian base image",
    files: &[(
        "build.sh",
        include_str!("../../../../kind/images/base/build.sh"),
    )],
};

pub(crate) const BUSYBOX: Recipe = Recipe {
    what: "busybox",
    title: "busybox image",
    files: &[
        COMMON,
        (
            "build.sh",
            include_str!("../../../../kind/images/busybox/build.sh"),
        ),
    ],
};

pub(crate) const NGINX: Recipe = Recipe {
    what: "nginx",
    title: "nginx image",
    files: &[
        COMMON,
        (
            "build.sh",
            include_str!("../../../../kind/images/nginx/build.sh"),
        ),
    ],
};

pub(crate) const NFS_SERVER: Recipe = Recipe {
    what: "nfs-server",
    title: "NFS server image",
    files: &[
        COMMON,
        (
            "build.sh",
            include_str!("../../../../kind/images/nfs-server/build.sh"),
        ),
        (
            "entrypoint.sh",
            include_str!("../../../../kind/images/nfs-server/entrypoint.sh"),
        ),
        (
            "ganesha.conf",
            include_str!("../../../../kind/images/nfs-server/ganesha.conf"),
        ),
    ],
};

pub(crate) const PROGRAM: Recipe = Recipe {
    what: "program",
    title: "image of a program",
    files: &[
        COMMON,
        (
            "build.sh",
            include_str!("../../../../kind/images/program/build.sh"),
        ),
    ],
};

pub(crate) const NODE: Recipe = Recipe {
    what: "node",
    title: "node image",
    files: &[
        COMMON,
        ("build.sh", include_str!("../../../../kind/node/build.sh")),
        (
            "configure.sh",
            include_str!("../../../../kind/node/configure.sh"),
        ),
        (
            "preload.sh",
            include_str!("../../../../kind/node/preload.sh"),
        ),
        (
            "packages.txt",
            include_str!("../../../../kind/node/packages.txt"),
        ),
        (
            "storage.yaml",
            include_str!("../../../../kind/node/storage.yaml"),
        ),
        (
            "pause.go",
            include_str!("../../../../kind/node/pause/main.go"),
        ),
    ],
};
