//! What daemonset.yaml asks of a cluster.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use yaml_rust2::{Yaml, YamlLoader};

/// The probes of the pod.
pub(super) const PROBES: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];

/// The manifest.
pub(super) struct Manifest {
    documents: Vec<Yaml>,
}

/// Where a volume comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A folder of the node.
    Host(String),
    /// The files of a ConfigMap, by name.
    Files(Vec<(String, String)>),
    /// A folder in memory.
    Memory,
}

/// A folder that the container sees.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) at: String,
    pub(super) source: Source,
    pub(super) is_read_only: bool,
}

impl Manifest {
    pub(super) fn read() -> Result<Self> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../recon-user/package/daemonset.yaml"
        );
        let text = fs::read_to_string(path).context(path)?;
        let documents = YamlLoader::load_from_str(&text).context(path)?;
        Ok(Self { documents })
    }

    fn document(&self, kind: &str) -> Result<&Yaml> {
        let mut documents = self.documents.iter();
        let found = documents.find(|document| document["kind"].as_str() == Some(kind));
        found.with_context(|| format!("no {kind}"))
    }

    fn pod(&self) -> Result<&Yaml> {
        Ok(&self.document("DaemonSet")?["spec"]["template"]["spec"])
    }

    fn container(&self) -> Result<&Yaml> {
        Ok(&self.pod()?["containers"][0])
    }

    pub(super) fn arguments(&self) -> Result<Vec<String>> {
        texts(&self.container()?["args"])
    }

    /// The command line of a probe.
    pub(super) fn probe(&self, name: &str) -> Result<Vec<String>> {
        texts(&self.container()?[name]["exec"]["command"]).context(name.to_owned())
    }

    /// Without CAP_.
    pub(super) fn capabilities(&self) -> Result<Vec<String>> {
        texts(&self.container()?["securityContext"]["capabilities"]["add"])
    }

    /// The pod sees the node's network and processes, and may do no more than its capabilities.
    pub(super) fn ensure_confined(&self) -> Result<()> {
        let pod = self.pod()?;
        let context = &self.container()?["securityContext"];
        for (what, found, expected) in [
            ("hostNetwork", &pod["hostNetwork"], true),
            ("hostPID", &pod["hostPID"], true),
            ("a token", &pod["automountServiceAccountToken"], false),
            ("privileged", &context["privileged"], false),
            ("escalation", &context["allowPrivilegeEscalation"], false),
            ("a read-only root", &context["readOnlyRootFilesystem"], true),
        ] {
            ensure!(found.as_bool() == Some(expected), "{what}: {found:?}");
        }
        let dropped = texts(&context["capabilities"]["drop"])?;
        ensure!(dropped == ["ALL"], "{dropped:?}");
        let limits = &self.container()?["resources"]["limits"]["memory"];
        ensure!(limits.as_str().is_some(), "no limit of memory");
        Ok(())
    }

    /// What is mounted.
    pub(super) fn volumes(&self) -> Result<Vec<Volume>> {
        let volumes = self.pod()?["volumes"].as_vec().context("no volumes")?;
        let mounts = self.container()?["volumeMounts"].as_vec();
        let mounts = mounts.context("no mounts")?.iter().map(|mount| {
            let mut named = volumes.iter();
            let volume = named.find(|volume| volume["name"] == mount["name"]);
            Ok(Volume {
                at: mount["mountPath"].as_str().context("a path")?.to_owned(),
                source: self.source(volume.with_context(|| format!("{mount:?}"))?)?,
                is_read_only: mount["readOnly"].as_bool().unwrap_or(false),
            })
        });
        mounts.collect()
    }

    fn source(&self, volume: &Yaml) -> Result<Source> {
        if let Some(path) = volume["hostPath"]["path"].as_str() {
            return Ok(Source::Host(path.to_owned()));
        }
        if !volume["emptyDir"].is_badvalue() {
            return Ok(Source::Memory);
        }
        let data = self.document("ConfigMap")?["data"].as_hash();
        let files = data.context("a ConfigMap without files")?.iter();
        let text = |value: &Yaml| value.as_str().map(str::to_owned);
        let files = files.map(|(name, content)| Some((text(name)?, text(content)?)));
        let files: Option<_> = files.collect();
        Ok(Source::Files(files.context("a file that is no text")?))
    }
}

/// A list of words.
fn texts(list: &Yaml) -> Result<Vec<String>> {
    let list = list.as_vec().context("no list")?;
    let words = list.iter().map(|word| word.as_str().map(str::to_owned));
    words.collect::<Option<_>>().context("a word")
}
