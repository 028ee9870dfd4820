//! Servers that busy hosts use: a package mirror, and the backends of a reverse proxy.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use recon_tests::lab::ATTACKER_LINK;
use recon_tests::namespace::Namespace;
use recon_tests::{Lab, Server};
use tempfile::TempDir;

/// A mirror of a distribution with a few components, and a client configuration that leaves this
/// machine's alone.
pub(super) struct Mirror {
    _server: Server,
    client: TempDir,
}

impl Mirror {
    /// The distribution's components.
    const COMPONENTS: [&str; 5] = ["main", "contrib", "non-free", "updates", "backports"];

    pub(super) fn start(namespace: &Namespace, address: impl Into<IpAddr>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for component in Self::COMPONENTS {
            let packages = folder
                .path()
                .join("root/dists/stable")
                .join(component)
                .join("binary-all");
            fs::create_dir_all(&packages)?;
            fs::write(packages.join("Packages"), package(component))?;
        }
        Ok(Self {
            _server: Server::nginx(namespace, folder, "server { listen 80; root root; }")?,
            client: client(address.into())?,
        })
    }

    /// The file that `APT_CONFIG` names.
    pub(super) fn config(&self) -> PathBuf {
        self.client.path().join("apt.conf")
    }

    /// The lists must have arrived.
    pub(super) fn check(&self, output: &str) -> Result<()> {
        let lists = fs::read_dir(self.client.path().join("state/lists"))?;
        let names = lists.flatten().map(|list| list.file_name());
        let count = names
            .filter(|name| name.to_string_lossy().ends_with("_Packages"))
            .count();
        ensure!(count == Self::COMPONENTS.len(), "{count} lists\n{output}");
        Ok(())
    }
}

/// The folders and files that apt-get would otherwise use of this machine.
fn client(mirror: IpAddr) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    for needed in [
        "state/lists/partial",
        "cache/archives/partial",
        "etc/apt.conf.d",
        "etc/preferences.d",
        "etc/sources.list.d",
    ] {
        fs::create_dir_all(path.join(needed))?;
    }
    fs::write(path.join("status"), "")?;
    let components = Mirror::COMPONENTS.join(" ");
    fs::write(
        path.join("etc/sources.list"),
        format!("deb [trusted=yes] http://{mirror}/ stable {components}\n"),
    )?;
    let mut config = String::new();
    let root = path.display().to_string();
    let status = format!("{root}/status");
    for (option, value) in [
        ("Dir", root.as_str()),
        ("Dir::State", "state"),
        ("Dir::State::status", &status),
        ("Dir::Cache", "cache"),
        ("Dir::Etc", "etc"),
        ("Dir::Log", "log"),
        // Only root may read the folder.
        ("APT::Sandbox::User", "root"),
        ("APT::Architecture", "all"),
        ("Acquire::Languages", "none"),
        ("Acquire::http::Proxy", "DIRECT"),
    ] {
        writeln!(config, "{option} \"{value}\";")?;
    }
    fs::write(path.join("apt.conf"), config)?;
    Ok(folder)
}

/// A list of one package.
fn package(name: &str) -> String {
    format!(
        "Package: {name}-example\nVersion: 1\nArchitecture: all\nMaintainer: nobody\n\
         Filename: pool/{name}.deb\nSize: 1\nDescription: nothing\n\n"
    )
}

/// nginx on the host, which forwards each request to one of three servers of the attacker's, over a
/// new connection.
pub(super) fn proxy(lab: &Lab) -> Result<[Server; 2]> {
    const BACKENDS: [Ipv4Addr; 3] = [
        Ipv4Addr::new(203, 0, 113, 10),
        Ipv4Addr::new(203, 0, 113, 11),
        Ipv4Addr::new(203, 0, 113, 12),
    ];
    const PORT: u16 = 8080;
    let addresses = BACKENDS.map(|ip| format!("address add {ip}/32 dev {ATTACKER_LINK}\n"));
    lab.attacker().ip(&addresses.concat())?;
    let backends = Server::nginx(
        lab.attacker(),
        tempfile::tempdir()?,
        &format!("server {{ listen {PORT}; location / {{ return 200 hello; }} }}"),
    )?;
    let servers = BACKENDS.map(|ip| format!("server {ip}:{PORT}; "));
    let proxy = Server::nginx(
        lab.host(),
        tempfile::tempdir()?,
        &format!(
            "upstream backends {{ {} }} server {{ listen 80; location / {{ proxy_pass http://backends; }} }}",
            servers.concat()
        ),
    )?;
    Ok([backends, proxy])
}
