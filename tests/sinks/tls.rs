//! An authority of a test, and what a server or a client has of it.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Who signs the certificates of a test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Its certificate, for `ca_file`.
    pub(crate) file: PathBuf,
}

impl Authority {
    /// Writes its certificate into that folder.
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut own = CertificateParams::new(Vec::new())?;
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        own.distinguished_name.push(DnType::CommonName, name);
        let certificate = own.self_signed(&key)?;
        let file = folder.join(name);
        fs::write(&file, certificate.pem())?;
        Ok(Self {
            issuer: Issuer::new(own, key),
            certificate: certificate.der().clone(),
            file,
        })
    }

    fn sign(&self, names: &[&str]) -> Result<(rcgen::Certificate, KeyPair)> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate()?;
        let signed = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        Ok((signed, key))
    }

    /// A server of these names, which may want a certificate of its clients.
    pub(crate) fn server(&self, names: &[&str], wants_client: bool) -> Result<Arc<ServerConfig>> {
        let (certificate, key) = self.sign(names)?;
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match wants_client {
            false => builder.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(self.certificate.clone())?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = builder.with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(config))
    }

    /// The files of a client: `cert_file` and `key_file`.
    pub(crate) fn client(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        self.files(folder, "client", "recon.example")
    }

    /// A certificate for that name, and its key.
    pub(crate) fn files(&self, folder: &Path, stem: &str, name: &str) -> Result<[PathBuf; 2]> {
        let (certificate, key) = self.sign(&[name])?;
        let files = ["pem", "key"].map(|end| folder.join(format!("{stem}.{end}")));
        fs::write(&files[0], certificate.pem())?;
        let secret = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&files[1])?;
        std::io::Write::write_all(&mut &secret, key.serialize_pem().as_bytes())?;
        Ok(files)
    }
}
