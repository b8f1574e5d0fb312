//! A case: one row of the catalogue, made executable.

use futures::future::BoxFuture;

use crate::catalogue::{self, Row};
use crate::trouble::CaseResult;
use crate::world::World;

/// What may run beside a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serial {
    /// Anything: it has a namespace and classes of its own.
    No,
    /// Anything but the cases of the same group.
    Group(&'static str),
    /// Nothing: it changes what is global, such as the default class.
    Exclusive,
}

/// What a case needs of a testbed beyond its row's mode. It is known before anything is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Real nodes mount by the kernel's NFS client: the one in user space has no locks across
    /// mounts, and no extended attributes.
    KernelNfs,
}

impl Need {
    /// What a testbed without it lacks, as a skip reason has it.
    pub fn lacking(self) -> &'static str {
        match self {
            Self::KernelNfs => "kernel NFS client (locks across mounts)",
        }
    }
}

/// The body of a case.
pub type Body = for<'w> fn(&'w World) -> BoxFuture<'w, CaseResult>;

/// One conformance rule, executable.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Id of its row.
    pub id: &'static str,
    /// What may run beside it.
    pub serial: Serial,
    /// The namespace it works in; `None` gives it one of its own.
    pub namespace: Option<&'static str>,
    /// What it needs of the testbed beyond its row's mode.
    pub need: Option<Need>,
    /// Does it.
    pub body: Body,
}

impl Case {
    /// A case that shares nothing with any other.
    pub(crate) const fn new(id: &'static str, body: Body) -> Self {
        Self {
            id,
            serial: Serial::No,
            namespace: None,
            need: None,
            body,
        }
    }

    /// A case that changes what is global.
    pub(crate) const fn exclusive(id: &'static str, body: Body) -> Self {
        Self {
            id,
            serial: Serial::Exclusive,
            namespace: None,
            need: None,
            body,
        }
    }

    /// A step of the walkthrough: namespace `default`, one step at a time.
    pub(crate) const fn step(id: &'static str, body: Body) -> Self {
        Self {
            id,
            serial: Serial::Group("walkthrough"),
            namespace: Some("default"),
            need: None,
            body,
        }
    }

    /// The same case, running alone.
    #[must_use]
    pub(crate) const fn alone(mut self) -> Self {
        self.serial = Serial::Exclusive;
        self
    }

    /// The same case, on testbeds that have what it needs.
    #[must_use]
    pub(crate) const fn needs(mut self, need: Need) -> Self {
        self.need = Some(need);
        self
    }

    /// Its row of the catalogue.
    pub fn row(&self) -> &'static Row {
        catalogue::row(self.id).expect("every case has a row: a test proves it")
    }
}
