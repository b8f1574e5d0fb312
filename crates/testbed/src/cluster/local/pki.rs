//! Keys and certificates of a cluster that lives for minutes on one machine.

use camino::{Utf8Path, Utf8PathBuf};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::super::ClusterError;
use super::layout::write_secret;

/// Names under which clients reach the API server, beside its addresses.
const SERVING_NAMES: [&str; 7] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    super::apiserver::SERVICE_IP,
];

/// A certificate's file and its key's.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) certificate: Utf8PathBuf,
    pub(super) key: Utf8PathBuf,
}

/// The files of a cluster's own certificate authority and of everyone it vouches for.
#[derive(Debug, Clone)]
pub(super) struct Pki {
    pub(super) authority: Utf8PathBuf,
    pub(super) serving: Identity,
    pub(super) admin: Identity,
    pub(super) controller_manager: Identity,
    pub(super) scheduler: Identity,
    pub(super) nodes: Identity,
    pub(super) dns: Identity,
    /// Signs `ServiceAccount` tokens.
    pub(super) token_key: Utf8PathBuf,
    /// Verifies them.
    pub(super) token_public_key: Utf8PathBuf,
}

impl Pki {
    /// Makes everything anew below `directory`.
    pub(super) fn generate(directory: &Utf8Path) -> Result<Self, ClusterError> {
        fs_err::create_dir_all(directory)?;
        let authority = Authority::new(directory)?;
        let token = KeyPair::generate()?;
        let token_key = directory.join("service-account.key");
        let token_public_key = directory.join("service-account.pub");
        write_secret(&token_key, &token.serialize_pem())?;
        fs_err::write(&token_public_key, token.public_key_pem())?;
        // Members of system:masters may do everything without a role.
        let masters = Some("system:masters");
        Ok(Self {
            serving: authority.serving()?,
            admin: authority.client("admin", "claimcheck:admin", masters)?,
            // One identity for all controllers: their own ServiceAccounts, as kubeadm has it, would
            // take some dozens of requests at every boot, and no case looks at them.
            controller_manager: authority.client(
                "controller-manager",
                "system:kube-controller-manager",
                masters,
            )?,
            scheduler: authority.client("scheduler", "system:kube-scheduler", None)?,
            nodes: authority.client("nodes", "claimcheck:nodes", masters)?,
            dns: authority.client("dns", super::dns::USER, None)?,
            authority: directory.join("ca.crt"),
            token_key,
            token_public_key,
        })
    }
}

struct Authority<'a> {
    issuer: CertifiedIssuer<'a, KeyPair>,
    directory: &'a Utf8Path,
}

impl<'a> Authority<'a> {
    fn new(directory: &'a Utf8Path) -> Result<Self, ClusterError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "claimcheck");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs_err::write(directory.join("ca.crt"), issuer.pem())?;
        Ok(Self { issuer, directory })
    }

    fn serving(&self) -> Result<Identity, ClusterError> {
        let names: Vec<String> = SERVING_NAMES.map(str::to_owned).into();
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue("serving", params)
    }

    /// A client certificate: `user` is its common name, `group` its organisation, as the API server
    /// reads them.
    fn client(
        &self,
        file: &str,
        user: &str,
        group: Option<&str>,
    ) -> Result<Identity, ClusterError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(file, params)
    }

    fn issue(&self, file: &str, mut params: CertificateParams) -> Result<Identity, ClusterError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let identity = Identity {
            certificate: self.directory.join(format!("{file}.crt")),
            key: self.directory.join(format!("{file}.key")),
        };
        fs_err::write(&identity.certificate, certificate.pem())?;
        write_secret(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}
